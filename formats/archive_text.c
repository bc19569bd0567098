/* archive_text.c - plain text, one sentence a line.
 *
 * Every line, an empty one too, is an utterance of one hypothesis; its id is the number of the
 * line, counted over all files of the archive. */
#include <stdio.h>
#include <string.h>

#include "archive_reader.h"
#include "utf8_valid.h"

static enum sp_status check(struct sp_reader *reader, struct sp_text line, struct sp_error *err) {
  const char *nul = line.len > 0 ? memchr(line.data, '\0', line.len) : NULL;
  if (nul) {
    return sp_reader_fail(reader, err, "a NUL byte at byte %zu of the line: this is not plain text",
                          (size_t)(nul - line.data) + 1);
  }
  if (!sp_utf8_valid(line)) {
    return sp_reader_fail(reader, err, "invalid UTF-8 at byte %zu of the line",
                          sp_utf8_valid_prefix(line) + 1);
  }
  return SP_OK;
}

static enum sp_status next(struct sp_reader *reader, struct sp_utt *utt, bool *found,
                           struct sp_error *err) {
  struct sp_text line;
  SP_TRY(sp_source_line(reader->source, SP_RECORD_CEILING, &line, found, err));
  if (!*found) {
    return SP_OK;
  }
  reader->line = sp_source_line_number(reader->source);
  SP_TRY(check(reader, line, err));
  SP_TRY(sp_reader_reserve(reader, 1, err));
  int wide = snprintf(reader->number, sizeof reader->number, "%llu",
                      (unsigned long long)(reader->lines_before + reader->line));
  reader->hyps[0] = (struct sp_hyp){.text = line};
  *utt = (struct sp_utt){.id = {reader->number, (size_t)wide}, .hyps = reader->hyps, .n_hyps = 1};
  return SP_OK;
}

static void stop(struct sp_reader *reader) {
  reader->lines_before += sp_source_line_number(reader->source);
}

const struct sp_reader_format sp_reader_text = {.next = next, .stop = stop};
