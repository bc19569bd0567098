/* latency.h - how long outputs wait: for the tokens that they depend on, and for the work itself.
 *
 * The unit of time is the token period: position i of a sequence, [CLS] and [SEP] included, arrives
 * at time i; [SEP], position len - 1, says that the sentence has ended.
 *
 * Algorithmic latency.  Node (l, i) can be computed when all that it reads can and, where its row
 * would see beyond the end ("cut"), when the end is known:
 *
 *   r(0, i) = i
 *   r(l, i) = max { r(l-1, i), r(l-1, j) for all j that row i of layer l-1 sees, past ones included,
 *                   len - 1 if the row is cut }
 *   delta_i = r(L, i) - i          = how far the farthest input that reaches output i lies ahead
 *
 * Outputs handed on in order come at max over k <= i of r(L, k): the in-order latency of i is that
 * less i.  An output is clipped when a node of its dependency cone, itself included, is cut: its
 * latency says where the sentence ended rather than what the masks ask for.
 *
 * Computational latency.  W_t is the cost of all nodes with r = t, C what is worked off in a period;
 * what is released at t can use the capacity of t:
 *
 *   B_(-1) = 0,   B_t = max(0, B_(t-1) + W_t - C),   UPL = B_(len-1) / C periods
 *
 * the work that is left when the last period ends.  Heads are left out.
 * Source: ANCAT, Strimel et al. 2023; the recursions are methods.md 2.5 and 2.7. */
#ifndef SP_MODEL_LATENCY_H
#define SP_MODEL_LATENCY_H

#include "latency_counts.h"
#include "mask_graph.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_latency {
  size_t layers, len;
  uint32_t *ready;        /* (layers + 1, len) r of every node, layer 0 the inputs */
  unsigned char *clipped; /* (layers + 1, len) 1: the node's cone is cut */
};

/* All nodes of a graph. Fails only for want of memory. */
SP_MUST_CHECK enum sp_status sp_latency_create(const struct sp_mask_graph *graph,
                                               struct sp_latency *out, struct sp_error *err);
void sp_latency_release(struct sp_latency *latency);

/* delta of node (layer, i); the outputs are those of layer `layers`. */
static inline size_t sp_latency_of(const struct sp_latency *latency, size_t layer, size_t i) {
  return latency->ready[layer * latency->len + i] - i;
}
static inline bool sp_latency_is_clipped(const struct sp_latency *latency, size_t layer, size_t i) {
  return latency->clipped[layer * latency->len + i] != 0;
}

/* Costs in any one unit: with a node of 1 and nothing else, work counts nodes. */
struct sp_latency_costs {
  double node;      /* projections and feed-forward of one row of one layer */
  double key;       /* of a row's attention, each key that it sees */
  double scheduler; /* of a row that a scheduler decides about; due when its input is there */
  double capacity;  /* C, over 0 */
};

/* What is used where the user says nothing: nodes alone count, and capacity for the nodes of one
 * position, so that a causal model just keeps up. */
struct sp_latency_costs sp_latency_default_costs(size_t layers);

struct sp_backlog {
  double upl;    /* B_(len-1) / C */
  double finish; /* (B_(len-2) + W_(len-1)) / C: periods from the last arrival to the last output */
  double peak;   /* largest W_t */
};
/* `scheduled` says which layers have schedulers; NULL: none. */
SP_MUST_CHECK enum sp_status sp_latency_backlog(const struct sp_mask_graph *graph,
                                                const struct sp_latency *latency,
                                                const bool *scheduled /* (layers) */,
                                                const struct sp_latency_costs *costs,
                                                struct sp_backlog *out, struct sp_error *err);

/* Counts the outputs of one hypothesis, [CLS] and [SEP] left out, and its UPL. The running maximum
 * of in-order latency begins after [CLS]. */
SP_MUST_CHECK enum sp_status sp_latency_count(const struct sp_latency *latency, double upl,
                                              struct sp_latency_counts *counts,
                                              struct sp_error *err);

/* All of it: the counts of one sequence under a rule; `bits` as sp_mask_graph_create takes them. */
SP_MUST_CHECK enum sp_status sp_latency_measure(const struct sp_lookahead *rule, size_t layers,
                                                size_t len, const uint32_t *bits,
                                                const struct sp_latency_costs *costs,
                                                struct sp_latency_counts *counts,
                                                struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
