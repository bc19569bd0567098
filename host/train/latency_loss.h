/* latency_loss.h - penalties on how far soft masks look ahead, and their gradients (methods.md 2.5-2.7).
 *
 * A sequence of `len` positions, L layers, reach J: a[l][i][r - 1] in [0, 1] is how far row i of layer l
 * lets key i + r in, r = 1 .. J (reach[l] <= J of them; cells beyond the sequence's end are not looked
 * at); rows i - left .. i are seen with 1.  Where the rule exempts the cls row, that row has no cells in
 * the layers where it sees everything, waits for nothing here, and hidden is read by nobody.  f64 inside.
 *
 * The papers'  a penalty on total lookahead (naive), on algorithmic latency relative to its average, and
 *              on computational latency (ANCAT, Strimel et al. 2023)
 * Ours         their exact forms: the max over A (distance + latency below) as soft latency, the mean over
 *              its moving average or what exceeds it (relative), releases of independent cells (backlog) */
#ifndef SP_TRAIN_LATENCY_LOSS_H
#define SP_TRAIN_LATENCY_LOSS_H

#include "latency.h"

#ifdef __cplusplus
extern "C" {
#endif

enum sp_penalty {
  SP_PENALTY_NONE,
  SP_PENALTY_NAIVE,          /* mean of a over layers, rows and keys ahead: (1 / (L T)) sum a */
  SP_PENALTY_RELATIVE_EMA,   /* mean latency over its moving average */
  SP_PENALTY_RELATIVE_HINGE, /* mean of max(0, latency_i - moving average) */
  SP_PENALTY_COMPUTATIONAL   /* expected backlog after the last position, in frame periods */
};
/* "none", "naive", "relative-ema", "relative-hinge", "computational"; false: not one of them. */
bool sp_penalty_parse(const char *text, enum sp_penalty *out);
const char *sp_penalty_name(enum sp_penalty penalty);

struct sp_soft_masks {
  size_t len, layers, reach;       /* reach: J, the stride of a row */
  const struct sp_lookahead *rule; /* left window, reach of each layer, cls row */
  const float *a;                  /* (L, stride, J), of which rows [0, len) of each layer count */
  size_t stride;                   /* rows between layers, as in a batch's array; 0: len */
};

/* Soft algorithmic latency.  delta^0 = 0, delta^l_i = max over j with an edge, past ones too, of
 * A_ij ((j - i) + delta^{l-1}_j); on 0/1 masks without cut rows the exact latency.  O(L len (J + 1)).
 * `scratch`, aligned for double, keeps the arg-max paths for the way back. */
size_t sp_soft_latency_scratch(size_t len, size_t layers); /* bytes; SIZE_MAX: too many */
void sp_soft_latency(const struct sp_soft_masks *masks, double *latency /* (len) */, void *scratch);
/* Adds sum_i d_latency_i d delta_i / d a to d_a, laid out as a: along the arg-max path alone, of equal
 * ones the nearest past column, else the nearest ahead: what waits anyway is not blamed on a cell. */
void sp_soft_latency_backward(const struct sp_soft_masks *masks,
                              const double *d_latency /* (len) */, float *d_a, void *scratch);

/* Soft backlog, in periods: what of W_0 + .. + W_(len-1) is left after the last period where C is worked
 * off in each, and what is released at t can use the capacity of t; decoders and heads apart.  The cells
 * are taken as independent events: a row waits exactly k with probability a_k prod_{m > k} (1 - a_m), and
 * node (l, i) is released at t or before with probability
 *
 *   F^l_i(t) = prod_{i - left <= j <= i} F^{l-1}_j(t)  prod_r (1 - a_ir (1 - F^{l-1}_{i+r}(t)))
 *
 * nodes of a layer taken as independent (never earlier than true, as they hang together).  W_t is the
 * expected cost of the nodes of t, a row's keys counted by sum a.  On 0/1 masks without cut rows the exact
 * backlog of latency.h.  Adds scale * d backlog / d a to d_a where it is not NULL: the backlog is the
 * maximum over t of work released after t less the capacity after t, and the gradient that of the largest
 * one, none where no backlog is left.  Fails only for want of memory. */
SP_MUST_CHECK enum sp_status sp_soft_backlog(const struct sp_soft_masks *masks,
                                             const struct sp_latency_costs *costs, double *backlog,
                                             double scale, float *d_a, struct sp_error *err);

/* A batch's penalty: value and its gradient, lambda times.  `average` is the moving average of mean
 * latency, of previous steps (a constant to the gradient); 0 before the first, when relative-ema is left
 * out. */
struct sp_penalty_rule {
  enum sp_penalty kind;
  double lambda;
  struct sp_latency_costs backlog; /* capacity 0: that of `layers` nodes, so that a causal model keeps up */
};
struct sp_penalty_sums { /* over the positions of a batch; add up over batches */
  double positions;      /* rows */
  double value;          /* of the step's penalty, the part of these sequences; not yet times lambda */
  double latency;        /* sum of delta_i */
  double lookahead;      /* sum over layers and rows of a, divided by L */
  double cells;          /* cells that are there (not beyond the end) */
  double settled;        /* of these, within 0.05 of 0 or 1 */
  double backlog;        /* sum over sequences; 0 but for `computational` */
};
/* Adds one sequence.  d_a, laid out as a, gets lambda * d value / d a added, where the value of a step is
 * the mean over its `step_positions` positions (backlog: over its `step_sequences`); NULL: not asked for.
 * Fails only for want of memory. */
SP_MUST_CHECK enum sp_status sp_penalty_add(const struct sp_penalty_rule *rule,
                                            const struct sp_soft_masks *masks, double average,
                                            double step_positions, double step_sequences,
                                            struct sp_penalty_sums *sums, float *d_a,
                                            struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
