/* line_search.h - the exact optimum of one weight.
 *
 * With all other weights held, a hypothesis is a line in the weight w: total = base + slope w.  The
 * best hypothesis of a list follows the upper envelope of its lines, so the errors of the archive
 * are piecewise constant in w and change only where envelopes have a vertex (Och 2003, "Minimum
 * Error Rate Training in Statistical Machine Translation", section 4).  The curve holds all such
 * places; its minimum is found by sorting them and summing up.
 *
 * A vertex is a piece of its own, a single weight: there two hypotheses are equal and the original
 * rank decides, which can be better than either side.  Its errors are those that reranking at that
 * weight gives, rounding included.
 *
 * Time       O(H log N + V log V) for H hypotheses in lists of N with V vertices.
 * Memory     16 bytes a vertex at which errors change, and a list's own lines. */
#ifndef SP_RESCORE_LINE_SEARCH_H
#define SP_RESCORE_LINE_SEARCH_H

#include "lists.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Errors change here: by `point` on the weight itself and by `after` beyond it, both against what
 * they are before it. */
struct sp_step {
  double at;
  int32_t point, after;
};

/* Errors over [lo, hi]: at_lo, then `start` up to the first step, .. , at_hi. */
struct sp_curve {
  double lo, hi;
  uint64_t at_lo, start, at_hi;
  struct sp_step *steps; /* (n_steps) rising, strictly within (lo, hi), no two at one weight */
  size_t n_steps, capacity;
};

/* A maximal run of pieces with the same errors; from == to is a single weight. */
struct sp_weight_run {
  double from, to;
  uint64_t errors;
};

/* The curve of weights[dim] (dim n: the bonus) with the others as `linear` has them. lo < hi, both
 * within SP_WEIGHT_LIMIT. Release it also on failure. */
SP_MUST_CHECK enum sp_status sp_curve_make(const struct sp_lists *lists,
                                           const struct sp_linear *linear, size_t dim, double lo,
                                           double hi, struct sp_curve *out, struct sp_error *err);
void sp_curve_release(struct sp_curve *curve);

/* errors (n) at the weights (n), which rise and lie within [lo, hi]. */
void sp_curve_sample(const struct sp_curve *curve, const double *weights, size_t n,
                     uint64_t *errors);

/* The widest runs of the fewest errors, the widest first, at most `room`; returns how many. */
size_t sp_curve_minima(const struct sp_curve *curve, struct sp_weight_run *out, size_t room);

/* The run that holds `weight`, of [lo, hi]. */
struct sp_weight_run sp_curve_run_at(const struct sp_curve *curve, double weight);

struct sp_line_best {
  double weight;
  uint64_t errors;               /* what reranking the archive at `weight` gives: it was done */
  struct sp_weight_run interval; /* the run that `weight` is from */
};

/* Finds the weight with the fewest errors: the midpoint of the widest best run, rounded to as few
 * digits as stay in its middle half.  Reranks the archive there to make sure; should rounding in a
 * run of a few representable weights betray it, the next run is tried. */
void sp_line_search(const struct sp_lists *lists, const struct sp_linear *linear, size_t dim,
                    const struct sp_curve *curve, struct sp_line_best *best);

#ifdef __cplusplus
}
#endif
#endif
