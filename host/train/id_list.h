/* id_list.h - utterance ids that a user named, one a line of a file. */
#ifndef SP_TRAIN_ID_LIST_H
#define SP_TRAIN_ID_LIST_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_id_list;

/* Blank lines are passed over, ids named twice count once. SP_EINPUT when there is none. */
SP_MUST_CHECK enum sp_status sp_id_list_read(const char *path, struct sp_id_list **out,
                                             struct sp_error *err);
/* NULL is fine. */
void sp_id_list_destroy(struct sp_id_list *list);
/* Whether it is one of them; remembered for the check below. */
bool sp_id_list_has(struct sp_id_list *list, struct sp_text id);
/* SP_EINPUT when an id was never asked for, with the first such. */
SP_MUST_CHECK enum sp_status sp_id_list_check_all_seen(const struct sp_id_list *list,
                                                       struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
