/* hyp_source.h - utterances of a system or of references: an archive, or one text an utterance.
 *
 * A file of trn or Kaldi text is an archive whose lists have one hypothesis; with format auto, what
 * would be plain text is one of the two.  In trn, words that are markup to sclite, { a / b } and "@",
 * are refused: counted as words they would give error rates that are not sclite's. */
#ifndef SP_RESCORE_HYP_SOURCE_H
#define SP_RESCORE_HYP_SOURCE_H

#include "archive.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_hyp_source;

/* As sp_archive_open_with. SP_EUSAGE for plain text, which has no utterance ids. */
SP_MUST_CHECK enum sp_status sp_hyp_source_open(const char *const *paths, size_t n_paths,
                                                const struct sp_archive_options *options,
                                                struct sp_hyp_source **out, struct sp_error *err);
/* NULL is fine. */
void sp_hyp_source_close(struct sp_hyp_source *source);
/* As sp_archive_next. */
SP_MUST_CHECK enum sp_status sp_hyp_source_next(struct sp_hyp_source *source, struct sp_utt *utt,
                                                bool *found, struct sp_error *err);
/* "path:line" of the last utterance. Valid until the next call. */
const char *sp_hyp_source_place(struct sp_hyp_source *source);
/* A file of one text an utterance: it has no lists and no references of its own. */
bool sp_hyp_source_is_text(const struct sp_hyp_source *source);

#ifdef __cplusplus
}
#endif
#endif
