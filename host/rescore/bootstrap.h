/* bootstrap.h - how sure an error rate is: percentile intervals by resampling.
 *
 * M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in ASR performance
 * evaluation", ICASSP 2004: a replicate draws as many units as there are, with replacement, and is the
 * rate of what was drawn. A unit is an utterance, or a block (a speaker) of utterances whose errors
 * depend on each other. With two systems the same draw serves both.
 *
 * Draws      replicate r of `seed` is a splitmix64 stream of its own: equal on every machine.
 * Interval   the 2.5 % and 97.5 % quantiles, interpolated between the two replicates around. */
#ifndef SP_RESCORE_BOOTSTRAP_H
#define SP_RESCORE_BOOTSTRAP_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a unit holds: reference units, errors of system a and of system b. */
struct sp_sample {
  uint32_t ref, a, b;
};

struct sp_interval {
  double low, high; /* rates as fractions; NaN when there is nothing to draw from */
};

struct sp_bootstrap {
  struct sp_interval a, b, difference; /* difference: rate of a - rate of b */
  double better;                       /* share of replicates in which a's rate is below b's */
};

/* SP_EDEVICE when out of memory. replicates > 0. */
SP_MUST_CHECK enum sp_status sp_bootstrap_run(const struct sp_sample *samples, size_t n,
                                              size_t replicates, uint64_t seed,
                                              struct sp_bootstrap *out, struct sp_error *err);

/* Sums the samples of each block into `out` (n_blocks, zeroed by the call); block[i] < n_blocks.
 * SP_EINPUT when a block has 2^32 units or more. */
SP_MUST_CHECK enum sp_status sp_bootstrap_blocks(const struct sp_sample *samples,
                                                 const uint32_t *block, size_t n,
                                                 struct sp_sample *out, size_t n_blocks,
                                                 struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
