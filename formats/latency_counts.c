#include "latency_counts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "float_text.h"

void sp_latency_counts_release(struct sp_latency_counts *counts) {
  free(counts->of);
  *counts = (struct sp_latency_counts){0};
}

void sp_latency_counts_clear(struct sp_latency_counts *counts) {
  struct sp_latency_counts empty = {.of = counts->of, .room = counts->room};
  if (empty.room > 0) {
    memset(empty.of, 0, empty.room * sizeof *empty.of);
  }
  *counts = empty;
}

/* Room for latencies below `room`. */
static enum sp_status make_room(struct sp_latency_counts *counts, size_t room,
                                struct sp_error *err) {
  if (room <= counts->room) {
    return SP_OK;
  }
  room = sp_max_size(room, 2 * counts->room);
  uint64_t *grown = realloc(counts->of, sp_mul_sat(room, sizeof *grown));
  if (!grown) {
    return sp_fail_memory(err, sp_mul_sat(room, sizeof *grown));
  }
  memset(grown + counts->room, 0, (room - counts->room) * sizeof *grown);
  counts->of = grown;
  counts->room = room;
  return SP_OK;
}

enum sp_status sp_latency_counts_note(struct sp_latency_counts *counts, size_t latency,
                                      size_t emission, struct sp_error *err) {
  SP_TRY(make_room(counts, latency + 1, err));
  counts->of[latency]++;
  counts->outputs++;
  counts->emission_sum += emission;
  return SP_OK;
}

enum sp_status sp_latency_counts_add(struct sp_latency_counts *a, const struct sp_latency_counts *b,
                                     struct sp_error *err) {
  SP_TRY(make_room(a, b->room, err));
  for (size_t v = 0; v < b->room; v++) {
    a->of[v] += b->of[v];
  }
  a->outputs += b->outputs;
  a->clipped += b->clipped;
  a->emission_sum += b->emission_sum;
  a->clipped_sum += b->clipped_sum;
  a->hyps += b->hyps;
  a->upl_sum += b->upl_sum;
  a->upl_max = fmax(a->upl_max, b->upl_max);
  return SP_OK;
}

/* The least latency that `percent` of a hundred of the `n` >= 1 outputs do not exceed. */
static size_t nearest_rank(const struct sp_latency_counts *counts, uint64_t n, uint64_t percent) {
  uint64_t rank = n / 100 * percent + (n % 100 * percent + 99) / 100;
  uint64_t seen = counts->room > 0 ? counts->of[0] : 0;
  size_t v = 0;
  while (seen < rank && v + 1 < counts->room) {
    seen += counts->of[++v];
  }
  return v;
}

static void describe_unclipped(const struct sp_latency_counts *counts, uint64_t n, double *value) {
  double sum = 0;
  for (size_t v = 0; v < counts->room; v++) {
    sum += (double)v * (double)counts->of[v];
  }
  value[SP_LATENCY_MEAN] = sum / (double)n;
  value[SP_LATENCY_P50] = (double)nearest_rank(counts, n, 50);
  value[SP_LATENCY_P90] = (double)nearest_rank(counts, n, 90);
  value[SP_LATENCY_P99] = (double)nearest_rank(counts, n, 99);
  value[SP_LATENCY_MAX] = (double)nearest_rank(counts, n, 100);
  value[SP_LATENCY_EMISSION] = (double)counts->emission_sum / (double)n;
}

struct sp_latency_stats sp_latency_stats_of(const struct sp_latency_counts *counts) {
  struct sp_latency_stats stats;
  for (int m = 0; m < SP_LATENCY_MEMBERS; m++) {
    stats.value[m] = NAN;
  }
  if (counts->outputs > counts->clipped) {
    describe_unclipped(counts, counts->outputs - counts->clipped, stats.value);
  }
  if (counts->clipped > 0) {
    stats.value[SP_LATENCY_CLIPPED_MEAN] = (double)counts->clipped_sum / (double)counts->clipped;
  }
  if (counts->hyps > 0) {
    stats.value[SP_LATENCY_UPL] = counts->upl_sum / (double)counts->hyps;
  }
  stats.value[SP_LATENCY_CLIPPED] = (double)counts->clipped;
  stats.value[SP_LATENCY_OUTPUTS] = (double)counts->outputs;
  return stats;
}

static const char *const keys[SP_LATENCY_MEMBERS] = {
#define X(name, key) key,
    SP_LATENCY_MAP(X)
#undef X
};

const char *sp_latency_key(enum sp_latency_member member) {
  return keys[member];
}

size_t sp_latency_stats_text(const struct sp_latency_stats *stats, char *out) {
  char *to = out;
  for (int m = 0; m < SP_LATENCY_MEMBERS; m++) {
    to += sprintf(to, "%c\"%s\":", m == 0 ? '{' : ',', keys[m]);
    if (sp_latency_is_count((enum sp_latency_member)m)) {
      to += sprintf(to, "%" PRIu64, (uint64_t)stats->value[m]);
    } else {
      to += sp_float_text((float)stats->value[m], to);
    }
  }
  *to++ = '}';
  return (size_t)(to - out);
}

enum sp_status sp_latency_counts_write(struct sp_buf *out, const struct sp_latency_counts *counts,
                                       struct sp_error *err) {
  char sum[SP_DOUBLE_TEXT_MAX], max[SP_DOUBLE_TEXT_MAX];
  size_t n = counts->room;
  while (n > 0 && counts->of[n - 1] == 0) {
    n--;
  }
  SP_TRY(sp_buf_append(out, "{\"of\":[", 7, err));
  for (size_t v = 0; v < n; v++) {
    SP_TRY(sp_buf_printf(out, err, "%s%" PRIu64, v > 0 ? "," : "", counts->of[v]));
  }
  sp_double_text(counts->upl_sum, sum);
  sp_double_text(counts->upl_max, max);
  return sp_buf_printf(out, err,
                       "],\"outputs\":%" PRIu64 ",\"clipped\":%" PRIu64 ",\"emission_sum\":%" PRIu64
                       ",\"clipped_sum\":%" PRIu64 ",\"hyps\":%" PRIu64
                       ",\"upl_sum\":%s,\"upl_max\":%s}",
                       counts->outputs, counts->clipped, counts->emission_sum, counts->clipped_sum,
                       counts->hyps, sum, max);
}
