/* archive_tsv.c - columns parted by tabs, and NeMo's beams, which are two of them.
 *
 * There is no quoting: a quote is a character as any other. */
#include <stdio.h>

#include "archive_lines.h"
#include "checked.h"

/* The id of a record that has only a position, `index` behind where the reading of the file began. */
static enum sp_status number_id(struct sp_reader *reader, uint64_t index, struct sp_text *id,
                                struct sp_error *err) {
  char digits[24];
  int wide = snprintf(digits, sizeof digits, "%llu",
                      (unsigned long long)(reader->records_before + index + 1));
  const char *copy = sp_arena_copy(&reader->arena, digits, (size_t)wide);
  *id = (struct sp_text){copy, (size_t)wide};
  return copy ? SP_OK : sp_fail_memory(err, (size_t)wide);
}

static enum sp_status read_number(struct sp_reader *reader, struct sp_text what,
                                  struct sp_text text, double *value, struct sp_error *err) {
  return sp_number_parse(text, value)
             ? SP_OK
             : sp_reader_fail(reader, err, "%.*s '%.*s' is not a finite number", (int)what.len,
                              what.data, text.len < 40 ? (int)text.len : 40, text.data);
}

/* ---- tsv ---- */

static bool cut_column(struct sp_text *rest, struct sp_text *column) {
  return sp_text_cut(rest, SP_TEXT_LITERAL("\t"), column);
}

static enum sp_status line_id(struct sp_reader *reader, struct sp_text line, struct sp_text *id,
                              struct sp_error *err) {
  uint64_t number = sp_source_line_number(reader->source);
  const struct sp_tsv_columns *columns = &reader->columns;
  *id = (struct sp_text){0};
  if ((columns->header && number == 1) || (columns->id > 0 && line.len == 0)) {
    return SP_OK;
  }
  if (columns->id == 0) {
    uint64_t passed = sp_max_size(reader->lines_before, columns->header);
    return number_id(reader, number - 1 - passed, id, err);
  }
  bool more = true;
  for (size_t c = 1; c <= columns->id; c++) {
    if (!more) {
      return sp_reader_fail(reader, err, "column %zu, the id, is missing", columns->id);
    }
    more = cut_column(&line, id);
  }
  return SP_OK;
}

/* An empty column holds no number. */
static enum sp_status take_column(struct sp_reader *reader, size_t c, struct sp_text value,
                                  struct sp_hyp *hyp, struct sp_utt *utt, struct sp_error *err) {
  const struct sp_tsv_columns *columns = &reader->columns;
  struct sp_text name = columns->components[c];
  if (c == columns->text) {
    hyp->text = value;
  } else if (c == columns->ref) {
    return sp_lines_set_ref(reader, utt, value, err);
  } else if (c == columns->score && value.len > 0) {
    SP_TRY(read_number(reader, SP_TEXT_LITERAL("score"), value, &hyp->score, err));
    hyp->has_score = true;
  } else if (name.len > 0 && value.len > 0) {
    double number;
    SP_TRY(read_number(reader, name, value, &number, err));
    return sp_reader_add_component(reader, hyp, name, number, err);
  }
  return SP_OK;
}

static enum sp_status add(struct sp_reader *reader, struct sp_text line, struct sp_utt *utt,
                          struct sp_error *err) {
  const struct sp_tsv_columns *columns = &reader->columns;
  struct sp_hyp *hyp;
  struct sp_text value;
  bool more = true;
  size_t c = 1;
  SP_TRY(sp_lines_add_hyp(reader, utt, &hyp, err));
  for (; c <= columns->last && more; c++) {
    more = cut_column(&line, &value);
    SP_TRY(take_column(reader, c, value, hyp, utt, err));
  }
  return c > columns->text
             ? SP_OK
             : sp_reader_fail(reader, err, "column %zu, the text, is missing", columns->text);
}

static enum sp_status next(struct sp_reader *reader, struct sp_utt *utt, bool *found,
                           struct sp_error *err) {
  static const struct sp_line_format lines = {line_id, add};
  return sp_lines_next(reader, &lines, utt, found, err);
}

/* ---- nemo-tsv ---- */

static enum sp_status beam_id(struct sp_reader *reader, struct sp_text line, struct sp_text *id,
                              struct sp_error *err) {
  (void)line;
  uint64_t passed = reader->lines_before;
  uint64_t number = sp_source_line_number(reader->source);
  return number_id(reader, (number - 1 - passed) / reader->beam_size, id, err);
}

/* The score stands behind the last tab. */
static enum sp_status add_beam(struct sp_reader *reader, struct sp_text line, struct sp_utt *utt,
                               struct sp_error *err) {
  struct sp_hyp *hyp;
  size_t tab = line.len;
  while (tab > 0 && line.data[tab - 1] != '\t') {
    tab--;
  }
  if (tab == 0) {
    return sp_reader_fail(reader, err, "the line has no tab before its score");
  }
  SP_TRY(sp_lines_add_hyp(reader, utt, &hyp, err));
  hyp->text = (struct sp_text){line.data, tab - 1};
  hyp->has_score = true;
  return read_number(reader, SP_TEXT_LITERAL("score"),
                     (struct sp_text){line.data + tab, line.len - tab}, &hyp->score, err);
}

static enum sp_status next_beams(struct sp_reader *reader, struct sp_utt *utt, bool *found,
                                 struct sp_error *err) {
  static const struct sp_line_format lines = {beam_id, add_beam};
  SP_TRY(sp_lines_next(reader, &lines, utt, found, err));
  if (*found && utt->n_hyps < reader->beam_size) {
    return sp_reader_fail(reader, err, "the file ends after %zu of its %zu lines", utt->n_hyps,
                          reader->beam_size);
  }
  return SP_OK;
}

const struct sp_reader_format sp_reader_tsv = {.next = next};
const struct sp_reader_format sp_reader_nemo_tsv = {.next = next_beams};
