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

/* What is told of some outputs: enum, key. Tokens; percentiles are nearest ranks. */
#define SP_LATENCY_MAP(X)                                                               \
  X(SP_LATENCY_MEAN, "mean") /* this one and the next four: of the unclipped outputs */ \
  X(SP_LATENCY_P50, "p50")                                                              \
  X(SP_LATENCY_P90, "p90")                                                              \
  X(SP_LATENCY_P99, "p99")                                                              \
  X(SP_LATENCY_MAX, "max")                                                              \
  X(SP_LATENCY_EMISSION, "emission_mean") /* of the same, handed on in order */         \
  X(SP_LATENCY_CLIPPED_MEAN, "clipped_mean")                                            \
  X(SP_LATENCY_CLIPPED, "clipped") /* a number of outputs */                            \
  X(SP_LATENCY_OUTPUTS, "outputs") /* all of them */                                    \
  X(SP_LATENCY_UPL, "upl")         /* mean over hypotheses, token periods */

enum sp_latency_member {
#define X(name, key) name,
  SP_LATENCY_MAP(X)
#undef X
      SP_LATENCY_MEMBERS
};

struct sp_latency_stats {
  double value[SP_LATENCY_MEMBERS]; /* NaN where nothing was counted */
};

struct sp_latency_stats sp_latency_stats_of(const struct sp_latency_counts *counts);
const char *sp_latency_key(enum sp_latency_member member);
static inline bool sp_latency_is_count(enum sp_latency_member member) {
  return member == SP_LATENCY_CLIPPED || member == SP_LATENCY_OUTPUTS;
}

#define SP_LATENCY_TEXT_MAX 512
/* Writes a JSON object of all members, numbers as float_text.h has floats, NaN as null; `out` has
 * SP_LATENCY_TEXT_MAX bytes; returns how many were written. */
size_t sp_latency_stats_text(const struct sp_latency_stats *stats, char *out);

/* The one text of some counts, a JSON object without spaces. */
SP_MUST_CHECK enum sp_status sp_latency_counts_write(struct sp_buf *out,
                                                     const struct sp_latency_counts *counts,
                                                     struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
