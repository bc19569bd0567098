/* archive_text.c - plain text, one sentence a line.
 *
 * Every line, an empty one too, is an utterance of one hypothesis; its id is the number of the
 * line, counted over all files of the archive. */
#include "archive_reader.h"

static enum sp_status next(struct sp_reader *reader, struct sp_utt *utt, bool *found,
                           struct sp_error *err) {
  struct sp_text line;
  SP_TRY(sp_reader_line(reader, &line, found, err));
  if (!*found) {
    return SP_OK;
  }
  SP_TRY(sp_reader_check_text(reader, line, err));
  SP_TRY(sp_reader_reserve(reader, 1, err));
  reader->hyps[0] = (struct sp_hyp){.text = line};
  *utt = (struct sp_utt){.id = sp_reader_number(reader), .hyps = reader->hyps, .n_hyps = 1};
  return SP_OK;
}

const struct sp_reader_format sp_reader_text = {.next = next};
