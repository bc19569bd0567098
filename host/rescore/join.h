/* join.h - an archive read in step with its second-pass scores.
 *
 * Flow       open; scores and select (scores.h); next until *found is false; close.
 * Errors     those of archive.h and scores.h; SP_EINPUT for an id that comes twice. */
#ifndef SP_RESCORE_JOIN_H
#define SP_RESCORE_JOIN_H

#include "scores.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_join_options {
  const char *const *paths; /* (n_paths) of the archive */
  size_t n_paths;
  struct sp_archive_options archive;
  uint64_t limit; /* 0: all; else the first utterances only */
  struct sp_scores_options scores;
};

struct sp_join_counts {
  uint64_t utts, hyps;
  uint64_t without_score; /* hypotheses without a first-pass score */
};

struct sp_join;

SP_MUST_CHECK enum sp_status sp_join_open(const struct sp_join_options *options,
                                          struct sp_join **out, struct sp_error *err);
/* NULL is fine. */
void sp_join_close(struct sp_join *join);
struct sp_scores *sp_join_scores(struct sp_join *join);
/* *utt and *second (n_hyps, n_wanted; see sp_scores_select) are valid until the next call. */
SP_MUST_CHECK enum sp_status sp_join_next(struct sp_join *join, struct sp_utt *utt,
                                          const struct sp_second **second, bool *found,
                                          struct sp_error *err);
/* "path:line" of the utterance. */
const char *sp_join_place(struct sp_join *join);
struct sp_join_counts sp_join_get_counts(const struct sp_join *join);
/* The archive's files with their digests; after the last utterance. */
SP_MUST_CHECK enum sp_status sp_join_files(struct sp_join *join,
                                           const struct sp_archive_file **files, size_t *n_files,
                                           struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
