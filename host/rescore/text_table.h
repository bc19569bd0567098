/* text_table.h - texts by utterance id, all of a file in memory.
 *
 * A million utterances of 20 words take about 200 MB. Entries are numbered from 0 as they come. */
#ifndef SP_RESCORE_TEXT_TABLE_H
#define SP_RESCORE_TEXT_TABLE_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_text_table;

SP_MUST_CHECK enum sp_status sp_text_table_create(struct sp_text_table **out, struct sp_error *err);
/* NULL is fine. */
void sp_text_table_destroy(struct sp_text_table *table);

/* Puts a copy in, or leaves the entry of that id as it is: *existed. *index is its number. */
SP_MUST_CHECK enum sp_status sp_text_table_add(struct sp_text_table *table, struct sp_text id,
                                               struct sp_text text, size_t *index, bool *existed,
                                               struct sp_error *err);
/* Finds the text of `id` and marks the entry as used; false when there is none. Valid until the
 * next add. */
bool sp_text_table_use(struct sp_text_table *table, struct sp_text id, struct sp_text *text);

size_t sp_text_table_count(const struct sp_text_table *table);
struct sp_text sp_text_table_id(const struct sp_text_table *table, size_t index);
bool sp_text_table_used(const struct sp_text_table *table, size_t index);

#ifdef __cplusplus
}
#endif
#endif
