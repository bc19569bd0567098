/* archive_jsonl.c - our own archive: a JSON object a line,
 * {"id":"..","ref":"..","hyps":[{"text":"..","score":-8.75},..]}. */
#include "archive_reader.h"

enum member { member_other = 0, member_id = 1, member_ref = 2, member_hyps = 4 };

static enum sp_status read_hyps(struct sp_reader *reader, struct sp_json_value value,
                                struct sp_utt *utt, struct sp_error *err) {
  struct sp_json_cursor cursor;
  struct sp_json_value item;
  if (!sp_json_array_begin(value, &cursor)) {
    return sp_reader_fail(reader, err, "hyps is not an array");
  }
  for (size_t n = 0; sp_json_array_next(&cursor, &item); n++) {
    SP_TRY(sp_reader_reserve(reader, n + 1, err));
    SP_TRY(sp_reader_hyp(reader, item, SP_TEXT_LITERAL("text"), &reader->hyps[n], err));
    utt->n_hyps = n + 1;
  }
  utt->hyps = reader->hyps;
  return SP_OK;
}

static enum sp_status read_id(struct sp_reader *reader, struct sp_json_value value,
                              struct sp_utt *utt, struct sp_error *err) {
  if (!sp_json_string(reader->json, value, &utt->id)) {
    return sp_reader_fail(reader, err, "id is not a string");
  }
  const char *fault = sp_id_fault(utt->id);
  return fault ? sp_reader_fail(reader, err, "%s", fault) : SP_OK;
}

static enum member member_of(struct sp_text key) {
  return sp_text_equal(key, SP_TEXT_LITERAL("id"))     ? member_id
         : sp_text_equal(key, SP_TEXT_LITERAL("ref"))  ? member_ref
         : sp_text_equal(key, SP_TEXT_LITERAL("hyps")) ? member_hyps
                                                       : member_other;
}

static enum sp_status read_member(struct sp_reader *reader, struct sp_text key,
                                  struct sp_json_value value, struct sp_utt *utt,
                                  struct sp_error *err) {
  switch (member_of(key)) {
    case member_id:
      return read_id(reader, value, utt, err);
    case member_ref:
      return sp_reader_ref(reader, "ref", value, utt, err);
    case member_hyps:
      return read_hyps(reader, value, utt, err);
    case member_other:
      return sp_reader_utt_member(reader, key, value, utt, err);
  }
  return SP_OK;
}

static enum sp_status read_utt(struct sp_reader *reader, struct sp_json_value root,
                               struct sp_utt *utt, struct sp_error *err) {
  struct sp_json_cursor cursor;
  struct sp_json_value value;
  struct sp_text key;
  unsigned seen = 0;
  *utt = (struct sp_utt){0};
  if (!sp_json_object_begin(root, &cursor)) {
    return sp_reader_fail(reader, err, "the line is not a JSON object");
  }
  while (sp_json_object_next(&cursor, &key, &value)) {
    enum member member = member_of(key);
    if (seen & member) {
      return sp_reader_fail(reader, err, "%.*s is given twice", (int)key.len, key.data);
    }
    seen |= member;
    SP_TRY(read_member(reader, key, value, utt, err));
  }
  if (!(seen & member_id) || !(seen & member_hyps)) {
    return sp_reader_fail(reader, err, "%s is missing", seen & member_id ? "hyps" : "id");
  }
  return SP_OK;
}

static enum sp_status next(struct sp_reader *reader, struct sp_utt *utt, bool *found,
                           struct sp_error *err) {
  struct sp_json_value root;
  SP_TRY(sp_reader_json_line(reader, &root, found, err));
  return *found ? read_utt(reader, root, utt, err) : SP_OK;
}

const struct sp_reader_format sp_reader_jsonl = {.next = next};
