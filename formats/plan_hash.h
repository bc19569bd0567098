/* plan_hash.h - what a shard's input is known by: one number of its ids and texts, whatever else changes. */
#ifndef SP_FORMATS_PLAN_HASH_H
#define SP_FORMATS_PLAN_HASH_H

#include "archive.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of one utterance: XXH3-64 of its id seeded with `ordinal`, its position in the archive from 0; then of
 * each text in rank order, seeded with the hash before it.  A shard's hash is the sum of its utterances',
 * modulo 2^64, so that hashes of neighbouring blocks add up to that of both; the ordinals keep the order.
 * Tells changed files, not forged ones. */
uint64_t sp_plan_hash(const struct sp_utt *utt, uint64_t ordinal);
/* Its steps: the id, then each text with the hash before it. */
uint64_t sp_plan_hash_id(struct sp_text id, uint64_t ordinal);
uint64_t sp_plan_hash_text(struct sp_text text, uint64_t before);

#ifdef __cplusplus
}
#endif
#endif
