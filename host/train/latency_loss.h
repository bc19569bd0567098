/* latency_loss.h - penalties on how far soft masks look ahead, and their gradients (methods.md 2.5-2.7).
 *
 * A sequence of `len` positions, L layers, reach J: a[l][i][r - 1] in [0, 1] is how far row i of layer l
 * lets key i + r in, r = 1 .. J (reach[l] <= J of them; cells beyond the sequence's end are 0); rows
 * i - left .. i are seen with 1.  f64 inside.  What is the papers' and what is ours: methods.md; the forms
 * of `relative` and the soft backlog are ours. */
#ifndef SP_TRAIN_LATENCY_LOSS_H
#define SP_TRAIN_LATENCY_LOSS_H

#include "lookahead.h"

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
  size_t len, layers, reach; /* reach: J, the stride of a row */
  const struct sp_lookahead *rule; /* left window, reach of each layer */
  const float *a;            /* (L, len, J) */
};

/* The soft algorithmic latency delta_i of every position (len): delta^0 = 0, delta^l_i = max over j with an
 * edge, past ones too, of A_ij ((j - i) + delta^{l-1}_j); on 0/1 masks the exact latency.  With `d_latency`
 * (len) != NULL adds the derivative with respect to a to d_a (L, len, J): along the arg-max path alone, the
 * first of equal ones.  `scratch` has sp_latency_scratch(len, layers) bytes. */
size_t sp_latency_scratch(size_t len, size_t layers);
void sp_soft_latency(const struct sp_soft_masks *masks, double *latency, const double *d_latency,
                     float *d_a, void *scratch);

/* Costs of one node, in units of `capacity`: W_t = sum of costs released at t, backlog B_t = max(0, B_{t-1}
 * + W_t - capacity), result B_len / capacity (frame periods).  A row waits exactly k with probability
 * a_k prod_{m > k} (1 - a_m), and is released no sooner than what it reads; in the soft form release times
 * are spread by these probabilities layer by layer (expected work).  Adds the derivative to d_a. */
struct sp_backlog {
  double node_cost;  /* of a row in a layer, keys apart */
  double key_cost;   /* of a key that is read */
  double capacity;   /* done in one frame period */
};
SP_MUST_CHECK enum sp_status sp_soft_backlog(const struct sp_soft_masks *masks,
                                             const struct sp_backlog *cost, double *backlog,
                                             double scale, float *d_a /* NULL: not asked for */,
                                             struct sp_error *err);

/* A batch's penalty: value and its gradient, lambda times.  `average` is the moving average of mean
 * latency, of previous steps (a constant to the gradient); 0 before the first. */
struct sp_penalty_rule {
  enum sp_penalty kind;
  double lambda;
  struct sp_backlog backlog;
};
struct sp_penalty_sums { /* over the positions of a batch; add up over batches */
  double positions;      /* rows that count */
  double value;          /* penalty, not yet times lambda */
  double latency;        /* sum of delta_i */
  double lookahead;      /* sum over layers and rows of a, divided by L */
  double cells;          /* cells that are there (not beyond the end) */
  double settled;        /* of these, within 0.05 of 0 or 1 */
  double backlog;        /* sum over sequences */
};
/* Adds one sequence.  d_a (L, len, J) gets lambda * d value / d a, where the value of a step is the mean
 * over its `step_positions` positions (backlog: over its `step_sequences`). */
SP_MUST_CHECK enum sp_status sp_penalty_add(const struct sp_penalty_rule *rule,
                                            const struct sp_soft_masks *masks, double average,
                                            double step_positions, double step_sequences,
                                            struct sp_penalty_sums *sums, float *d_a,
                                            struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
