/* archive_writer.h - N-best archives in every output format, one utterance at a time.
 *
 * Flow       open; put for every utterance; losses; close, or discard.
 * Output     a file, plain or compressed by its name, "-" for standard output, a directory for
 *            espnet2; it appears under its name when close succeeds, not before (sink.h).
 * Losses     what the format has no place for is dropped and counted, or refused under `strict`.
 * Errors     SP_EINPUT when a text or an id would break the format ("utterance ID: reason"; the
 *            caller knows the place); SP_EIO; SP_EUSAGE for options that do not go together.
 * Threads    a writer belongs to one thread at a time. */
#ifndef SP_FORMATS_ARCHIVE_WRITER_H
#define SP_FORMATS_ARCHIVE_WRITER_H

#include "archive.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All zero but `format` stands for the defaults; the strings must live as long as the writer. */
struct sp_archive_writer_options {
  enum sp_archive_format format; /* not SP_FORMAT_AUTO */
  bool strict;                   /* a loss is SP_EINPUT */
  bool refs;                     /* trn, kaldi-text, text: the reference, not the best hypothesis */
  bool costs;                    /* scores and components are negated on the way out */
  const char *tsv;               /* tsv: columns, see tsv_columns.h */
  const char *tables;            /* kaldi: score tables written beside, "NAME=FILE,.." */
  const char *label;             /* hf-regression: score, total or a component; NULL: score */
};

struct sp_archive_writer;

SP_MUST_CHECK enum sp_status sp_archive_writer_open_with(
    const char *path, const struct sp_archive_writer_options *options,
    struct sp_archive_writer **out, struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_archive_writer_open(const char *path, enum sp_archive_format format,
                                                    struct sp_archive_writer **out,
                                                    struct sp_error *err);

/* After a failure only discard and close are allowed. */
SP_MUST_CHECK enum sp_status sp_archive_writer_put(struct sp_archive_writer *writer,
                                                   const struct sp_utt *utt, struct sp_error *err);

/* What was dropped so far, in the order of the first occurrence; `what` reads behind a number, "first-
 * pass scores", and lives as long as the writer. */
struct sp_loss {
  char what[96];
  uint64_t count;
};
size_t sp_archive_writer_losses(const struct sp_archive_writer *writer,
                                const struct sp_loss **losses);

/* Finishes and publishes the output, and frees the writer.  After a put that failed it discards and
 * returns that failure. */
SP_MUST_CHECK enum sp_status sp_archive_writer_close(struct sp_archive_writer *writer,
                                                     struct sp_error *err);
/* Removes what was written, and frees. NULL is fine. */
void sp_archive_writer_discard(struct sp_archive_writer *writer);

#ifdef __cplusplus
}
#endif
#endif
