/* archive_nemo.c - NeMo manifest with beams, an object a line:
 * {"audio_filepath":"a.wav","text":"ref","beams":[["hyp",-12.3],..],..}. */
#include "archive_reader.h"

enum member { member_other = 0, member_id = 1, member_ref = 2, member_beams = 4 };

static enum member member_of(struct sp_text key) {
  return sp_text_equal(key, SP_TEXT_LITERAL("audio_filepath")) ? member_id
         : sp_text_equal(key, SP_TEXT_LITERAL("text"))         ? member_ref
         : sp_text_equal(key, SP_TEXT_LITERAL("beams"))        ? member_beams
                                                               : member_other;
}

/* [text, score]; NULL or what is wrong. */
static const char *read_beam(struct sp_reader *reader, struct sp_json_value item,
                             struct sp_hyp *hyp) {
  static const char shape[] = "is not [text, score]";
  struct sp_json_cursor cursor;
  struct sp_json_value value;
  if (!sp_json_array_begin(item, &cursor) || !sp_json_array_next(&cursor, &value)) {
    return shape;
  }
  const char *fault = sp_reader_string(reader, value, &hyp->text);
  if (fault || !sp_json_array_next(&cursor, &value)) {
    return fault ? "has a text that is no valid string" : shape;
  }
  fault = sp_reader_score(value, &hyp->score, &hyp->has_score);
  return fault                                 ? "has a score that is not a number"
         : sp_json_array_next(&cursor, &value) ? shape
                                               : NULL;
}

static enum sp_status read_beams(struct sp_reader *reader, struct sp_json_value value,
                                 struct sp_utt *utt, struct sp_error *err) {
  struct sp_json_cursor cursor;
  struct sp_json_value item;
  if (!sp_json_array_begin(value, &cursor)) {
    return sp_reader_fail(reader, err, "beams is not an array");
  }
  for (size_t n = 0; sp_json_array_next(&cursor, &item); n++) {
    SP_TRY(sp_reader_reserve(reader, n + 1, err));
    reader->hyps[n] = (struct sp_hyp){0};
    const char *fault = read_beam(reader, item, &reader->hyps[n]);
    if (fault) {
      return sp_reader_fail(reader, err, "beam %zu %s", n + 1, fault);
    }
    utt->n_hyps = n + 1;
  }
  utt->hyps = reader->hyps;
  return SP_OK;
}

static enum sp_status read_member(struct sp_reader *reader, struct sp_text key,
                                  struct sp_json_value value, struct sp_utt *utt,
                                  struct sp_error *err) {
  const char *fault;
  switch (member_of(key)) {
    case member_id:
      fault = sp_reader_string(reader, value, &utt->id);
      return fault ? sp_reader_fail(reader, err, "audio_filepath %s", fault) : SP_OK;
    case member_ref:
      return sp_reader_ref(reader, "text", value, utt, err);
    case member_beams:
      return read_beams(reader, value, utt, err);
    case member_other:
      break;
  }
  return sp_reader_utt_member(reader, key, value, utt, err);
}

static enum sp_status next(struct sp_reader *reader, struct sp_utt *utt, bool *found,
                           struct sp_error *err) {
  struct sp_json_cursor cursor;
  struct sp_json_value root, value;
  struct sp_text key;
  unsigned seen = 0;
  *utt = (struct sp_utt){0};
  SP_TRY(sp_reader_json_line(reader, &root, found, err));
  if (!*found) {
    return SP_OK;
  }
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
  if (!(seen & member_id) || !(seen & member_beams)) {
    return sp_reader_fail(reader, err, "%s is missing",
                          seen & member_id ? "beams" : "audio_filepath");
  }
  const char *fault = sp_id_fault(utt->id);
  return fault ? sp_reader_fail(reader, err, "%s", fault) : SP_OK;
}

const struct sp_reader_format sp_reader_nemo = {.next = next};
