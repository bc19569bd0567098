/* transcripts.h - one text an utterance: SCTK trn and Kaldi text files.
 *
 * trn    "the words (id)": the id stands in the last parentheses of the line; lines that begin with
 *        ";;" are comments. Markup of sclite that means something other than a word, { a / b } and
 *        "@", is refused.
 * kaldi  "id the words"; an id alone is an empty text.
 * Blank lines are skipped. Which of the two a file is, the first other line tells: trn when it ends
 * in "(id)" behind white space or nothing.
 *
 * Flow     open, next until *found is false, close.
 * Memory   the longest line, at most 64 MiB.
 * Errors   SP_EINPUT with "path:line: reason" (NUL, invalid UTF-8, no id); SP_EIO.
 * Ids      as in archive.h; whether one comes twice is for the caller to find out. */
#ifndef SP_FORMATS_TRANSCRIPTS_H
#define SP_FORMATS_TRANSCRIPTS_H

#include "source.h"

#ifdef __cplusplus
extern "C" {
#endif

enum sp_transcript_format { SP_TRANSCRIPT_AUTO, SP_TRANSCRIPT_TRN, SP_TRANSCRIPT_KALDI };

struct sp_transcripts;

SP_MUST_CHECK enum sp_status sp_transcripts_open(const char *path, enum sp_transcript_format format,
                                                 struct sp_transcripts **out, struct sp_error *err);
/* Reads an open source, which becomes the reader's, also on failure. */
SP_MUST_CHECK enum sp_status sp_transcripts_open_source(struct sp_source *source,
                                                        enum sp_transcript_format format,
                                                        struct sp_transcripts **out,
                                                        struct sp_error *err);
/* NULL is fine. */
void sp_transcripts_close(struct sp_transcripts *transcripts);

/* *id and *text, without white space around them, are valid until the next call. */
SP_MUST_CHECK enum sp_status sp_transcripts_next(struct sp_transcripts *transcripts,
                                                 struct sp_text *id, struct sp_text *text,
                                                 bool *found, struct sp_error *err);
/* For messages about the last one handed out. */
const char *sp_transcripts_path(const struct sp_transcripts *transcripts);
uint64_t sp_transcripts_line(const struct sp_transcripts *transcripts);
/* Resolved at the first line that is not blank. */
enum sp_transcript_format sp_transcripts_get_format(const struct sp_transcripts *transcripts);

#ifdef __cplusplus
}
#endif
#endif
