#include "report_bins.h"

#include <math.h>

#include "checked.h"

/* Margin bin b > 0 begins at 2^((b - 1) / per_octave + least_octave). */
static const double per_octave = 16, least_octave = -10;

static void add(struct sp_bin *bin, uint64_t ref, uint64_t before, uint64_t after) {
  bin->utts++;
  bin->ref += ref;
  bin->before += before;
  bin->after += after;
}

static size_t margin_bin(double margin) {
  if (margin <= 0) {
    return 0;
  }
  double bin = 1 + floor((log2(margin) - least_octave) * per_octave);
  return bin < 1 ? 1 : bin < sp_margin_bins ? (size_t)bin : sp_margin_bins - 1;
}

static double margin_edge(size_t bin) {
  return bin <= 1 ? 0 : exp2((double)(bin - 1) / per_octave + least_octave);
}

void sp_histogram_add(struct sp_histogram *histogram, size_t length, double margin,
                      uint64_t errors_before, uint64_t errors_after) {
  size_t last = sp_length_bins - 1;
  add(&histogram->lengths[sp_min_size(length, last)], length, errors_before, errors_after);
  add(isnan(margin) ? &histogram->no_margin : &histogram->margins[margin_bin(margin)], length,
      errors_before, errors_after);
}

static void add_bin(struct sp_bin *sum, const struct sp_bin *bin) {
  sum->utts += bin->utts;
  sum->ref += bin->ref;
  sum->before += bin->before;
  sum->after += bin->after;
}

/* Bins [first, end) as at most `most` groups; from and to are bin numbers. A group ends as soon as
 * it has its share, so that the last one, which takes the rest, never has much more. */
static size_t group(const struct sp_bin *bins, size_t first, size_t end, size_t most,
                    struct sp_bin_group *groups) {
  struct sp_bin all = {0};
  size_t n = 0;
  for (size_t b = first; b < end; b++) {
    add_bin(&all, &bins[b]);
  }
  uint64_t done = 0;
  bool open = false;
  for (size_t b = first; b < end; b++) {
    if (bins[b].utts == 0) {
      continue;
    }
    if (!open) {
      groups[n] = (struct sp_bin_group){.from = (double)b};
      open = true;
    }
    groups[n].to = (double)b;
    add_bin(&groups[n].sum, &bins[b]);
    done += bins[b].ref;
    if (n + 1 < most && done * most >= (n + 1) * all.ref) {
      n++;
      open = false;
    }
  }
  return n + open;
}

size_t sp_length_groups(const struct sp_histogram *histogram, struct sp_bin_group *groups) {
  size_t n = group(histogram->lengths, 0, sp_length_bins, sp_group_max, groups);
  if (n > 0 && groups[n - 1].to == sp_length_bins - 1) {
    groups[n - 1].to = INFINITY;
  }
  return n;
}

size_t sp_margin_groups(const struct sp_histogram *histogram, struct sp_bin_group *groups) {
  size_t n = 0;
  if (histogram->margins[0].utts > 0) {
    groups[n++] = (struct sp_bin_group){-INFINITY, 0, histogram->margins[0]};
  }
  size_t from = n;
  n += group(histogram->margins, 1, sp_margin_bins, sp_group_max - n, groups + n);
  for (size_t g = from; g < n; g++) {
    bool last = groups[g].to == sp_margin_bins - 1;
    groups[g].from = margin_edge((size_t)groups[g].from);
    groups[g].to = last ? INFINITY : margin_edge((size_t)groups[g].to + 1);
  }
  return n;
}
