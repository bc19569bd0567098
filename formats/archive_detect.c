#include "archive_detect.h"

#include <string.h>

#include "archive_reader.h"
#include "json_members.h"

enum { first_look = 64 * 1024 };

static bool starts_with(struct sp_text text, const char *prefix) {
  size_t len = strlen(prefix);
  return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

static size_t space_before(struct sp_text head) {
  size_t at = 0;
  while (at < head.len && strchr(" \t\r\n", head.data[at]) && head.data[at]) {
    at++;
  }
  return at;
}

/* An object of hypotheses, or an empty one, is what an mlm document holds. */
static bool is_nbest_object(struct sp_json_value value) {
  struct sp_json_cursor cursor;
  struct sp_json_value inner;
  struct sp_text key;
  if (!sp_json_object_begin(value, &cursor)) {
    return false;
  }
  bool empty = true;
  while (sp_json_object_next(&cursor, &key, &inner)) {
    if (starts_with(key, "hyp_") || sp_text_equal(key, SP_TEXT_LITERAL("ref"))) {
      return true;
    }
    empty = false;
  }
  return empty;
}

/* What one member {"key":value} of the document says: SP_FORMAT_AUTO when nothing. */
static enum sp_archive_format told_by(struct sp_json_value member) {
  struct sp_json_cursor cursor;
  struct sp_json_value value;
  struct sp_text key;
  if (!sp_json_object_begin(member, &cursor) || !sp_json_object_next(&cursor, &key, &value)) {
    return SP_FORMAT_AUTO;
  }
  if (sp_json_type_of(value) == SP_JSON_OBJECT) {
    return is_nbest_object(value) ? SP_FORMAT_MLM : SP_FORMAT_AUTO;
  }
  if (sp_text_equal(key, SP_TEXT_LITERAL("id")) || sp_text_equal(key, SP_TEXT_LITERAL("hyps"))) {
    return SP_FORMAT_JSONL;
  }
  bool nemo = sp_text_equal(key, SP_TEXT_LITERAL("audio_filepath")) ||
              sp_text_equal(key, SP_TEXT_LITERAL("beams"));
  return nemo ? SP_FORMAT_NEMO : SP_FORMAT_AUTO;
}

/* What a look at the first object gave. */
struct look {
  enum sp_archive_format format; /* SP_FORMAT_AUTO: not told */
  bool has_members;
  bool broken; /* the look ended before the object did */
};

/* Goes through the members until one tells the format. A failure is no error here: the bytes may
 * just be cut, and if not, the format's reader will name the place. */
static enum sp_status scan(struct sp_json_members *members, struct sp_json *json,
                           struct look *look) {
  bool found;
  do {
    struct sp_text member;
    struct sp_json_value value;
    uint64_t line;
    SP_TRY(sp_json_members_next(members, &member, &line, &found, NULL));
    if (found) {
      look->has_members = true;
      SP_TRY(sp_json_parse(json, member, "", line, &value, NULL));
      look->format = told_by(value);
    }
  } while (found && look->format == SP_FORMAT_AUTO);
  look->broken = false;
  return SP_OK;
}

static enum sp_status scan_text(struct sp_text text, struct sp_json *json, struct look *look,
                                struct sp_error *err) {
  struct sp_source *source = NULL;
  struct sp_json_members *members = NULL;
  *look = (struct look){.broken = true};
  SP_TRY(sp_source_open_memory("", text, &source, err));
  enum sp_status status = sp_json_members_create(source, '{', SP_RECORD_CEILING, &members, err);
  if (status == SP_OK) {
    look->broken = scan(members, json, look) != SP_OK;
  }
  sp_json_members_destroy(members);
  sp_source_close(source);
  return status;
}

/* A document of one object, or one object a line. */
static enum sp_status scan_head(struct sp_text head, struct sp_json *json, struct look *look,
                                struct sp_error *err) {
  SP_TRY(scan_text(head, json, look, err));
  size_t from = space_before(head);
  const char *end = memchr(head.data + from, '\n', head.len - from);
  if (look->format == SP_FORMAT_AUTO && look->broken && end) {
    struct sp_text line = {head.data, (size_t)(end - head.data)};
    return scan_text(line, json, look, err);
  }
  return SP_OK;
}

/* Passes `literal` and the white space before it. */
static bool pass(struct sp_text *rest, const char *literal) {
  size_t at = space_before(*rest);
  *rest = (struct sp_text){rest->data + at, rest->len - at};
  if (!starts_with(*rest, literal)) {
    return false;
  }
  size_t len = strlen(literal);
  *rest = (struct sp_text){rest->data + len, rest->len - len};
  return true;
}

/* {"utts":{ and not the hypotheses of an mlm utterance called utts. The whole document is that one
 * member, so it is not parsed here. */
static bool is_espnet1(struct sp_text head) {
  if (!pass(&head, "{") || !pass(&head, "\"utts\"") || !pass(&head, ":") || !pass(&head, "{")) {
    return false;
  }
  return !pass(&head, "\"hyp_") && !pass(&head, "\"ref\"");
}

static enum sp_status detect_object(struct sp_source *source, struct sp_json *json,
                                    enum sp_archive_format *out, struct sp_error *err) {
  struct look look;
  size_t want = first_look;
  bool whole;
  do {
    struct sp_text head;
    SP_TRY(sp_source_peek(source, want, &head, err));
    if (is_espnet1(head)) {
      *out = SP_FORMAT_ESPNET1;
      return SP_OK;
    }
    whole = head.len < want || want >= SP_RECORD_CEILING;
    want *= 4;
    SP_TRY(scan_head(head, json, &look, err));
  } while (look.format == SP_FORMAT_AUTO && look.broken && !whole);
  if (look.format == SP_FORMAT_AUTO && !look.broken && look.has_members) {
    return sp_fail(
        err, SP_EINPUT,
        "%s: JSON, but neither an own archive line (\"id\", \"hyps\"), mlm-scoring JSON "
        "(\"hyp_1\"), ESPnet1 JSON (\"utts\") nor a NeMo manifest (\"beams\"); name what "
        "it is with --format",
        sp_source_path(source));
  }
  if (look.format == SP_FORMAT_AUTO && look.broken && !look.has_members) {
    return sp_fail(
        err, SP_EINPUT,
        "%s: begins with '{' but is no JSON; if it is text, name its format with --format",
        sp_source_path(source));
  }
  *out = look.format == SP_FORMAT_AUTO ? SP_FORMAT_MLM : look.format;
  return SP_OK;
}

/* Text may begin with a bracket; a JSON array begins with another one, a brace or a quote. */
static bool is_array(struct sp_text head, size_t at) {
  struct sp_text rest = {head.data + at + 1, head.len - at - 1};
  size_t next = space_before(rest);
  return head.data[at] == '[' && next < rest.len && strchr("[{\"", rest.data[next]) &&
         rest.data[next];
}

/* Whether the array's first element is an object with "input". */
static enum sp_status is_hyporadise(struct sp_text head, struct sp_json *json, bool *is,
                                    struct sp_error *err) {
  struct sp_source *source = NULL;
  struct sp_json_members *members = NULL;
  struct sp_text member, key;
  struct sp_json_value value;
  struct sp_json_cursor cursor;
  uint64_t line;
  bool found = false;
  *is = false;
  SP_TRY(sp_source_open_memory("", head, &source, err));
  enum sp_status status = sp_json_members_create(source, '[', SP_RECORD_CEILING, &members, err);
  if (status == SP_OK && sp_json_members_next(members, &member, &line, &found, NULL) == SP_OK &&
      found && sp_json_parse(json, member, "", line, &value, NULL) == SP_OK &&
      sp_json_object_begin(value, &cursor)) {
    while (sp_json_object_next(&cursor, &key, &value)) {
      *is = *is || sp_text_equal(key, SP_TEXT_LITERAL("input"));
    }
  }
  sp_json_members_destroy(members);
  sp_source_close(source);
  return status;
}

static enum sp_status detect_array(struct sp_source *source, struct sp_json *json,
                                   enum sp_archive_format *out, struct sp_error *err) {
  struct sp_text head;
  bool is = false;
  for (size_t want = first_look; !is; want *= 4) {
    SP_TRY(sp_source_peek(source, want, &head, err));
    SP_TRY(is_hyporadise(head, json, &is, err));
    if (head.len < want || want >= SP_RECORD_CEILING) {
      break;
    }
  }
  if (!is) {
    return sp_fail(
        err, SP_EINPUT,
        "%s: a JSON array, but not HyPoradise's (\"input\"); if it is text, name its format with "
        "--format",
        sp_source_path(source));
  }
  *out = SP_FORMAT_HYPORADISE;
  return SP_OK;
}

/* Formats of lines that the first one gives away; the others, which look like text, must be named. */
static enum sp_archive_format line_format(struct sp_text head) {
  const char *end = head.len > 0 ? memchr(head.data, '\n', head.len) : NULL;
  struct sp_text line = {head.data, end ? (size_t)(end - head.data) : head.len};
  size_t digits = 0, bars = 0;
  bool fairseq = line.len > 2 && strchr("STH", line.data[0]) && line.data[1] == '-';
  struct sp_text number = {line.data + (fairseq ? 2 : 0), line.len - (fairseq ? 2 : 0)};
  while (digits < number.len && number.data[digits] >= '0' && number.data[digits] <= '9') {
    digits++;
  }
  struct sp_text rest = {number.data + digits, number.len - digits};
  if (digits == 0 || fairseq) {
    return fairseq && digits > 0 && starts_with(rest, "\t") ? SP_FORMAT_FAIRSEQ : SP_FORMAT_TEXT;
  }
  if (!starts_with(rest, " ||| ")) {
    return SP_FORMAT_TEXT;
  }
  for (size_t i = 0; i + 3 <= rest.len; i++) {
    bars += memcmp(rest.data + i, "|||", 3) == 0;
  }
  return bars >= 3 ? SP_FORMAT_MOSES : SP_FORMAT_TEXT;
}

enum sp_status sp_archive_detect(struct sp_source *source, struct sp_json *json,
                                 enum sp_archive_format *out, struct sp_error *err) {
  struct sp_text head;
  SP_TRY(sp_source_peek(source, 4096, &head, err));
  const char *path = sp_source_path(source);
  if (starts_with(head,
                  "\xfd"
                  "7zXZ") ||
      starts_with(head, "BZh9") || starts_with(head, "PK\x03\x04")) {
    return sp_fail(err, SP_EINPUT, "%s: packed in a way that is not read; use zstd or gzip", path);
  }
  size_t at = space_before(head);
  if (at < head.len && head.data[at] == '{') {
    return detect_object(source, json, out, err);
  }
  if (at < head.len && is_array(head, at)) {
    return detect_array(source, json, out, err);
  }
  bool told = at < head.len || head.len == 4096;
  *out = told ? line_format(head) : SP_FORMAT_AUTO;
  return SP_OK;
}

/* The first line that says something; false when that may stand, or go on, behind `head`. */
static bool find_line(struct sp_text head, struct sp_text *line) {
  while (head.len > 0) {
    const char *end = memchr(head.data, '\n', head.len);
    size_t len = end ? (size_t)(end - head.data) : head.len;
    *line = sp_text_trim_end((struct sp_text){head.data, len});
    if (line->len > 0 && !starts_with(*line, ";;")) {
      return end != NULL;
    }
    head = (struct sp_text){head.data + len + (end != NULL), head.len - len - (end != NULL)};
  }
  line->len = 0;
  return false;
}

static bool ends_in_id(struct sp_text line) {
  const char *open = line.len > 0 ? memrchr(line.data, '(', line.len) : NULL;
  if (!open || line.data[line.len - 1] != ')') {
    return false;
  }
  size_t before = (size_t)(open - line.data);
  bool apart = before == 0 || open[-1] == ' ' || open[-1] == '\t';
  return apart && !memchr(open, ' ', line.len - before) && !memchr(open, '\t', line.len - before);
}

enum sp_status sp_archive_detect_ids(struct sp_source *source, enum sp_archive_format *out,
                                     struct sp_error *err) {
  struct sp_text head, line;
  bool whole;
  size_t want = first_look;
  do {
    SP_TRY(sp_source_peek(source, want, &head, err));
    whole = head.len < want || want >= SP_RECORD_CEILING;
    want *= 4;
  } while (!find_line(head, &line) && !whole);
  *out = line.len == 0 || ends_in_id(line) ? SP_FORMAT_TRN : SP_FORMAT_KALDI_TEXT;
  return SP_OK;
}
