/* archive_moses.c - Moses N-best lists: "id ||| text ||| LM= -1.38 TM= -2.19 -0.4 ||| -4.42".
 *
 * A feature of one value is a component of its name, one of several is NAME:0, NAME:1 and so on.
 * Old lists write "lm: -1.38"; values before any name belong to a feature called f.  What follows the
 * total (word alignments) is kept as the field "alignment". */
#include <stdio.h>
#include <string.h>

#include "archive_lines.h"

/* The next field, without one space on either side. */
static bool cut_field(struct sp_text *rest, struct sp_text *field) {
  bool more = sp_text_cut(rest, SP_TEXT_LITERAL("|||"), field);
  if (field->len > 0 && field->data[0] == ' ') {
    field->data++;
    field->len--;
  }
  if (field->len > 0 && field->data[field->len - 1] == ' ') {
    field->len--;
  }
  return more;
}

static enum sp_status line_id(struct sp_reader *reader, struct sp_text line, struct sp_text *id,
                              struct sp_error *err) {
  return cut_field(&line, id) ? SP_OK : sp_reader_fail(reader, err, "the line has no '|||'");
}

/* The values of one feature, as they are found. */
struct feature {
  struct sp_text name;
  double first;
  size_t n;
};

static enum sp_status add_numbered(struct sp_reader *reader, struct sp_hyp *hyp,
                                   const struct feature *feature, size_t k, double value,
                                   struct sp_error *err) {
  char number[24];
  size_t wide = (size_t)snprintf(number, sizeof number, ":%zu", k);
  char *name = sp_arena_alloc(&reader->arena, feature->name.len + wide, 1);
  if (!name) {
    return sp_fail_memory(err, feature->name.len + wide);
  }
  memcpy(name, feature->name.data, feature->name.len);
  memcpy(name + feature->name.len, number, wide);
  struct sp_text full = {name, feature->name.len + wide};
  return sp_reader_add_component(reader, hyp, full, value, err);
}

/* The first value waits until it is known whether there is a second. */
static enum sp_status add_value(struct sp_reader *reader, struct sp_hyp *hyp,
                                struct feature *feature, double value, struct sp_error *err) {
  size_t k = feature->n++;
  if (k == 0) {
    feature->first = value;
    return SP_OK;
  }
  if (k == 1) {
    SP_TRY(add_numbered(reader, hyp, feature, 0, feature->first, err));
  }
  return add_numbered(reader, hyp, feature, k, value, err);
}

static enum sp_status end_feature(struct sp_reader *reader, struct sp_hyp *hyp,
                                  const struct feature *feature, struct sp_error *err) {
  return feature->n == 1 ? sp_reader_add_component(reader, hyp, feature->name, feature->first, err)
                         : SP_OK;
}

/* "LM=", "lm:", or "LM=-1.38" glued together; the number is left in *word. */
static bool cut_name(struct sp_text *word, struct sp_text *name) {
  const char *equals = memrchr(word->data, '=', word->len);
  const char *mark = equals ? equals : word->data + word->len - 1;
  if (!equals && *mark != ':') {
    return false;
  }
  *name = (struct sp_text){word->data, (size_t)(mark - word->data)};
  *word = (struct sp_text){mark + 1, word->len - name->len - 1};
  return true;
}

static enum sp_status read_features(struct sp_reader *reader, struct sp_text features,
                                    struct sp_hyp *hyp, struct sp_error *err) {
  struct feature feature = {.name = SP_TEXT_LITERAL("f")};
  while (features.len > 0) {
    struct sp_text word, name;
    double value;
    sp_text_cut_word(&features, &word);
    if (word.len > 0 && cut_name(&word, &name)) {
      SP_TRY(end_feature(reader, hyp, &feature, err));
      feature = (struct feature){.name = name};
    }
    if (word.len == 0) {
      continue;
    }
    if (!sp_number_parse(word, &value)) {
      return sp_reader_fail(reader, err, "feature value '%.*s' is not a finite number",
                            word.len < 40 ? (int)word.len : 40, word.data);
    }
    SP_TRY(add_value(reader, hyp, &feature, value, err));
  }
  return end_feature(reader, hyp, &feature, err);
}

static enum sp_status add(struct sp_reader *reader, struct sp_text line, struct sp_utt *utt,
                          struct sp_error *err) {
  struct sp_text id, features, total;
  struct sp_hyp *hyp;
  SP_TRY(sp_lines_add_hyp(reader, utt, &hyp, err));
  if (!cut_field(&line, &id) || !cut_field(&line, &hyp->text) || !cut_field(&line, &features)) {
    return sp_reader_fail(reader, err, "the line is no 'id ||| text ||| features ||| total'");
  }
  bool more = cut_field(&line, &total);
  if (!sp_number_parse(total, &hyp->score)) {
    return sp_reader_fail(reader, err, "the total '%.*s' is not a finite number",
                          total.len < 40 ? (int)total.len : 40, total.data);
  }
  hyp->has_score = true;
  SP_TRY(read_features(reader, features, hyp, err));
  if (!more) {
    return SP_OK;
  }
  struct sp_text json;
  if (line.len > 0 && line.data[0] == ' ') {
    line = (struct sp_text){line.data + 1, line.len - 1};
  }
  SP_TRY(sp_reader_quote(reader, line, &json, err));
  return sp_reader_add_field(reader, hyp, SP_TEXT_LITERAL("alignment"), json, err);
}

static enum sp_status next(struct sp_reader *reader, struct sp_utt *utt, bool *found,
                           struct sp_error *err) {
  static const struct sp_line_format lines = {line_id, add};
  return sp_lines_next(reader, &lines, utt, found, err);
}

const struct sp_reader_format sp_reader_moses = {.next = next};
