/* wer_block.h - what `wer` resamples as a whole: the block of an utterance, as --block-by says.
 *
 *   NULL, speaker   the id up to its first '-'
 *   prefix:SEP      the id up to the first SEP
 *   field:NAME      the value of the utterance's field: a string's text, the JSON of what else is
 *                   there; null is no value
 *   utterance       no blocks */
#ifndef SP_CLI_WER_BLOCK_H
#define SP_CLI_WER_BLOCK_H

#include "archive.h"
#include "json_fast.h"

/* SP_EUSAGE when `how` is none of the above. */
SP_MUST_CHECK enum sp_status sp_wer_block_check(const char *how, struct sp_error *err);
/* Utterances without a block are an error: --block-by asks for blocks. */
bool sp_wer_block_wanted(const char *how);

struct sp_wer_blocks {
  const char *how;
  struct sp_json *json; /* field: reads the values */
  struct sp_buf room;
};

/* `how` has been checked and outlives *out. */
SP_MUST_CHECK enum sp_status sp_wer_blocks_open(const char *how, struct sp_wer_blocks *out,
                                                struct sp_error *err);
void sp_wer_blocks_close(struct sp_wer_blocks *blocks);

/* The name of the block of the utterance with that id and those fields (n_fields): empty when it has
 * none. Valid until the next call, and no longer than the utterance. */
SP_MUST_CHECK enum sp_status sp_wer_blocks_find(struct sp_wer_blocks *blocks, struct sp_text id,
                                                const struct sp_field *fields, size_t n_fields,
                                                struct sp_text *name, struct sp_error *err);

#endif
