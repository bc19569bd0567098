/* tune.h - weights that minimise the errors of a development archive.
 *
 * Coordinate descent: one weight after the other is set to the exact optimum of its line
 * (line_search.h) until a whole sweep gains nothing.  The first start has every weight at 0 (or the
 * nearest end of its range), the others are drawn evenly from the ranges, the same for equal seeds.
 * The fewest errors win, of equal ones the earliest start.
 *
 * Noise      The gain of a weight is the number of errors more without it (weight 0, all others
 *            kept). Its standard error is that of the bootstrap over blocks of lists: the root of
 *            sum_b (d_b - mean d)^2, with d_b the gain in block b. A gain under two standard errors
 *            is called flat: on other data the weight may as well be 0. */
#ifndef SP_RESCORE_TUNE_H
#define SP_RESCORE_TUNE_H

#include "line_search.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { sp_tune_samples = 101 };

struct sp_tune_range {
  bool tuned;    /* false: the weight stays as it is in `start` */
  double lo, hi; /* lo < hi, within SP_WEIGHT_LIMIT */
};

struct sp_tune_options {
  struct sp_linear start;                          /* kind, n, and weights that are not tuned */
  struct sp_tune_range ranges[sp_max_weights + 1]; /* (start.n + 1), the bonus last */
  size_t restarts;                                 /* beyond the first start */
  uint64_t seed;
};

/* Errors against another system: how many fewer, and the standard error of that. */
struct sp_tune_gain {
  int64_t errors;
  double standard_error;
};

/* One tuned weight at the optimum of all. */
struct sp_tune_axis {
  struct sp_weight_run interval; /* as far as the weight may move at equal errors */
  bool at_lower, at_upper;       /* the interval reaches the end of the range */
  struct sp_tune_gain gain;      /* against weight 0 */
  bool flat;
  /* in even steps over the range, of which what is beyond four times the interval is left out */
  double weights[sp_tune_samples];
  uint64_t errors[sp_tune_samples];
};

struct sp_tune_result {
  struct sp_linear linear;
  uint64_t errors, first_errors, oracle_errors;
  struct sp_tune_gain gain; /* against the first pass */
  size_t starts, sweeps, searches;
  struct sp_tune_axis axes[sp_max_weights + 1]; /* where ranges[].tuned */
};

SP_MUST_CHECK enum sp_status sp_tune(const struct sp_lists *lists,
                                     const struct sp_tune_options *options,
                                     struct sp_tune_result *result, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
