/* sample_archive.h - some utterances like those of a described archive, as a file that has no name.
 *
 * Texts are words of the model's own vocabulary, one token each, so that they have exactly the described
 * lengths; hypotheses of a list differ by a word or two. Lines are padded to the described size. The
 * same description and vocabulary give the same bytes. */
#ifndef SP_ENGINE_SAMPLE_ARCHIVE_H
#define SP_ENGINE_SAMPLE_ARCHIVE_H

#include "archive_description.h"
#include "context.h"

struct sp_sample {
  int fd;        /* -1: none */
  char path[32]; /* opens it while `fd` is open */
  uint64_t utts, bytes;
};

/* Writes the first `utts` into $TMPDIR or /tmp. SP_EMODEL when no piece of the vocabulary is a word of
 * the letters a to z. Close also after a failure. */
SP_MUST_CHECK enum sp_status sp_sample_make(const struct sp_description *description,
                                            const struct sp_context *context, uint64_t utts,
                                            struct sp_sample *out, struct sp_error *err);
void sp_sample_close(struct sp_sample *sample);

#endif
