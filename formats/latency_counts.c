#include "latency_counts.h"

#include <inttypes.h>
#include <math.h>
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
  uint64_t seen = counts->of[0];
  size_t v = 0;
  while (seen < rank) {
    seen += counts->of[++v];
  }
  return v;
}

struct sp_latency_stats sp_latency_stats_of(const struct sp_latency_counts *counts) {
  struct sp_latency_stats stats = {.mean = NAN,
                                   .p50 = NAN,
                                   .p90 = NAN,
                                   .p99 = NAN,
                                   .max = NAN,
                                   .emission_mean = NAN,
                                   .clipped_mean = NAN,
                                   .clipped = counts->clipped,
                                   .outputs = counts->outputs,
                                   .upl = NAN};
  uint64_t n = counts->outputs - counts->clipped;
  if (n > 0) {
    double sum = 0;
    for (size_t v = 0; v < counts->room; v++) {
      sum += (double)v * (double)counts->of[v];
    }
    stats.mean = (float)(sum / (double)n);
    stats.p50 = (float)nearest_rank(counts, n, 50);
    stats.p90 = (float)nearest_rank(counts, n, 90);
    stats.p99 = (float)nearest_rank(counts, n, 99);
    stats.max = (float)nearest_rank(counts, n, 100);
    stats.emission_mean = (float)((double)counts->emission_sum / (double)n);
  }
  if (counts->clipped > 0) {
    stats.clipped_mean = (float)((double)counts->clipped_sum / (double)counts->clipped);
  }
  if (counts->hyps > 0) {
    stats.upl = (float)(counts->upl_sum / (double)counts->hyps);
  }
  return stats;
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
