/* mapsswe.h - matched pairs: are two systems' errors on the same references different?
 *
 * The matched-pair sentence-segment word error test of L. Gillick and S. Cox, "Some statistical
 * issues in the comparison of speech recognition algorithms", ICASSP 1989, as NIST's sc_stats
 * defines its segments: a segment holds the errors between stretches of at least two reference
 * units that both systems have right with no insertion between them. Over the differences d of the
 * two error counts of all segments, Z = mean(d) / sqrt(var(d) / n), var with n - 1; the test is
 * two-tailed under the normal distribution.
 * Errors behind the last reference unit count for either system (sc_stats drops the second one's
 * when the first has none there). */
#ifndef SP_RESCORE_MAPSSWE_H
#define SP_RESCORE_MAPSSWE_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zeroed before the first utterance. */
struct sp_mapsswe {
  uint64_t segments;
  uint64_t errors_a, errors_b; /* of all segments: of all utterances */
  int64_t sum;                 /* of d = errors of a - errors of b */
  double sum_squares;
};

struct sp_mapsswe_result {
  uint64_t segments;
  double mean, deviation; /* of d */
  double z;               /* below 0: a has fewer errors; NaN: not defined */
  double p;               /* two-tailed; NaN: not defined */
};

/* One utterance: the paths (edit.h) of a and b against one reference. */
void sp_mapsswe_add(struct sp_mapsswe *test, const char *ops_a, size_t n_a, const char *ops_b,
                    size_t n_b);
/* Not defined with fewer than two segments or when all differ by the same amount, except that no
 * difference at all is z 0, p 1. */
struct sp_mapsswe_result sp_mapsswe_finish(const struct sp_mapsswe *test);

/* Holm's step-down correction of n p-values, in place (S. Holm, Scand. J. Statist. 6, 1979). NaN stays and
 * does not count. */
SP_MUST_CHECK enum sp_status sp_holm(double *p, size_t n, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
