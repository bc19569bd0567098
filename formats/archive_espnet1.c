/* archive_espnet1.c - ESPnet1 decoding result (data.json):
 * {"utts":{"id":{"output":[{"name":"target1[1]","text":"ref","rec_text":"hyp <eos>","score":-3.2},..],
 * ..},..}}.
 *
 * rec_text ends in <eos>; word pieces mark a word's begin by U+2581, which is a space here. */
#include <stdio.h>
#include <string.h>

#include "archive_reader.h"

static enum sp_status start(struct sp_reader *reader, struct sp_error *err) {
  return sp_json_members_create_inside(reader->source, "utts", '{', SP_RECORD_CEILING,
                                       &reader->members, err);
}

static void stop(struct sp_reader *reader) {
  sp_json_members_destroy(reader->members);
  reader->members = NULL;
}

/* Takes the end mark and one space before it off. */
static void drop_eos(struct sp_text *text) {
  struct sp_text eos = SP_TEXT_LITERAL("<eos>");
  if (text->len < eos.len || memcmp(text->data + text->len - eos.len, eos.data, eos.len) != 0) {
    return;
  }
  text->len -= eos.len;
  if (text->len > 0 && text->data[text->len - 1] == ' ') {
    text->len--;
  }
}

/* Word pieces put together: U+2581 becomes a space, the first one nothing. */
static enum sp_status join_pieces(struct sp_reader *reader, struct sp_text *text,
                                  struct sp_error *err) {
  static const char mark[] = "\xe2\x96\x81";
  if (text->len == 0 || !memmem(text->data, text->len, mark, 3)) {
    return SP_OK;
  }
  char *joined = sp_arena_alloc(&reader->arena, text->len, 1);
  size_t n = 0;
  if (!joined) {
    return sp_fail_memory(err, text->len);
  }
  for (size_t i = 0; i < text->len;) {
    bool is_mark = text->len - i >= 3 && memcmp(text->data + i, mark, 3) == 0;
    joined[n++] = is_mark ? ' ' : text->data[i];
    i += is_mark ? 3 : 1;
  }
  bool leading = joined[0] == ' ';
  *text = (struct sp_text){joined + leading, n - leading};
  return SP_OK;
}

/* Takes `name` and `text`, which stand in every output, out of the fields. */
struct output {
  struct sp_json_value ref;
  bool has_ref;
};

static bool is_own_name(const struct sp_reader *reader, struct sp_json_value value, size_t rank) {
  char expected[40];
  struct sp_text name;
  int wide = snprintf(expected, sizeof expected, "target1[%zu]", rank + 1);
  return sp_json_string(reader->json, value, &name) &&
         sp_text_equal(name, (struct sp_text){expected, (size_t)wide});
}

/* One member of an output; *seen has a bit for each that may come once. */
static enum sp_status read_output_member(struct sp_reader *reader, struct sp_text key,
                                         struct sp_json_value value, struct sp_hyp *hyp,
                                         struct output *output, unsigned *seen,
                                         struct sp_error *err) {
  static const char *const once[] = {"rec_text", "score", "text", "name"};
  size_t rank = (size_t)(hyp - reader->hyps);
  const char *fault = NULL;
  size_t which = 0;
  while (which < 4 && !sp_text_equal(key, (struct sp_text){once[which], strlen(once[which])})) {
    which++;
  }
  if (which < 4 && (*seen >> which & 1u)) {
    fault = "is given twice";
  } else if (which == 0) {
    fault = sp_reader_string(reader, value, &hyp->text);
  } else if (which == 1) {
    fault = sp_reader_score(value, &hyp->score, &hyp->has_score);
  } else if (which == 2) {
    *output = (struct output){value, true};
  } else if (which == 4 || !is_own_name(reader, value, rank)) {
    return sp_reader_hyp_member(reader, key, value, hyp, err);
  }
  *seen |= 1u << which;
  return fault ? sp_reader_fail(reader, err, "%.*s of output %zu %s", (int)key.len, key.data,
                                rank + 1, fault)
               : SP_OK;
}

/* All outputs have the reference, which must be one. */
static enum sp_status take_ref(struct sp_reader *reader, const struct output *output,
                               struct sp_utt *utt, struct sp_error *err) {
  struct sp_utt other = {0};
  if (!output->has_ref) {
    return SP_OK;
  }
  SP_TRY(sp_reader_ref(reader, "text", output->ref, &other, err));
  if (other.has_ref && utt->has_ref && !sp_text_equal(other.ref, utt->ref)) {
    return sp_reader_fail(reader, err, "the text of output %zu is another than before",
                          utt->n_hyps + 1);
  }
  if (other.has_ref) {
    utt->ref = other.ref;
    utt->has_ref = true;
  }
  return SP_OK;
}

static enum sp_status read_output(struct sp_reader *reader, struct sp_json_value value,
                                  struct sp_utt *utt, struct sp_error *err) {
  struct sp_json_cursor cursor;
  struct sp_json_value member;
  struct sp_text key;
  struct output output = {0};
  unsigned seen = 0;
  SP_TRY(sp_reader_reserve(reader, utt->n_hyps + 1, err));
  struct sp_hyp *hyp = &reader->hyps[utt->n_hyps];
  *hyp = (struct sp_hyp){0};
  if (!sp_json_object_begin(value, &cursor)) {
    return sp_reader_fail(reader, err, "output %zu is not an object", utt->n_hyps + 1);
  }
  while (sp_json_object_next(&cursor, &key, &member)) {
    SP_TRY(read_output_member(reader, key, member, hyp, &output, &seen, err));
  }
  if (!(seen & 1u)) {
    return sp_reader_fail(reader, err,
                          "rec_text of output %zu is missing: not the result of decoding",
                          utt->n_hyps + 1);
  }
  drop_eos(&hyp->text);
  SP_TRY(join_pieces(reader, &hyp->text, err));
  SP_TRY(take_ref(reader, &output, utt, err));
  utt->n_hyps++;
  return SP_OK;
}

static enum sp_status read_body(struct sp_reader *reader, struct sp_json_cursor cursor,
                                struct sp_utt *utt, struct sp_error *err) {
  struct sp_json_cursor outputs;
  struct sp_json_value value, item;
  struct sp_text key;
  bool seen = false;
  while (sp_json_object_next(&cursor, &key, &value)) {
    if (!sp_text_equal(key, SP_TEXT_LITERAL("output"))) {
      SP_TRY(sp_reader_utt_member(reader, key, value, utt, err));
      continue;
    }
    if (seen || !sp_json_array_begin(value, &outputs)) {
      return sp_reader_fail(reader, err, seen ? "output is given twice" : "output is not an array");
    }
    seen = true;
    while (sp_json_array_next(&outputs, &item)) {
      SP_TRY(read_output(reader, item, utt, err));
    }
  }
  utt->hyps = reader->hyps;
  return seen ? SP_OK : sp_reader_fail(reader, err, "output is missing");
}

static enum sp_status next(struct sp_reader *reader, struct sp_utt *utt, bool *found,
                           struct sp_error *err) {
  struct sp_json_cursor cursor;
  struct sp_json_value root, body;
  reader->utt.len = 0;
  *utt = (struct sp_utt){0};
  SP_TRY(sp_reader_json_member(reader, &root, found, err));
  if (!*found) {
    return SP_OK;
  }
  if (!sp_json_object_begin(root, &cursor) || !sp_json_object_next(&cursor, &utt->id, &body)) {
    return sp_reader_fail(reader, err, "not an utterance");
  }
  const char *fault = sp_id_fault(utt->id);
  if (fault) {
    return sp_reader_fail(reader, err, "%s", fault);
  }
  reader->utt = utt->id;
  return sp_json_object_begin(body, &cursor)
             ? read_body(reader, cursor, utt, err)
             : sp_reader_fail(reader, err, "not an object with an output");
}

const struct sp_reader_format sp_reader_espnet1 = {.start = start, .next = next, .stop = stop};
