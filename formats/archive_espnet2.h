/* archive_espnet2.h - ESPnet2 decoding output: the {k}best_recog files of a group, read in step.
 *
 * A directory is one group of lists (1best_recog, 2best_recog, ..) or has several, one under each
 * output.J of its logdir. A list has a `text` file and maybe a `score` file with the same
 * utterances in the same order; 1best_recog has every utterance, the others may have fewer.
 * References come from `ref.text` beside, which has every utterance, in the archive's order, and
 * maybe more.
 * Private to formats/. */
#ifndef SP_FORMATS_ARCHIVE_ESPNET2_H
#define SP_FORMATS_ARCHIVE_ESPNET2_H

#include "archive.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where the groups of a directory are. */
struct sp_espnet2_dirs {
  char **dirs; /* (n_dirs) */
  size_t n_dirs;
  char *ref_path; /* NULL: no references */
};
SP_MUST_CHECK enum sp_status sp_espnet2_find(const char *path, struct sp_espnet2_dirs *out,
                                             struct sp_error *err);
void sp_espnet2_dirs_release(struct sp_espnet2_dirs *dirs);
/* How many lists a group has; SP_EINPUT when one is missing between two others. */
SP_MUST_CHECK enum sp_status sp_espnet2_count_lists(const char *dir, size_t *n_lists,
                                                    struct sp_error *err);

struct sp_espnet2;

/* Called with every file when it is no longer needed, before it is closed. */
typedef enum sp_status (*sp_espnet2_done_fn)(void *context, struct sp_source *source,
                                             struct sp_error *err);

/* A reader without a directory. */
SP_MUST_CHECK enum sp_status sp_espnet2_create(sp_espnet2_done_fn done, void *context,
                                               struct sp_espnet2 **out, struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_espnet2_open(const char *path, sp_espnet2_done_fn done,
                                             void *context, struct sp_espnet2 **out,
                                             struct sp_error *err);
/* NULL is fine. */
void sp_espnet2_close(struct sp_espnet2 *reader);

/* Adds the next list, k = 1, 2, .. to the group being read; `score` may be NULL. The sources become
 * the reader's, also on failure. */
SP_MUST_CHECK enum sp_status sp_espnet2_add_list(struct sp_espnet2 *reader, struct sp_source *text,
                                                 struct sp_source *score, struct sp_error *err);
void sp_espnet2_set_refs(struct sp_espnet2 *reader, struct sp_source *refs);

SP_MUST_CHECK enum sp_status sp_espnet2_next(struct sp_espnet2 *reader, struct sp_utt *utt,
                                             bool *found, struct sp_error *err);
/* Passes all files that are left to `done`, unread. */
SP_MUST_CHECK enum sp_status sp_espnet2_finish(struct sp_espnet2 *reader, struct sp_error *err);
/* Sets stored, raw and line to where the last utterance stands. */
void sp_espnet2_tell(const struct sp_espnet2 *reader, struct sp_place *place);
/* Makes the utterance that tell gave this place for the next one, of an equal directory; opens its group
 * alone. SP_EINPUT when there is none. */
SP_MUST_CHECK enum sp_status sp_espnet2_seek(struct sp_espnet2 *reader,
                                             const struct sp_place *place, struct sp_error *err);
/* The file and line of the last utterance. */
const char *sp_espnet2_place(const struct sp_espnet2 *reader, uint64_t *line);

/* "-4.06", "tensor(-4.06)" or "tensor(-4.06, device='cuda:0')"; false when it is neither or not
 * finite. */
bool sp_espnet2_score(struct sp_text text, double *score);

#ifdef __cplusplus
}
#endif
#endif
