/* score_table.h - scores made elsewhere, from a file in any order.
 *
 * A line is JSON, {"id":"..","i":0,"value":-3.5,"n":12} or a list at a time,
 * {"id":"..","hyps":[{"i":0,"value":-3.5},..]}, where "value" may also be the score's own name; or
 * it is tab-separated: id, i, value and maybe n, below an optional header line that begins with
 * "id".  FORMATS.md has the details.  An entry that comes twice is bad input.
 * Memory     24 bytes an entry, twice that at times while the table grows; an id is kept as its
 *            128-bit hash. Values are kept as floats.
 * Errors     SP_EINPUT with "path:line: reason". */
#ifndef SP_RESCORE_SCORE_TABLE_H
#define SP_RESCORE_SCORE_TABLE_H

#include "combine.h"
#include "source.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_SCORE_TABLE_CEILING ((size_t)1 << 25) /* entries */

struct sp_score_table;

struct sp_score_table_counts {
  uint64_t entries, nulls;
  uint64_t positive, negative; /* values as used: costs are negated already */
  uint64_t used;               /* entries that were found by lookups */
};

/* `name` is the score's; `costs`: lower is better in the file. The source stays the caller's. */
SP_MUST_CHECK enum sp_status sp_score_table_read(struct sp_source *source, const char *name,
                                                 bool costs, struct sp_score_table **out,
                                                 struct sp_error *err);
/* NULL is fine. */
void sp_score_table_destroy(struct sp_score_table *table);
/* False when there is no entry. */
bool sp_score_table_find(struct sp_score_table *table, struct sp_text id, uint32_t rank,
                         struct sp_second *out);
struct sp_score_table_counts sp_score_table_get_counts(const struct sp_score_table *table);

#ifdef __cplusplus
}
#endif
#endif
