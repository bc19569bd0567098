/* wer_lines.h - `wer --per-utt` and `wer --align`: what is written of each utterance. */
#ifndef SP_CLI_WER_LINES_H
#define SP_CLI_WER_LINES_H

#include <stdio.h>

#include "wer.h"
#include "wer_args.h"

struct sp_wer_lines {
  FILE *per_utt, *align; /* NULL: not wanted */
  const char *per_utt_path, *align_path;
  bool json_lines;
};

SP_MUST_CHECK enum sp_status sp_wer_lines_open(const struct sp_wer_args *args,
                                               struct sp_wer_lines *out, struct sp_error *err);
/* `n_others` counts stand in utt->others. */
SP_MUST_CHECK enum sp_status sp_wer_lines_write(struct sp_wer_lines *lines, struct sp_wer *wer,
                                                struct sp_text id, const struct sp_wer_utt *utt,
                                                size_t n_others, struct sp_error *err);
/* Closes the files; SP_EIO when anything was lost. */
SP_MUST_CHECK enum sp_status sp_wer_lines_close(struct sp_wer_lines *lines, struct sp_error *err);

#endif
