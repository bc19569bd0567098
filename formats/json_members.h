/* json_members.h - the members of one large JSON object or array, one at a time.
 *
 * Formats that put a whole archive into one JSON document are split here in a bounded window: only
 * the structure is scanned, each member is then parsed by json_fast.
 *
 * Flow       sp_json_members_create over a source, next until *found is false, destroy. seek at any time.
 * Memory     the longest member, at most `ceiling`, and a block.
 * Errors     SP_EINPUT with "path:line: reason" for what is no object or array, ends early, goes on
 *            behind its end, or has a member over the ceiling. A member's inside is not judged. */
#ifndef SP_FORMATS_JSON_MEMBERS_H
#define SP_FORMATS_JSON_MEMBERS_H

#include "source.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_json_members;

/* `open` is what the document must begin with: '{' or '['. The source stays the caller's and must
 * outlive the splitter. */
SP_MUST_CHECK enum sp_status sp_json_members_create(struct sp_source *source, char open,
                                                    size_t ceiling, struct sp_json_members **out,
                                                    struct sp_error *err);
/* As above, of a document that is one object with one member, called `key` (which is kept): walks
 * the object or array that is its value. */
SP_MUST_CHECK enum sp_status sp_json_members_create_inside(struct sp_source *source,
                                                           const char *key, char open,
                                                           size_t ceiling,
                                                           struct sp_json_members **out,
                                                           struct sp_error *err);
/* NULL is fine. */
void sp_json_members_destroy(struct sp_json_members *members);

/* *member is {"key":value}, an object of its own, for an object's member, and the value for an
 * array's; valid until the next call, with SP_BUF_PADDING readable bytes behind it. *line is where
 * it begins. */
SP_MUST_CHECK enum sp_status sp_json_members_next(struct sp_json_members *members,
                                                  struct sp_text *member, uint64_t *line,
                                                  bool *found, struct sp_error *err);
/* Where the last member begins. */
struct sp_source_place sp_json_members_place(const struct sp_json_members *members);
/* Makes the member at that place of an equal document the next one, as sp_source_seek; what lies before it
 * is not looked at. */
SP_MUST_CHECK enum sp_status sp_json_members_seek(struct sp_json_members *members,
                                                  const struct sp_source_place *place,
                                                  struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
