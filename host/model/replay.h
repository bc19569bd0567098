/* replay.h - the unmasked pass of one sequence as a stream would run it: position after position
 * arrives, and every node is computed as soon as all that it reads is there.
 *
 * Node (l, i) is one row of layer l's output; what it reads is in mask_graph.h, and a row that would
 * see beyond the end waits until the end is known.  Keys and values stay in a cache a layer, in
 * their positions.  Every node is bitwise that of the whole pass (forward.h).
 *
 * Flow       create; for each sequence begin, then step with ever more positions until all arrived
 * Devices    whose memory is the host's
 * Threads    the caller's alone
 * Source     ANCAT, Strimel et al. 2023: streaming inference (methods.md 2.5, 2.9) */
#ifndef SP_MODEL_REPLAY_H
#define SP_MODEL_REPLAY_H

#include "mask_graph.h"
#include "weights.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_replay;

/* For sequences of at most `max_len` positions under a rule; dynamic only where the weights have
 * schedulers. The weights must outlive it. SP_EDEVICE. */
SP_MUST_CHECK enum sp_status sp_replay_create(const struct sp_weights *weights,
                                              const struct sp_lookahead *rule, size_t max_len,
                                              struct sp_replay **out, struct sp_error *err);
void sp_replay_destroy(struct sp_replay *replay);

/* Forgets what was; `ids` (len) with [CLS] and [SEP] must stay until the last step. `masks` replaces
 * the rule's own and must stay too; NULL: the rule's. */
SP_MUST_CHECK enum sp_status sp_replay_begin(struct sp_replay *replay, const int32_t *ids,
                                             size_t len, const struct sp_mask_graph *masks,
                                             struct sp_error *err);
/* Positions below `arrived` are there; the end is known when all are. Computes what can be computed;
 * *nodes of it, over all layers. SP_EMODEL when a scheduler gives NaN. */
SP_MUST_CHECK enum sp_status sp_replay_step(struct sp_replay *replay, size_t arrived, size_t *nodes,
                                            struct sp_error *err);

/* Row i of the top layer, (D) act; NULL as long as it is not computed. */
const void *sp_replay_output(const struct sp_replay *replay, size_t i);
/* The masks so far; after the last step those of the whole pass. */
const struct sp_mask_graph *sp_replay_masks(const struct sp_replay *replay);

#ifdef __cplusplus
}
#endif
#endif
