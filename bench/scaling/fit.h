/* fit.h - how long a shard takes, told from a run that was made. */
#ifndef SP_BENCH_FIT_H
#define SP_BENCH_FIT_H

#include <stddef.h>

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sim_fit {
  double shard_seconds, rate; /* seconds = shard_seconds + FLOP / rate */
  double jitter;              /* root mean square of what is left, as part of a shard's seconds */
  size_t n;                   /* intervals that it is made of */
};

/* Least squares over the times between one marker and the next, of runs that one process each scored without
 * a break, and the costs that their plans tell. Runs with different --shard-utts tell both numbers; with one,
 * shard_seconds is 0 where costs differ too little.  The first shard of each is left out: the pipeline fills.
 * SP_EUSAGE when one is no run with a plan, or there are fewer than four intervals; SP_EDAMAGED. */
SP_MUST_CHECK enum sp_status sim_fit_runs(const char *const *runs, size_t n_runs,
                                          struct sim_fit *out, struct sp_error *err);

/* The same from pairs of FLOP and seconds. */
SP_MUST_CHECK enum sp_status sim_fit_pairs(const double *flops, const double *seconds, size_t n,
                                           struct sim_fit *out, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
