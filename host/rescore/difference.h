/* difference.h - how far two series of float scores lie apart, in one pass and fixed memory.
 *
 * A pair is (a, b), NaN for null. |b - a| is counted in buckets of equal leading bits of its float:
 * 8 of the exponent, 10 of the mantissa. A quantile is the upper end of the bucket that holds the
 * value of rank ceil(q n), at most the largest difference: never below the true quantile and at most
 * 0.1 % (2^-10) above it; 0 is exact.  The largest difference, the mean and all counts are exact but
 * for double rounding.
 * Memory     2 MiB. */
#ifndef SP_RESCORE_DIFFERENCE_H
#define SP_RESCORE_DIFFERENCE_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { sp_difference_levels = 4 };
/* 0.5, 0.9, 0.99, 0.999, and their names: "p50", "p90", "p99", "p99_9". */
extern const double sp_difference_level[sp_difference_levels];
extern const char *const sp_difference_level_name[sp_difference_levels];

struct sp_difference_summary {
  uint64_t compared;                      /* pairs of two numbers */
  uint64_t differ;                        /* of these, other bits: 0.0 and -0.0 differ by 0 */
  uint64_t nulls;                         /* null on both sides */
  uint64_t nulls_appeared;                /* null in b alone */
  uint64_t nulls_vanished;                /* null in a alone */
  double largest;                         /* |b - a| */
  double mean;                            /* of b - a */
  double quantiles[sp_difference_levels]; /* of |b - a|; 0 without pairs, as largest and mean */
};

struct sp_difference;

SP_MUST_CHECK enum sp_status sp_difference_create(struct sp_difference **out, struct sp_error *err);
/* NULL is fine. */
void sp_difference_destroy(struct sp_difference *difference);
/* *grew: the largest difference is this pair's, and above 0. False when the two are the same bits or
 * both null. */
bool sp_difference_add(struct sp_difference *difference, float a, float b, bool *grew);
void sp_difference_summarize(const struct sp_difference *difference,
                             struct sp_difference_summary *out);

#ifdef __cplusplus
}
#endif
#endif
