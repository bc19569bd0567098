/* archive_fairseq.c - what fairseq-generate prints: S-, T-, H-, D- and P- lines of a sentence.
 *
 * H-12 <TAB> score <TAB> text is a hypothesis; its score is the average log-probability of a token.
 * T-12 is the reference, S-12 the source (the field "source"), D-12 the hypothesis without BPE and
 * tokenisation ("detok"), P-12 the log-probabilities of its tokens ("positional"). Lines of any
 * other kind are passed over: the program's log stands between. */
#include <string.h>

#include "archive_lines.h"
#include "float_text.h"

/* Cuts "H-12" and the tab behind it; the kind's letter, 0 for a line of another kind. */
static char cut_head(struct sp_text *line, struct sp_text *id) {
  if (line->len < 3 || !strchr("STHDP", line->data[0]) || !line->data[0] || line->data[1] != '-' ||
      line->data[2] < '0' || line->data[2] > '9') {
    return 0;
  }
  char kind = line->data[0];
  struct sp_text head;
  sp_text_cut(line, SP_TEXT_LITERAL("\t"), &head);
  *id = (struct sp_text){head.data + 2, head.len - 2};
  return kind;
}

static enum sp_status line_id(struct sp_reader *reader, struct sp_text line, struct sp_text *id,
                              struct sp_error *err) {
  *id = (struct sp_text){0};
  if (cut_head(&line, id) == 0) {
    return SP_OK;
  }
  for (size_t i = 0; i < id->len; i++) {
    if (id->data[i] < '0' || id->data[i] > '9') {
      return sp_reader_fail(reader, err, "no tab behind the sentence number");
    }
  }
  return SP_OK;
}

/* The score that H and D lines begin with. */
static enum sp_status cut_score(struct sp_reader *reader, struct sp_text *line, double *score,
                                struct sp_error *err) {
  struct sp_text number;
  if (!sp_text_cut(line, SP_TEXT_LITERAL("\t"), &number)) {
    return sp_reader_fail(reader, err, "no tab behind the score");
  }
  return sp_number_parse(number, score)
             ? SP_OK
             : sp_reader_fail(reader, err, "score '%.*s' is not a finite number",
                              number.len < 40 ? (int)number.len : 40, number.data);
}

static enum sp_status add_positional(struct sp_reader *reader, struct sp_text line,
                                     struct sp_hyp *hyp, struct sp_error *err) {
  struct sp_buf json = {0};
  enum sp_status status = sp_buf_append(&json, "[", 1, err);
  while (line.len > 0 && status == SP_OK) {
    struct sp_text word;
    double value;
    sp_text_cut_word(&line, &word);
    if (word.len == 0) {
      continue;
    }
    char text[SP_DOUBLE_TEXT_MAX];
    status = sp_number_parse(word, &value)
                 ? sp_buf_printf(&json, err, "%s%.*s", json.len > 1 ? "," : "",
                                 (int)sp_double_text(value, text), text)
                 : sp_reader_fail(reader, err, "'%.*s' is not a finite number",
                                  word.len < 40 ? (int)word.len : 40, word.data);
  }
  if (status == SP_OK) {
    status = sp_buf_append(&json, "]", 1, err);
  }
  if (status == SP_OK) {
    status = sp_reader_add_field(reader, hyp, SP_TEXT_LITERAL("positional"),
                                 (struct sp_text){json.data, json.len}, err);
  }
  sp_buf_release(&json);
  return status;
}

static enum sp_status add_hyp(struct sp_reader *reader, struct sp_text line, struct sp_utt *utt,
                              struct sp_error *err) {
  struct sp_hyp *hyp;
  SP_TRY(sp_lines_add_hyp(reader, utt, &hyp, err));
  SP_TRY(cut_score(reader, &line, &hyp->score, err));
  hyp->has_score = true;
  hyp->text = line;
  return SP_OK;
}

/* D and P lines belong to the H line before them. */
static enum sp_status add_to_hyp(struct sp_reader *reader, char kind, struct sp_text line,
                                 struct sp_utt *utt, struct sp_error *err) {
  struct sp_text json;
  double score;
  if (utt->n_hyps == 0) {
    return sp_reader_fail(reader, err, "a %c- line before the first H- line of its sentence", kind);
  }
  struct sp_hyp *hyp = &reader->hyps[utt->n_hyps - 1];
  if (kind == 'P') {
    return add_positional(reader, line, hyp, err);
  }
  SP_TRY(cut_score(reader, &line, &score, err));
  SP_TRY(sp_reader_quote(reader, line, &json, err));
  return sp_reader_add_field(reader, hyp, SP_TEXT_LITERAL("detok"), json, err);
}

static enum sp_status add(struct sp_reader *reader, struct sp_text line, struct sp_utt *utt,
                          struct sp_error *err) {
  struct sp_text id, json;
  char kind = cut_head(&line, &id);
  switch (kind) {
    case 'S':
      SP_TRY(sp_reader_quote(reader, line, &json, err));
      return sp_reader_add_utt_field(reader, utt, SP_TEXT_LITERAL("source"), json, err);
    case 'T':
      return sp_lines_set_ref(reader, utt, line, err);
    case 'H':
      return add_hyp(reader, line, utt, err);
    default:
      return add_to_hyp(reader, kind, line, utt, err);
  }
}

static enum sp_status next(struct sp_reader *reader, struct sp_utt *utt, bool *found,
                           struct sp_error *err) {
  static const struct sp_line_format lines = {line_id, add};
  return sp_lines_next(reader, &lines, utt, found, err);
}

const struct sp_reader_format sp_reader_fairseq = {.next = next};
