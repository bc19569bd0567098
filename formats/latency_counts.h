/* latency_counts.h - latencies of outputs, counted: they are small whole numbers, so that every
 * percentile of any number of them is exact.
 *
 * What is counted is defined in host/model/latency.h and, for readers of files, in FORMATS.md. */
#ifndef SP_FORMATS_LATENCY_COUNTS_H
#define SP_FORMATS_LATENCY_COUNTS_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Latencies are below this; longer sentences are refused by models long before. */
#define SP_LATENCY_CEILING ((size_t)1 << 20)

/* All zero: nothing counted. */
struct sp_latency_counts {
  uint64_t *of; /* (room) unclipped outputs by their latency in tokens; owned */
  size_t room;
  uint64_t outputs, clipped; /* all; of these, clipped */
  uint64_t emission_sum,
      clipped_sum;         /* in-order latency of the unclipped; latency of the clipped */
  uint64_t hyps;           /* that have a user-perceived latency */
  double upl_sum, upl_max; /* of these, in token periods */
};

void sp_latency_counts_release(struct sp_latency_counts *counts);
/* Empties the counts and keeps their memory. */
void sp_latency_counts_clear(struct sp_latency_counts *counts);
/* One more unclipped output. */
SP_MUST_CHECK enum sp_status sp_latency_counts_note(struct sp_latency_counts *counts,
                                                    size_t latency, size_t emission,
                                                    struct sp_error *err);
/* Adds b to a. */
SP_MUST_CHECK enum sp_status sp_latency_counts_add(struct sp_latency_counts *a,
                                                   const struct sp_latency_counts *b,
                                                   struct sp_error *err);

/* Tokens; NaN where nothing was counted. */
struct sp_latency_stats {
  float mean, p50, p90, p99, max; /* of the unclipped outputs; percentiles are nearest ranks */
  float emission_mean;            /* of the same, in order */
  float clipped_mean;
  uint64_t clipped, outputs;
  float upl; /* mean over hypotheses, token periods */
};

struct sp_latency_stats sp_latency_stats_of(const struct sp_latency_counts *counts);

/* The one text of some counts, a JSON object without spaces. */
SP_MUST_CHECK enum sp_status sp_latency_counts_write(struct sp_buf *out,
                                                     const struct sp_latency_counts *counts,
                                                     struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
