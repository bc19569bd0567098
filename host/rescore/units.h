/* units.h - texts as sequences of interned ids, so that comparing two words is comparing two
 * numbers.
 *
 * Ids count from 0 in the order of first appearance and mean something until the next clear.
 * Threads    one interner a thread. */
#ifndef SP_RESCORE_UNITS_H
#define SP_RESCORE_UNITS_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_units;

enum sp_unit { SP_UNIT_WORD, SP_UNIT_CHAR, SP_UNIT_MIXED };

/* SP_EUSAGE for a unit that is not supported. */
SP_MUST_CHECK enum sp_status sp_units_create(enum sp_unit unit, struct sp_units **out,
                                             struct sp_error *err);
/* NULL is fine. */
void sp_units_destroy(struct sp_units *units);
/* *ids (*n) are those of the text, valid until the next clear. */
SP_MUST_CHECK enum sp_status sp_units_split(struct sp_units *units, struct sp_text text,
                                            const uint32_t **ids, size_t *n, struct sp_error *err);
/* Forgets all ids and keeps the memory. */
void sp_units_clear(struct sp_units *units);

#ifdef __cplusplus
}
#endif
#endif
