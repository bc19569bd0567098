#include "archive_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "utf8_valid.h"

void sp_reader_release(struct sp_reader *reader) {
  sp_json_members_destroy(reader->members);
  sp_json_destroy(reader->json);
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

/* These return NULL or what is wrong. */
static const char *read_text(const struct sp_json *json, struct sp_json_value value,
                             struct sp_text *out) {
  if (sp_json_string(json, value, out)) {
    return NULL;
  }
  return sp_json_type_of(value) == SP_JSON_STRING ? "holds half of a surrogate pair"
                                                  : "is not a string";
}

static const char *read_score(struct sp_json_value value, struct sp_hyp *hyp) {
  if (sp_json_type_of(value) == SP_JSON_NULL) {
    return NULL;
  }
  hyp->has_score = sp_json_number(value, &hyp->score);
  return hyp->has_score ? NULL : "is not a number";
}

enum sp_status sp_reader_hyp(struct sp_reader *reader, struct sp_json_value value, size_t rank,
                             struct sp_hyp *hyp, struct sp_error *err) {
  struct sp_json_cursor cursor;
  struct sp_json_value member;
  struct sp_text key;
  bool text_seen = false, score_seen = false;
  const char *fault = NULL;
  *hyp = (struct sp_hyp){0};
  if (!sp_json_object_begin(value, &cursor)) {
    return sp_reader_fail(reader, err, "hypothesis %zu is not an object", rank + 1);
  }
  while (!fault && sp_json_object_next(&cursor, &key, &member)) {
    if (sp_text_equal(key, SP_TEXT_LITERAL("text"))) {
      fault = text_seen ? "is given twice" : read_text(reader->json, member, &hyp->text);
      text_seen = true;
    } else if (sp_text_equal(key, SP_TEXT_LITERAL("score"))) {
      fault = score_seen ? "is given twice" : read_score(member, hyp);
      score_seen = true;
    }
  }
  if (fault) {
    return sp_reader_fail(reader, err, "%.*s of hypothesis %zu %s", (int)key.len, key.data,
                          rank + 1, fault);
  }
  return text_seen ? SP_OK
                   : sp_reader_fail(reader, err, "text of hypothesis %zu is missing", rank + 1);
}

enum sp_status sp_reader_ref(struct sp_reader *reader, struct sp_json_value value,
                             struct sp_utt *utt, struct sp_error *err) {
  if (sp_json_type_of(value) == SP_JSON_NULL) {
    return SP_OK;
  }
  const char *fault = read_text(reader->json, value, &utt->ref);
  utt->has_ref = true;
  return fault ? sp_reader_fail(reader, err, "ref %s", fault) : SP_OK;
}
