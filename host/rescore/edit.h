/* edit.h - edit distance of one reference to many hypotheses.
 *
 * Flow       create; for each utterance set_reference, then distance for each hypothesis; destroy.
 * Threads    the scratch memory belongs to one thread at a time. */
#ifndef SP_RESCORE_EDIT_H
#define SP_RESCORE_EDIT_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_edit;

SP_MUST_CHECK enum sp_status sp_edit_create(struct sp_edit **out, struct sp_error *err);
/* NULL is fine. */
void sp_edit_destroy(struct sp_edit *edit);
/* `ref` (n) is kept by pointer, until the next set_reference. */
SP_MUST_CHECK enum sp_status sp_edit_set_reference(struct sp_edit *edit, const uint32_t *ref,
                                                   size_t n, struct sp_error *err);
/* *errors: the fewest substitutions, deletions and insertions that turn the reference into
 * hyp (n). */
SP_MUST_CHECK enum sp_status sp_edit_distance(struct sp_edit *edit, const uint32_t *hyp, size_t n,
                                              size_t *errors, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
