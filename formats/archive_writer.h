/* archive_writer.h - N-best archives and transcripts written utterance by utterance.
 *
 * Flow       open; put every utterance; close, which publishes the file, or discard.
 * Durable    the file appears under its name when it is complete: temporary name, fsync, rename.
 *            "-" is standard output. A name that ends in .zst is compressed with zstd.
 * jsonl      whole lists in the order given; a hypothesis with its `i` and `total` if it has them.
 * trn, kaldi-text, text
 *            the first hypothesis of each list, an empty text where there is none.
 * Errors     SP_EIO when the output cannot be written; SP_EINPUT when an utterance cannot be said
 *            in the format (an id with blanks in kaldi-text, a text with a line end).
 * Memory     the longest utterance, and buffers. */
#ifndef SP_FORMATS_ARCHIVE_WRITER_H
#define SP_FORMATS_ARCHIVE_WRITER_H

#include "archive.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_archive_writer;

SP_MUST_CHECK enum sp_status sp_archive_writer_open(const char *path, enum sp_archive_format format,
                                                    struct sp_archive_writer **out,
                                                    struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_archive_writer_put(struct sp_archive_writer *writer,
                                                   const struct sp_utt *utt, struct sp_error *err);
/* Publishes and destroys the writer, also on failure, when nothing of it stays. */
SP_MUST_CHECK enum sp_status sp_archive_writer_close(struct sp_archive_writer *writer,
                                                     struct sp_error *err);
/* Removes what was written and destroys the writer; NULL is fine. */
void sp_archive_writer_discard(struct sp_archive_writer *writer);

#ifdef __cplusplus
}
#endif
#endif
