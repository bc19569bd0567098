/* units.h - what an error rate counts: the words, characters or mixed units of a text as numbers.
 *
 * Equal units of one struct sp_units get equal ids, others different ones, until the next clear.
 *   word   what white space (Unicode's White_Space property) parts
 *   char   every Unicode scalar value that is not white space: spaces are no units, as in sclite -c
 *   mixed  a CJK ideograph or a kana is a unit of its own, the rest between them and white space is
 *          a word: the units of the mixed error rate of code-switched speech
 *
 * Flow     create; split any number of texts; clear before the next utterance; destroy.
 * Memory   grows with the texts since the last clear and is kept by it.
 * Threads  one a thread. */
#ifndef SP_RESCORE_UNITS_H
#define SP_RESCORE_UNITS_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

/* name, option, what its error rate is called */
#define SP_UNIT_MAP(X)           \
  X(SP_UNIT_WORD, "word", "WER") \
  X(SP_UNIT_CHAR, "char", "CER") \
  X(SP_UNIT_MIXED, "mixed", "MER")

enum sp_unit {
#define X(name, option, rate) name,
  SP_UNIT_MAP(X)
#undef X
};

/* "WER", "CER", "MER". */
const char *sp_unit_rate_name(enum sp_unit unit);

struct sp_units;

SP_MUST_CHECK enum sp_status sp_units_create(enum sp_unit unit, struct sp_units **out,
                                             struct sp_error *err);
/* NULL is fine. */
void sp_units_destroy(struct sp_units *units);

/* *ids (*n) are those of `text`, in its order, valid until the next clear; the text is not kept. */
SP_MUST_CHECK enum sp_status sp_units_split(struct sp_units *units, struct sp_text text,
                                            const uint32_t **ids, size_t *n, struct sp_error *err);
/* The bytes of a unit, valid until the next split or clear. */
struct sp_text sp_units_text(struct sp_units *units, uint32_t id);
/* Forgets all ids. */
void sp_units_clear(struct sp_units *units);

#ifdef __cplusplus
}
#endif
#endif
