#include "archive_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "kaldi_tables.h"
#include "score_line.h"
#include "utf8_valid.h"

void sp_reader_release(struct sp_reader *reader) {
  sp_json_members_destroy(reader->members);
  sp_json_destroy(reader->json);
  sp_kaldi_tables_close(reader->tables);
  sp_tsv_columns_release(&reader->columns);
  sp_arena_release(&reader->arena);
  free(reader->hyps);
  *reader = (struct sp_reader){0};
}

enum sp_status sp_reader_fail(const struct sp_reader *reader, struct sp_error *err,
                              const char *format, ...) {
  char reason[512];
  va_list args;
  va_start(args, format);
  vsnprintf(reason, sizeof reason, format, args);
  va_end(args);
  const char *path = sp_source_path(reader->source);
  unsigned long long line = reader->line;
  if (reader->utt.len == 0) {
    return sp_fail(err, SP_EINPUT, "%s:%llu: %s", path, line, reason);
  }
  return sp_fail(err, SP_EINPUT, "%s:%llu: utterance %.*s: %s", path, line,
                 (int)sp_min_size(reader->utt.len, 200), reader->utt.data, reason);
}

enum sp_status sp_reader_reserve(struct sp_reader *reader, size_t n, struct sp_error *err) {
  if (n <= reader->hyps_capacity) {
    return SP_OK;
  }
  size_t capacity = sp_max_size(n, sp_max_size(64, reader->hyps_capacity * 2));
  size_t bytes = sp_mul_sat(capacity, sizeof *reader->hyps);
  struct sp_hyp *hyps = realloc(reader->hyps, bytes);
  if (!hyps) {
    return sp_fail_memory(err, bytes);
  }
  reader->hyps = hyps;
  reader->hyps_capacity = capacity;
  return SP_OK;
}

const char *sp_id_fault(struct sp_text id) {
  if (id.len == 0) {
    return "the utterance id is empty";
  }
  for (size_t i = 0; i < id.len; i++) {
    unsigned char byte = (unsigned char)id.data[i];
    if (byte < 0x20 || byte == 0x7f) {
      return "the utterance id holds a control character";
    }
  }
  return sp_utf8_valid(id) ? NULL : "the utterance id is not valid UTF-8";
}

enum sp_status sp_reader_check_text(const struct sp_reader *reader, struct sp_text text,
                                    struct sp_error *err) {
  const char *nul = text.len > 0 ? memchr(text.data, '\0', text.len) : NULL;
  if (nul) {
    return sp_reader_fail(reader, err, "a NUL byte at byte %zu of the line: this is not plain text",
                          (size_t)(nul - text.data) + 1);
  }
  if (!sp_utf8_valid(text)) {
    return sp_reader_fail(reader, err, "invalid UTF-8 at byte %zu of the line",
                          sp_utf8_valid_prefix(text) + 1);
  }
  return SP_OK;
}

struct sp_text sp_reader_number(struct sp_reader *reader) {
  int wide = snprintf(reader->number, sizeof reader->number, "%llu",
                      (unsigned long long)(reader->records + 1));
  return (struct sp_text){reader->number, (size_t)wide};
}

struct sp_text sp_text_trim_end(struct sp_text text) {
  while (text.len > 0 && memchr(" \t\r", text.data[text.len - 1], 3)) {
    text.len--;
  }
  return text;
}

enum sp_status sp_reader_line(struct sp_reader *reader, struct sp_text *line, bool *found,
                              struct sp_error *err) {
  SP_TRY(sp_source_line(reader->source, SP_RECORD_CEILING, line, found, err));
  reader->line = sp_source_line_number(reader->source);
  reader->begin = sp_source_line_place(reader->source);
  return SP_OK;
}

enum sp_status sp_reader_json_line(struct sp_reader *reader, struct sp_json_value *root,
                                   bool *found, struct sp_error *err) {
  struct sp_text line;
  do {
    SP_TRY(sp_reader_line(reader, &line, found, err));
    if (!*found) {
      return SP_OK;
    }
  } while (sp_text_trim_end(line).len == 0);
  return sp_json_parse(reader->json, line, sp_source_path(reader->source), reader->line, root, err);
}

enum sp_status sp_reader_json_member(struct sp_reader *reader, struct sp_json_value *root,
                                     bool *found, struct sp_error *err) {
  struct sp_text member;
  SP_TRY(sp_json_members_next(reader->members, &member, &reader->line, found, err));
  if (!*found) {
    return SP_OK;
  }
  reader->begin = sp_json_members_place(reader->members);
  return sp_json_parse(reader->json, member, sp_source_path(reader->source), reader->line, root,
                       err);
}

/* A member is named as "ctc of hypothesis 3", one of an utterance as "ctc". */
static enum sp_status fail_member(const struct sp_reader *reader, const struct sp_hyp *hyp,
                                  struct sp_text name, const char *fault, struct sp_error *err) {
  int shown = (int)sp_min_size(name.len, 60);
  return hyp ? sp_reader_fail(reader, err, "%.*s of hypothesis %zu %s", shown, name.data,
                              (size_t)(hyp - reader->hyps) + 1, fault)
             : sp_reader_fail(reader, err, "%.*s %s", shown, name.data, fault);
}

/* Room for one element more; capacities are powers of two, so a full array is told by its length. */
static enum sp_status grow(struct sp_reader *reader, const void **items, size_t n, size_t size,
                           struct sp_error *err) {
  if ((n & (n - 1)) != 0) {
    return SP_OK;
  }
  size_t capacity = n > 0 ? 2 * n : 1;
  void *more = sp_arena_alloc(&reader->arena, capacity, size);
  if (!more) {
    return sp_fail_memory(err, capacity * size);
  }
  if (n > 0) {
    memcpy(more, *items, n * size);
  }
  *items = more;
  return SP_OK;
}

const struct sp_field *sp_field_find(const struct sp_field *fields, size_t n, struct sp_text name) {
  for (size_t i = 0; i < n; i++) {
    if (sp_text_equal(fields[i].name, name)) {
      return &fields[i];
    }
  }
  return NULL;
}

bool sp_hyp_component(const struct sp_hyp *hyp, struct sp_text name, double *value) {
  for (size_t i = 0; i < hyp->n_components; i++) {
    if (sp_text_equal(hyp->components[i].name, name)) {
      *value = hyp->components[i].value;
      return true;
    }
  }
  return false;
}

bool sp_hyp_named_score(const struct sp_hyp *hyp, struct sp_text name, double *value) {
  if (sp_text_equal(name, SP_TEXT_LITERAL("score"))) {
    *value = hyp->score;
    return hyp->has_score;
  }
  return sp_hyp_component(hyp, name, value);
}

static enum sp_status check_member(const struct sp_reader *reader, const struct sp_hyp *hyp,
                                   struct sp_text name, struct sp_error *err) {
  double value;
  if (sp_hyp_component(hyp, name, &value) || sp_field_find(hyp->fields, hyp->n_fields, name)) {
    return fail_member(reader, hyp, name, "is given twice", err);
  }
  if (hyp->n_components + hyp->n_fields == SP_MEMBERS_CEILING) {
    return fail_member(reader, hyp, name, "is one member too many", err);
  }
  return SP_OK;
}

enum sp_status sp_reader_add_component(struct sp_reader *reader, struct sp_hyp *hyp,
                                       struct sp_text name, double value, struct sp_error *err) {
  const void *items = hyp->components;
  if (name.len == 0) {
    return fail_member(reader, hyp, name, "a number without a name", err);
  }
  SP_TRY(check_member(reader, hyp, name, err));
  SP_TRY(grow(reader, &items, hyp->n_components, sizeof *hyp->components, err));
  hyp->components = items;
  ((struct sp_component *)items)[hyp->n_components++] = (struct sp_component){name, value};
  return SP_OK;
}

static enum sp_status append_field(struct sp_reader *reader, const struct sp_field **fields,
                                   size_t *n, struct sp_text name, struct sp_text json,
                                   struct sp_error *err) {
  const void *items = *fields;
  const char *copy = sp_arena_copy(&reader->arena, json.data, json.len);
  if (!copy) {
    return sp_fail_memory(err, json.len);
  }
  SP_TRY(grow(reader, &items, *n, sizeof **fields, err));
  *fields = items;
  ((struct sp_field *)items)[(*n)++] = (struct sp_field){name, {copy, json.len}};
  return SP_OK;
}

enum sp_status sp_reader_add_field(struct sp_reader *reader, struct sp_hyp *hyp,
                                   struct sp_text name, struct sp_text json, struct sp_error *err) {
  SP_TRY(check_member(reader, hyp, name, err));
  return append_field(reader, &hyp->fields, &hyp->n_fields, name, json, err);
}

enum sp_status sp_reader_add_utt_field(struct sp_reader *reader, struct sp_utt *utt,
                                       struct sp_text name, struct sp_text json,
                                       struct sp_error *err) {
  if (sp_field_find(utt->fields, utt->n_fields, name)) {
    return fail_member(reader, NULL, name, "is given twice", err);
  }
  if (utt->n_fields == SP_MEMBERS_CEILING) {
    return fail_member(reader, NULL, name, "is one member too many", err);
  }
  return append_field(reader, &utt->fields, &utt->n_fields, name, json, err);
}

enum sp_status sp_reader_quote(struct sp_reader *reader, struct sp_text text, struct sp_text *json,
                               struct sp_error *err) {
  struct sp_buf buf = {0};
  enum sp_status status = sp_json_string_write(&buf, text, err);
  const char *copy = status == SP_OK ? sp_arena_copy(&reader->arena, buf.data, buf.len) : NULL;
  *json = (struct sp_text){copy, buf.len};
  sp_buf_release(&buf);
  return status != SP_OK || copy ? status : sp_fail_memory(err, text.len);
}

/* The value as JSON; `hyp` NULL: of an utterance. */
static enum sp_status write_value(struct sp_reader *reader, const struct sp_hyp *hyp,
                                  struct sp_text key, struct sp_json_value value,
                                  struct sp_buf *out, struct sp_error *err) {
  if (!sp_utf8_valid(key)) {
    return sp_reader_fail(reader, err, "a member's name holds half of a surrogate pair");
  }
  struct sp_error inner;
  enum sp_status status = sp_json_write(reader->json, value, out, &inner);
  return status == SP_EINPUT ? fail_member(reader, hyp, key, inner.message, err)
         : status != SP_OK   ? sp_fail(err, status, "%s", inner.message)
                             : SP_OK;
}

/* i: a whole number below 2^32. */
static const char *read_rank(struct sp_json_value value, struct sp_hyp *hyp) {
  double number;
  if (hyp->has_rank) {
    return "is given twice";
  }
  if (!sp_json_number(value, &number) || !(number >= 0 && number < 4294967296.0) ||
      number != (double)(uint32_t)number) {
    return "is no rank (a whole number from 0)";
  }
  hyp->rank = (uint32_t)number;
  hyp->has_rank = true;
  return NULL;
}

static const char *read_total(struct sp_json_value value, struct sp_hyp *hyp) {
  return hyp->has_total ? "is given twice" : sp_reader_score(value, &hyp->total, &hyp->has_total);
}

enum sp_status sp_reader_hyp_member(struct sp_reader *reader, struct sp_text key,
                                    struct sp_json_value value, struct sp_hyp *hyp,
                                    struct sp_error *err) {
  const char *fault = NULL;
  double number;
  if (sp_text_equal(key, SP_TEXT_LITERAL("i"))) {
    fault = read_rank(value, hyp);
  } else if (sp_text_equal(key, SP_TEXT_LITERAL("total"))) {
    fault = read_total(value, hyp);
  } else if (key.len > 0 && sp_utf8_valid(key) && sp_json_number(value, &number)) {
    return sp_reader_add_component(reader, hyp, key, number, err);
  } else {
    struct sp_buf buf = {0};
    enum sp_status status = write_value(reader, hyp, key, value, &buf, err);
    if (status == SP_OK) {
      status = sp_reader_add_field(reader, hyp, key, (struct sp_text){buf.data, buf.len}, err);
    }
    sp_buf_release(&buf);
    return status;
  }
  return fault ? fail_member(reader, hyp, key, fault, err) : SP_OK;
}

enum sp_status sp_reader_utt_member(struct sp_reader *reader, struct sp_text key,
                                    struct sp_json_value value, struct sp_utt *utt,
                                    struct sp_error *err) {
  struct sp_buf buf = {0};
  enum sp_status status = write_value(reader, NULL, key, value, &buf, err);
  if (status == SP_OK) {
    status = sp_reader_add_utt_field(reader, utt, key, (struct sp_text){buf.data, buf.len}, err);
  }
  sp_buf_release(&buf);
  return status;
}

const char *sp_reader_string(const struct sp_reader *reader, struct sp_json_value value,
                             struct sp_text *out) {
  if (sp_json_string(reader->json, value, out)) {
    return NULL;
  }
  return sp_json_type_of(value) == SP_JSON_STRING ? "holds half of a surrogate pair"
                                                  : "is not a string";
}

const char *sp_reader_score(struct sp_json_value value, double *score, bool *has) {
  if (sp_json_type_of(value) == SP_JSON_NULL) {
    return NULL;
  }
  *has = sp_json_number(value, score);
  return *has ? NULL : "is not a number";
}

enum sp_status sp_reader_hyp(struct sp_reader *reader, struct sp_json_value value,
                             struct sp_text text_key, struct sp_hyp *hyp, struct sp_error *err) {
  struct sp_json_cursor cursor;
  struct sp_json_value member;
  struct sp_text key;
  bool text_seen = false, score_seen = false;
  const char *fault = NULL;
  size_t rank = (size_t)(hyp - reader->hyps);
  *hyp = (struct sp_hyp){0};
  if (!sp_json_object_begin(value, &cursor)) {
    return sp_reader_fail(reader, err, "hypothesis %zu is not an object", rank + 1);
  }
  while (!fault && sp_json_object_next(&cursor, &key, &member)) {
    if (sp_text_equal(key, text_key)) {
      fault = text_seen ? "is given twice" : sp_reader_string(reader, member, &hyp->text);
      text_seen = true;
    } else if (sp_text_equal(key, SP_TEXT_LITERAL("score"))) {
      fault = score_seen ? "is given twice" : sp_reader_score(member, &hyp->score, &hyp->has_score);
      score_seen = true;
    } else {
      SP_TRY(sp_reader_hyp_member(reader, key, member, hyp, err));
    }
  }
  if (fault) {
    return fail_member(reader, hyp, key, fault, err);
  }
  return text_seen ? SP_OK
                   : sp_reader_fail(reader, err, "%.*s of hypothesis %zu is missing",
                                    (int)text_key.len, text_key.data, rank + 1);
}

enum sp_status sp_reader_ref(struct sp_reader *reader, const char *key, struct sp_json_value value,
                             struct sp_utt *utt, struct sp_error *err) {
  if (sp_json_type_of(value) == SP_JSON_NULL) {
    return SP_OK;
  }
  const char *fault = sp_reader_string(reader, value, &utt->ref);
  utt->has_ref = true;
  return fault ? sp_reader_fail(reader, err, "%s %s", key, fault) : SP_OK;
}
