/* archive_trn.c - two formats of one text an utterance: SCTK trn, "words (id)", and Kaldi text,
 * "id words".  They hold references as well as best hypotheses; the text is taken as it stands,
 * alternations of a trn as well. */
#include <string.h>

#include "archive_lines.h"

static enum sp_status add_text(struct sp_reader *reader, struct sp_text text, struct sp_text id,
                               struct sp_utt *utt, struct sp_error *err) {
  struct sp_hyp *hyp;
  const char *fault = sp_id_fault(id);
  *utt = (struct sp_utt){.id = id};
  SP_TRY(sp_lines_add_hyp(reader, utt, &hyp, err));
  hyp->text = text;
  return fault ? sp_reader_fail(reader, err, "%s", fault) : SP_OK;
}

static enum sp_status next_line(struct sp_reader *reader, struct sp_text *line, bool *found,
                                struct sp_error *err) {
  SP_TRY(sp_reader_line(reader, line, found, err));
  return *found ? sp_reader_check_text(reader, *line, err) : SP_OK;
}

/* The id stands in the last parentheses, one space before them belongs to them. */
static enum sp_status split_trn(struct sp_reader *reader, struct sp_text line, struct sp_utt *utt,
                                struct sp_error *err) {
  size_t open = line.len;
  if (line.data[line.len - 1] != ')') {
    return sp_reader_fail(reader, err, "the line does not end in (id)");
  }
  while (open > 0 && line.data[open - 1] != '(') {
    open--;
  }
  if (open == 0) {
    return sp_reader_fail(reader, err, "')' without '('");
  }
  struct sp_text id = {line.data + open, line.len - 1 - open};
  struct sp_text text = {line.data, open - 1};
  if (text.len > 0 && text.data[text.len - 1] == ' ') {
    text.len--;
  }
  return add_text(reader, text, id, utt, err);
}

static enum sp_status next_trn(struct sp_reader *reader, struct sp_utt *utt, bool *found,
                               struct sp_error *err) {
  struct sp_text line;
  bool passed_over;
  do {
    SP_TRY(next_line(reader, &line, found, err));
    if (!*found) {
      return SP_OK;
    }
    line = sp_text_trim_end(line);
    passed_over = line.len == 0 || (line.len > 1 && memcmp(line.data, ";;", 2) == 0);
  } while (passed_over);
  return split_trn(reader, line, utt, err);
}

static enum sp_status next_kaldi_text(struct sp_reader *reader, struct sp_utt *utt, bool *found,
                                      struct sp_error *err) {
  struct sp_text text, id;
  do {
    SP_TRY(next_line(reader, &text, found, err));
    if (!*found) {
      return SP_OK;
    }
  } while (sp_text_trim_end(text).len == 0);
  sp_text_cut_word(&text, &id);
  return add_text(reader, text, id, utt, err);
}

const struct sp_reader_format sp_reader_trn = {.next = next_trn};
const struct sp_reader_format sp_reader_kaldi_text = {.next = next_kaldi_text};
