/* shares.h - which shard a worker tries next; pure, so that the simulator in bench/ runs the same code.
 *
 * Shards are ordered by predicted cost, longest first (ties: lower index first), so that nobody idles at
 * the end.  A part i of n has every n-th of that order, dealt to and fro (0 1 .. n-1 n-1 .. 1 0 0 ..), so
 * that parts cost alike. With a shared counter (ranks of one job) tickets index the whole order. A part
 * whose share is done takes shards of others from the end of theirs, what they would reach last. */
#ifndef SP_ENGINE_SHARES_H
#define SP_ENGINE_SHARES_H

#include <stdbool.h>
#include <stdint.h>

#include "run_plan.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_shares {
  uint32_t *order; /* (n) shards of this worker, first to try first */
  size_t n;
};

/* `part` of `parts`, part < parts. */
SP_MUST_CHECK enum sp_status sp_shares_make(const struct sp_plan_shard *shards, size_t n, size_t part,
                                            size_t parts, struct sp_shares *out, struct sp_error *err);
/* Shards of a part, of n in all. */
size_t sp_shares_count(size_t n, size_t part, size_t parts);
/* The part that the k-th of the whole order is dealt to. */
size_t sp_shares_part(size_t k, size_t parts);
/* The share of a part, from the whole order: what sp_shares_make(.., part, parts, ..) gives. */
SP_MUST_CHECK enum sp_status sp_shares_of(const struct sp_shares *all, size_t part, size_t parts,
                                          struct sp_shares *out, struct sp_error *err);
void sp_shares_release(struct sp_shares *shares);

/* A part that has nothing left to do helps others.  Each goes through its share from the front, so that what
 * is done or under work is at the front and, once it is helped, at the end, with the open ones between.  A
 * helper looks at a place in the last 1, then 2, then 4 .. of the share, in each stretch at one that its
 * `salt` draws, so that many helpers spread, a few looks pass over what others have done, and owner and
 * helpers meet late.  False when step `step` (from 0) is beyond the front of a share of `n`. */
bool sp_shares_probe(size_t n, unsigned step, uint64_t salt, size_t *place);
/* Orders the parts for a helper: it goes to the one of the lowest number first. */
uint64_t sp_shares_draw(size_t part, uint64_t salt);

#ifdef __cplusplus
}
#endif
#endif
