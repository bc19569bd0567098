/* nodes.h - the distinct nodes of a batch of sequences under bounded lookahead, layer by layer.
 *
 * Node (l, i) of a sequence is x^l at position i.  It is a function of its own child (l-1, i) and of
 * the children that its mask row lets through, each in its slot.  So nodes are equal where their
 * children are, and each distinct one is computed once:
 *
 *   id(0, i) = intern(token_i, i)
 *   P(l, i)  = intern(P(l, i-1), id(l, i))                   all that stands at or before i
 *   id(l, i) = intern(P(l-1, e), id(l-1, i)), id(l-1, j)..   e: the end of the keys that row i sees
 *                                                            without a gap; j: those beyond it
 *
 * Identities are compared in full, never by hash.  A left window hides keys that P counts: that is
 * finer than needed and still exact.
 * Only what can differ from the unmasked text is looked at: a copy masked from k on differs at (l, i)
 * only from i = k - (what looks ahead up to layer l) on, and is asked for only up to the scored
 * position + (what looks ahead above l).  Below that its nodes are the text's own.
 * Under a dynamic rule, whose schedulers mostly stay below their reach, a copy that does not look past
 * its scored position in the first layer is tried without anything past it.  Where a layer further up
 * does look there, the copy is left out, and done in a second round with all that it may ask for.
 * Source: methods.md 5 (ours). */
#ifndef SP_MODEL_NODES_H
#define SP_MODEL_NODES_H

#include "batch.h"
#include "lookahead.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_nodes;

struct sp_nodes_rule {
  const struct sp_lookahead *lookahead; /* outlives the nodes; one that sp_nodes_fits */
  size_t layers;
  struct sp_batch_limits limits; /* tokens: at least twice the longest sequence */
  int32_t mask_id;
};

/* Whether equal nodes of a rule can be told: not under a full mask, nor with a hidden cls row. */
bool sp_nodes_fits(const struct sp_lookahead *lookahead);

/* Host memory of one sp_nodes. */
size_t sp_nodes_bytes(const struct sp_nodes_rule *rule);
SP_MUST_CHECK enum sp_status sp_nodes_create(const struct sp_nodes_rule *rule,
                                             struct sp_nodes **out, struct sp_error *err);
void sp_nodes_destroy(struct sp_nodes *nodes); /* NULL is fine */

/* Cuts a plan that dedupes and keeps lists into batches whose nodes fit, at the ends of lists where a batch has a
 * whole one; *out from the plan's arena, NULL when out of memory. */
struct sp_batch_range *sp_nodes_cut(struct sp_plan *plan, const struct sp_nodes_rule *rule,
                                    size_t *n_batches);
/* About the most nodes that the plan needs, all layers together: what predicts cost.  Of what texts
 * have in common only prefixes with the text before are seen. */
double sp_nodes_bound(const struct sp_plan *plan, const struct sp_nodes_rule *rule);

/* Layer 0 of a batch: N nodes. */
struct sp_node_inputs {
  size_t rows;
  const int32_t *ids;        /* (N) */
  const uint32_t *positions; /* (N) */
};
/* `plan` must outlive the batch. */
void sp_nodes_begin(struct sp_nodes *nodes, const struct sp_plan *plan, struct sp_batch_range range,
                    struct sp_node_inputs *out);

/* The nodes of the next level, N of them in G groups; a group's rows read keys from one table of
 * slots.  Arrays are as sp_attention_args and sp_mask_args want them, the nodes' until the next
 * level. */
struct sp_node_level {
  size_t rows, groups, key_rows;
  const uint32_t *own;       /* (N) row of the level before at the same position: q and residual */
  const uint32_t *position;  /* (N) */
  const uint32_t *row_start; /* (G + 1) */
  const uint32_t *len;       /* (G) positions of the sequence */
  const uint32_t *key_start, *key_len, *key_split, *key_own; /* (G) */
  const uint32_t *key_row;    /* (key_rows) rows of the level before */
  const uint64_t *mask_start; /* (G) */
};
/* Call it once a layer. `bits` of the level's rows so far: the scheduler's of this layer, NULL unless
 * the rule is dynamic and reaches ahead in it. */
void sp_nodes_next(struct sp_nodes *nodes, const uint32_t *bits, struct sp_node_level *out);

/* After the last level: what becomes of its rows. */
struct sp_node_outputs {
  size_t mlm_rows, cls_rows, targets;
  const uint32_t *mlm_row;    /* (mlm_rows) rows that have targets */
  const uint32_t *cls_row;    /* (cls_rows) */
  const uint32_t *target_row; /* (N) index into mlm_row, ascending */
  const int32_t *target_id;   /* (N) */
  /* Of the batch's results, in the plan's order: their place among the above. */
  const uint32_t *place_of_target, *place_of_cls;
  size_t plan_targets, plan_cls;
  size_t first_target, first_cls; /* where they begin in the plan's numbering */
};
void sp_nodes_end(struct sp_nodes *nodes, struct sp_node_outputs *out);

/* After the end of the first round: begins a second one with the copies that were left out, and is
 * true; false where there are none.  The places of what is not computed in a round are UINT32_MAX. */
bool sp_nodes_again(struct sp_nodes *nodes, struct sp_node_inputs *out);

/* Scheduler bits of the batch's traced sequences, one after the other, (L, len) words each, 0 in layers
 * without reach; dynamic rules only. */
const uint32_t *sp_nodes_trace(const struct sp_nodes *nodes);
struct sp_node_counts {
  uint64_t nodes;    /* computed so far in this batch's rounds, level 0 apart */
  uint64_t mlm_rows; /* of these on the last level, those that reach the vocabulary */
};
struct sp_node_counts sp_nodes_get_counts(const struct sp_nodes *nodes);

#ifdef __cplusplus
}
#endif
#endif
