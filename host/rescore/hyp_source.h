/* hyp_source.h - utterances of a system or of references: an archive, or one text an utterance.
 *
 * A file of transcripts (transcripts.h) is read as an archive of one hypothesis a list. What a single
 * file is, its first byte tells that is not white space: { and [ begin an archive. */
#ifndef SP_RESCORE_HYP_SOURCE_H
#define SP_RESCORE_HYP_SOURCE_H

#include "archive.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_hyp_source;

/* `format`: NULL or "auto", "trn", "kaldi-text", or a name of archive.h. SP_EUSAGE for what has no
 * utterance ids (plain text) and for several files of transcripts. */
SP_MUST_CHECK enum sp_status sp_hyp_source_open(const char *const *paths, size_t n_paths,
                                                const char *format, struct sp_hyp_source **out,
                                                struct sp_error *err);
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
