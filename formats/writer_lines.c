/* writer_lines.c - the output formats of a line a hypothesis: TSV, NeMo's beams, Kaldi N-best text,
 * Moses, fairseq. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_fast.h"
#include "kaldi_tables.h"
#include "writer_format.h"

/* ---- tsv ---- */

static enum sp_status start_tsv(struct sp_archive_writer *w, const char *path,
                                struct sp_error *err) {
  (void)path;
  return sp_tsv_columns_parse(w->options.tsv, &w->columns, err);
}

static enum sp_status put_header(struct sp_archive_writer *w, struct sp_error *err) {
  const struct sp_tsv_columns *columns = &w->columns;
  for (size_t c = 1; c <= columns->last; c++) {
    const char *known = c == columns->id      ? "id"
                        : c == columns->text  ? "text"
                        : c == columns->score ? "score"
                        : c == columns->ref   ? "ref"
                                              : NULL;
    struct sp_text name = columns->components[c];
    SP_TRY(sp_writer_raw(w, c > 1 ? "\t" : "", err));
    SP_TRY(known ? sp_writer_raw(w, known, err) : sp_writer_bytes(w, name, err));
  }
  return sp_writer_raw(w, "\n", err);
}

/* One column; an absent number is an empty one. */
static enum sp_status put_column(struct sp_archive_writer *w, const struct sp_utt *utt,
                                 const struct sp_hyp *hyp, size_t c, struct sp_error *err) {
  const struct sp_tsv_columns *columns = &w->columns;
  double value;
  if (c == columns->id || c == columns->text || c == columns->ref) {
    bool is_id = c == columns->id, is_text = c == columns->text;
    struct sp_text text = is_id ? utt->id : is_text ? hyp->text : utt->ref;
    SP_TRY(sp_writer_check(utt, is_id ? "id" : is_text ? "text" : "reference", text, "\t", err));
    return sp_writer_bytes(w, text, err);
  }
  if (c == columns->score) {
    return hyp->has_score ? sp_writer_score(w, hyp->score, err) : SP_OK;
  }
  struct sp_text name = columns->components[c];
  return name.len > 0 && sp_hyp_component(hyp, name, &value) ? sp_writer_score(w, value, err)
                                                             : SP_OK;
}

/* Components without a column. */
static enum sp_status lose_columns(struct sp_archive_writer *w, const struct sp_utt *utt,
                                   const struct sp_hyp *hyp, struct sp_error *err) {
  for (size_t i = 0; i < hyp->n_components; i++) {
    struct sp_text name = hyp->components[i].name;
    bool has_column = false;
    for (size_t c = 1; c <= w->columns.last; c++) {
      has_column = has_column || sp_text_equal(w->columns.components[c], name);
    }
    if (!has_column) {
      SP_TRY(sp_writer_lose(w, utt, "components", name, 1, err));
    }
  }
  return sp_writer_lose(w, utt, "first-pass scores", (struct sp_text){0},
                        hyp->has_score && w->columns.score == 0, err);
}

/* An utterance without a reference has no such column, so it must be the last. */
static enum sp_status check_ref(struct sp_archive_writer *w, const struct sp_utt *utt, size_t *last,
                                struct sp_error *err) {
  const struct sp_tsv_columns *columns = &w->columns;
  *last = columns->last;
  if (utt->has_ref || columns->ref == 0) {
    return sp_writer_lose(w, utt, "references", (struct sp_text){0},
                          utt->has_ref && columns->ref == 0, err);
  }
  *last = columns->last - 1;
  return columns->ref == columns->last
             ? SP_OK
             : sp_writer_fail(utt, err, "it has no reference for column %zu, which is not the last",
                              columns->ref);
}

static enum sp_status put_tsv(struct sp_archive_writer *w, const struct sp_utt *utt,
                              struct sp_error *err) {
  size_t last;
  SP_TRY(check_ref(w, utt, &last, err));
  if (!w->begun && w->columns.header) {
    SP_TRY(put_header(w, err));
  }
  if (w->columns.id == 0) {
    SP_TRY(sp_writer_drop_id(w, utt, err));
    if (utt->n_hyps > 1) {
      return sp_writer_fail(utt, err, "it has several hypotheses, but there is no id column");
    }
  }
  for (size_t i = 0; i < utt->n_hyps; i++) {
    SP_TRY(lose_columns(w, utt, &utt->hyps[i], err));
    for (size_t c = 1; c <= last; c++) {
      SP_TRY(sp_writer_raw(w, c > 1 ? "\t" : "", err));
      SP_TRY(put_column(w, utt, &utt->hyps[i], c, err));
    }
    SP_TRY(sp_writer_raw(w, "\n", err));
  }
  return SP_OK;
}

const struct sp_writer_format sp_writer_tsv = {
    .holds = SP_HOLDS_LISTS | SP_HOLDS_REF | SP_HOLDS_SCORE | SP_HOLDS_COMPONENTS,
    .start = start_tsv,
    .put = put_tsv};

/* ---- nemo-tsv ---- */

static enum sp_status put_nemo_tsv(struct sp_archive_writer *w, const struct sp_utt *utt,
                                   struct sp_error *err) {
  SP_TRY(sp_writer_need_scores(utt, err));
  SP_TRY(sp_writer_drop_id(w, utt, err));
  w->list_size = w->begun ? w->list_size : utt->n_hyps;
  if (utt->n_hyps != w->list_size) {
    return sp_writer_fail(utt, err,
                          "it has %zu hypotheses, but the first one has %zu, and all lists must be "
                          "of one length",
                          utt->n_hyps, w->list_size);
  }
  for (size_t i = 0; i < utt->n_hyps; i++) {
    SP_TRY(sp_writer_check(utt, "text", utt->hyps[i].text, "\t", err));
    SP_TRY(sp_writer_bytes(w, utt->hyps[i].text, err));
    SP_TRY(sp_writer_raw(w, "\t", err));
    SP_TRY(sp_writer_score(w, utt->hyps[i].score, err));
    SP_TRY(sp_writer_raw(w, "\n", err));
  }
  return SP_OK;
}

const struct sp_writer_format sp_writer_nemo_tsv = {.holds = SP_HOLDS_LISTS | SP_HOLDS_SCORE,
                                                    .put = put_nemo_tsv};

/* ---- kaldi ---- */

static enum sp_status open_table(struct sp_archive_writer *w, struct sp_text name,
                                 struct sp_text file, struct sp_error *err) {
  if (w->n_tables == SP_MOST_TABLES) {
    return sp_fail(err, SP_EUSAGE, "more than %d score tables", SP_MOST_TABLES);
  }
  char *path = strndup(file.data, file.len);
  struct sp_table_out *table = &w->tables[w->n_tables];
  table->name = name;
  enum sp_status status = path ? sp_sink_open(path, &table->sink, err) : sp_fail_memory(err, 0);
  w->n_tables += status == SP_OK;
  free(path);
  return status;
}

static enum sp_status start_kaldi(struct sp_archive_writer *w, const char *path,
                                  struct sp_error *err) {
  (void)path;
  const char *rest = w->options.tables ? w->options.tables : "";
  for (;;) {
    struct sp_text name = {0}, file = {0};
    bool more;
    SP_TRY(sp_named_file_cut("--kaldi-scores", &rest, &name, &file, &more, err));
    if (!more) {
      return SP_OK;
    }
    SP_TRY(open_table(w, name, file, err));
  }
}

static void stop_kaldi(struct sp_archive_writer *w) {
  for (size_t t = 0; t < w->n_tables; t++) {
    sp_sink_discard(w->tables[t].sink);
    sp_buf_release(&w->tables[t].buf);
  }
}

/* A line of a table goes through w->buf, where numbers are put, to the table's own file. */
static enum sp_status put_table_line(struct sp_archive_writer *w, struct sp_table_out *table,
                                     const struct sp_utt *utt, size_t rank, struct sp_error *err) {
  double value;
  if (!sp_hyp_named_score(&utt->hyps[rank], table->name, &value)) {
    return sp_writer_fail(utt, err, "hypothesis %zu has no %.*s for its table", rank + 1,
                          (int)table->name.len, table->name.data);
  }
  size_t start = w->buf.len;
  SP_TRY(sp_writer_bytes(w, utt->id, err));
  SP_TRY(sp_buf_printf(&w->buf, err, "-%zu ", rank + 1));
  SP_TRY(sp_writer_score(w, value, err));
  SP_TRY(sp_writer_raw(w, "\n", err));
  enum sp_status status = sp_buf_append(&table->buf, w->buf.data + start, w->buf.len - start, err);
  w->buf.len = start;
  if (status == SP_OK && table->buf.len >= 1 << 16) {
    status = sp_sink_write(table->sink, table->buf.data, table->buf.len, err);
    sp_buf_clear(&table->buf);
  }
  return status;
}

static bool has_table(const struct sp_archive_writer *w, struct sp_text name) {
  for (size_t t = 0; t < w->n_tables; t++) {
    if (sp_text_equal(w->tables[t].name, name)) {
      return true;
    }
  }
  return false;
}

static enum sp_status lose_values(struct sp_archive_writer *w, const struct sp_utt *utt,
                                  const struct sp_hyp *hyp, struct sp_error *err) {
  bool scores = has_table(w, SP_TEXT_LITERAL("score"));
  SP_TRY(sp_writer_lose(w, utt, "first-pass scores", (struct sp_text){0}, hyp->has_score && !scores,
                        err));
  for (size_t c = 0; c < hyp->n_components; c++) {
    struct sp_text name = hyp->components[c].name;
    SP_TRY(sp_writer_lose(w, utt, "components", name, !has_table(w, name), err));
  }
  return SP_OK;
}

static enum sp_status put_kaldi(struct sp_archive_writer *w, const struct sp_utt *utt,
                                struct sp_error *err) {
  SP_TRY(sp_writer_check(utt, "id", utt->id, " ", err));
  for (size_t i = 0; i < utt->n_hyps; i++) {
    struct sp_text text = utt->hyps[i].text;
    SP_TRY(sp_writer_check(utt, "text", text, "", err));
    SP_TRY(lose_values(w, utt, &utt->hyps[i], err));
    SP_TRY(sp_writer_bytes(w, utt->id, err));
    SP_TRY(sp_buf_printf(&w->buf, err, text.len > 0 ? "-%zu " : "-%zu", i + 1));
    SP_TRY(sp_writer_bytes(w, text, err));
    SP_TRY(sp_writer_raw(w, "\n", err));
    for (size_t t = 0; t < w->n_tables; t++) {
      SP_TRY(put_table_line(w, &w->tables[t], utt, i, err));
    }
  }
  return SP_OK;
}

static enum sp_status finish_kaldi(struct sp_archive_writer *w, struct sp_error *err) {
  for (size_t t = 0; t < w->n_tables; t++) {
    struct sp_table_out *table = &w->tables[t];
    SP_TRY(sp_sink_write(table->sink, table->buf.data, table->buf.len, err));
    struct sp_sink *sink = table->sink;
    table->sink = NULL;
    SP_TRY(sp_sink_close(sink, err));
  }
  return SP_OK;
}

const struct sp_writer_format sp_writer_kaldi = {
    .holds = SP_HOLDS_LISTS | SP_HOLDS_SCORE | SP_HOLDS_COMPONENTS,
    .start = start_kaldi,
    .put = put_kaldi,
    .finish = finish_kaldi,
    .stop = stop_kaldi};

/* ---- fields that are text there ---- */

static enum sp_status start_json(struct sp_archive_writer *w, const char *path,
                                 struct sp_error *err) {
  (void)path;
  w->state = sp_json_create();
  return w->state ? SP_OK : sp_fail_memory(err, 0);
}

static void stop_json(struct sp_archive_writer *w) {
  sp_json_destroy(w->state);
}

static const struct sp_field *find_field(const struct sp_field *fields, size_t n,
                                         const char *name) {
  return sp_field_find(fields, n, (struct sp_text){name, strlen(name)});
}

/* All fields but those of `held`. */
static enum sp_status lose_fields(struct sp_archive_writer *w, const struct sp_utt *utt,
                                  const struct sp_field *fields, size_t n, const char *const *held,
                                  struct sp_error *err) {
  for (size_t i = 0; i < n; i++) {
    bool kept = false;
    for (const char *const *name = held; *name; name++) {
      kept = kept || &fields[i] == find_field(fields, n, *name);
    }
    SP_TRY(sp_writer_lose(w, utt, "fields", fields[i].name, !kept, err));
  }
  return SP_OK;
}

/* Appends a field: a string as its text, an array of numbers with spaces between; what is neither is
 * counted as lost, with what was put since `start`. */
static enum sp_status put_field(struct sp_archive_writer *w, const struct sp_utt *utt,
                                const struct sp_field *field, size_t start, struct sp_error *err) {
  struct sp_buf room = {0};
  struct sp_json_value root, item;
  struct sp_json_cursor cursor;
  struct sp_text text;
  double value;
  bool good = true;
  enum sp_status status = sp_json_parse_copy(w->state, field->json, &room, "field", 1, &root, err);
  if (status == SP_OK && sp_json_string(w->state, root, &text)) {
    status = sp_writer_check(utt, "field", text, "", err);
    status = status == SP_OK ? sp_writer_bytes(w, text, err) : status;
  } else if (status == SP_OK && sp_json_array_begin(root, &cursor)) {
    for (size_t n = 0; status == SP_OK && good && sp_json_array_next(&cursor, &item); n++) {
      good = sp_json_number(item, &value);
      status = sp_writer_raw(w, n > 0 ? " " : "", err);
      status = status == SP_OK && good ? sp_writer_number(w, value, err) : status;
    }
  } else {
    good = false;
  }
  if (status == SP_OK && !good) {
    w->buf.len = start;
    status = sp_writer_lose(w, utt, "fields", field->name, 1, err);
  }
  sp_buf_release(&room);
  return status;
}

/* ---- moses ---- */

/* Whether `name` is stem:k. */
static bool is_numbered(struct sp_text name, struct sp_text stem, size_t k) {
  char tail[24];
  size_t wide = (size_t)snprintf(tail, sizeof tail, ":%zu", k);
  return name.len == stem.len + wide && memcmp(name.data, stem.data, stem.len) == 0 &&
         memcmp(name.data + stem.len, tail, wide) == 0;
}

/* The stem of a feature of several values, whose first two are components `c` and its successor. */
static bool is_first_of_many(const struct sp_hyp *hyp, size_t c, struct sp_text *stem) {
  *stem = hyp->components[c].name;
  if (stem->len < 3 || c + 1 == hyp->n_components ||
      memcmp(stem->data + stem->len - 2, ":0", 2) != 0) {
    return false;
  }
  stem->len -= 2;
  return is_numbered(hyp->components[c + 1].name, *stem, 1);
}

static enum sp_status check_feature(const struct sp_utt *utt, struct sp_text name,
                                    struct sp_error *err) {
  SP_TRY(sp_writer_check(utt, "component's name", name, " \t=", err));
  return memmem(name.data, name.len, "|||", 3)
             ? sp_writer_fail(utt, err, "its component's name has '|||'")
             : SP_OK;
}

static enum sp_status put_features(struct sp_archive_writer *w, const struct sp_utt *utt,
                                   const struct sp_hyp *hyp, struct sp_error *err) {
  for (size_t c = 0; c < hyp->n_components;) {
    struct sp_text stem;
    size_t n = 1;
    if (is_first_of_many(hyp, c, &stem)) {
      while (c + n < hyp->n_components && is_numbered(hyp->components[c + n].name, stem, n)) {
        n++;
      }
    } else {
      stem = hyp->components[c].name;
    }
    SP_TRY(check_feature(utt, stem, err));
    SP_TRY(sp_writer_raw(w, c > 0 ? " " : "", err));
    SP_TRY(sp_writer_bytes(w, stem, err));
    SP_TRY(sp_writer_raw(w, "=", err));
    for (size_t end = c + n; c < end; c++) {
      SP_TRY(sp_writer_raw(w, " ", err));
      SP_TRY(sp_writer_score(w, hyp->components[c].value, err));
    }
  }
  return SP_OK;
}

static enum sp_status put_moses_hyp(struct sp_archive_writer *w, const struct sp_utt *utt,
                                    const struct sp_hyp *hyp, struct sp_text id,
                                    struct sp_error *err) {
  static const char *const held[] = {"alignment", NULL};
  SP_TRY(sp_writer_check(utt, "text", hyp->text, "", err));
  if (hyp->text.len > 0 && memmem(hyp->text.data, hyp->text.len, "|||", 3)) {
    return sp_writer_fail(utt, err, "its text has '|||', which the format cannot hold");
  }
  SP_TRY(lose_fields(w, utt, hyp->fields, hyp->n_fields, held, err));
  SP_TRY(sp_writer_bytes(w, id, err));
  SP_TRY(sp_writer_raw(w, " ||| ", err));
  SP_TRY(sp_writer_bytes(w, hyp->text, err));
  SP_TRY(sp_writer_raw(w, " ||| ", err));
  SP_TRY(put_features(w, utt, hyp, err));
  SP_TRY(sp_writer_raw(w, " ||| ", err));
  SP_TRY(sp_writer_score(w, hyp->score, err));
  const struct sp_field *alignment = find_field(hyp->fields, hyp->n_fields, held[0]);
  if (alignment) {
    size_t start = w->buf.len;
    SP_TRY(sp_writer_raw(w, " ||| ", err));
    SP_TRY(put_field(w, utt, alignment, start, err));
  }
  return sp_writer_raw(w, "\n", err);
}

static enum sp_status put_moses(struct sp_archive_writer *w, const struct sp_utt *utt,
                                struct sp_error *err) {
  char digits[24];
  struct sp_text id;
  SP_TRY(sp_writer_need_scores(utt, err));
  SP_TRY(sp_writer_sentence_number(w, utt, 0, digits, &id, err));
  for (size_t i = 0; i < utt->n_hyps; i++) {
    SP_TRY(put_moses_hyp(w, utt, &utt->hyps[i], id, err));
  }
  return SP_OK;
}

const struct sp_writer_format sp_writer_moses = {
    .holds = SP_HOLDS_LISTS | SP_HOLDS_SCORE | SP_HOLDS_COMPONENTS | SP_HOLDS_FIELDS,
    .start = start_json,
    .put = put_moses,
    .stop = stop_json};

/* ---- fairseq ---- */

/* "S-12", a tab, and the field; nothing without one. */
static enum sp_status put_line(struct sp_archive_writer *w, const struct sp_utt *utt, char kind,
                               struct sp_text id, const struct sp_hyp *hyp,
                               const struct sp_field *field, struct sp_error *err) {
  size_t start = w->buf.len;
  if (!field) {
    return SP_OK;
  }
  SP_TRY(sp_buf_printf(&w->buf, err, "%c-%.*s\t", kind, (int)id.len, id.data));
  if (kind == 'D') {
    SP_TRY(sp_writer_score(w, hyp->score, err));
    SP_TRY(sp_writer_raw(w, "\t", err));
  }
  SP_TRY(put_field(w, utt, field, start, err));
  return w->buf.len > start ? sp_writer_raw(w, "\n", err) : SP_OK;
}

static enum sp_status put_fairseq_hyp(struct sp_archive_writer *w, const struct sp_utt *utt,
                                      const struct sp_hyp *hyp, struct sp_text id,
                                      struct sp_error *err) {
  static const char *const held[] = {"detok", "positional", NULL};
  const struct sp_field *fields = hyp->fields;
  SP_TRY(lose_fields(w, utt, fields, hyp->n_fields, held, err));
  SP_TRY(sp_writer_check(utt, "text", hyp->text, "", err));
  SP_TRY(sp_buf_printf(&w->buf, err, "H-%.*s\t", (int)id.len, id.data));
  SP_TRY(sp_writer_score(w, hyp->score, err));
  SP_TRY(sp_writer_raw(w, "\t", err));
  SP_TRY(sp_writer_bytes(w, hyp->text, err));
  SP_TRY(sp_writer_raw(w, "\n", err));
  SP_TRY(put_line(w, utt, 'D', id, hyp, find_field(fields, hyp->n_fields, held[0]), err));
  return put_line(w, utt, 'P', id, hyp, find_field(fields, hyp->n_fields, held[1]), err);
}

static enum sp_status put_fairseq(struct sp_archive_writer *w, const struct sp_utt *utt,
                                  struct sp_error *err) {
  static const char *const held[] = {"source", NULL};
  char digits[24];
  struct sp_text id;
  SP_TRY(sp_writer_need_scores(utt, err));
  SP_TRY(sp_writer_sentence_number(w, utt, 0, digits, &id, err));
  SP_TRY(lose_fields(w, utt, utt->fields, utt->n_fields, held, err));
  SP_TRY(put_line(w, utt, 'S', id, NULL, find_field(utt->fields, utt->n_fields, held[0]), err));
  if (utt->has_ref) {
    SP_TRY(sp_writer_check(utt, "reference", utt->ref, "", err));
    SP_TRY(sp_buf_printf(&w->buf, err, "T-%.*s\t", (int)id.len, id.data));
    SP_TRY(sp_writer_bytes(w, utt->ref, err));
    SP_TRY(sp_writer_raw(w, "\n", err));
  }
  for (size_t i = 0; i < utt->n_hyps; i++) {
    SP_TRY(put_fairseq_hyp(w, utt, &utt->hyps[i], id, err));
  }
  return SP_OK;
}

const struct sp_writer_format sp_writer_fairseq = {
    .holds = SP_HOLDS_LISTS | SP_HOLDS_REF | SP_HOLDS_SCORE | SP_HOLDS_FIELDS | SP_HOLDS_UTT_FIELDS,
    .start = start_json,
    .put = put_fairseq,
    .stop = stop_json};
