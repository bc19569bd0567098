/* id_set.h - finds an utterance id that occurs twice, in bounded memory.
 *
 * Keeps a 128-bit hash an id (XXH3; with 10^9 ids two different ones collide with probability
 * 1.5e-21). Up to `memory_bytes` the set is a hash table and a duplicate is told at once; beyond it
 * sorted runs spill to unlinked temporary files in `directory` and a duplicate is told by finish. */
#ifndef SP_FORMATS_ID_SET_H
#define SP_FORMATS_ID_SET_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_ID_SET_MEMORY ((size_t)1 << 30)

struct sp_id_set;

/* `directory` may be NULL: $TMPDIR or /tmp. */
SP_MUST_CHECK enum sp_status sp_id_set_create(size_t memory_bytes, const char *directory,
                                              struct sp_id_set **out, struct sp_error *err);
void sp_id_set_destroy(struct sp_id_set *set);
/* *duplicate is set when the id is known to be in the set already. */
SP_MUST_CHECK enum sp_status sp_id_set_add(struct sp_id_set *set, struct sp_text id,
                                           bool *duplicate, struct sp_error *err);
/* After the last id, once: *first and *second are the zero-based ordinals of one equal pair, or equal
 * to each other when all ids are distinct. */
SP_MUST_CHECK enum sp_status sp_id_set_finish(struct sp_id_set *set, uint64_t *first,
                                              uint64_t *second, struct sp_error *err);

/* The most memory that a set of `ids` ids in `memory_bytes` takes at any time, and the bytes that it spills
 * to its directory (0: none), when no two are equal. */
uint64_t sp_id_set_bytes(uint64_t ids, size_t memory_bytes, uint64_t *spilled);

#ifdef __cplusplus
}
#endif
#endif
