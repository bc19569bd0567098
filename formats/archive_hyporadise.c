/* archive_hyporadise.c - HyPoradise JSON, one array: [{"input":["h1","h2"],"output":"ref"},..].
 *
 * Some sets have "id", and "score" or "am_score", an array of numbers beside the texts.  "score",
 * or else "am_score", is the first-pass score; any other member "NAME_score" that is such an array
 * is the component NAME.  Where there is no id, the position in the archive is one. */
#include <stdio.h>
#include <string.h>

#include "archive_reader.h"

static enum sp_status start(struct sp_reader *reader, struct sp_error *err) {
  return sp_json_members_create(reader->source, '[', SP_RECORD_CEILING, &reader->members, err);
}

static void stop(struct sp_reader *reader) {
  sp_json_members_destroy(reader->members);
  reader->members = NULL;
}

/* The members that are looked at by name. */
struct members {
  struct sp_json_value input, output, id, score, am_score;
  bool has_input, has_output, has_id, has_score, has_am_score;
};

static bool is_key(struct sp_text key, const char *name) {
  return sp_text_equal(key, (struct sp_text){name, strlen(name)});
}

static bool ends_in_score(struct sp_text key) {
  struct sp_text tail = SP_TEXT_LITERAL("_score");
  return key.len > tail.len && memcmp(key.data + key.len - tail.len, tail.data, tail.len) == 0;
}

static enum sp_status find_members(struct sp_reader *reader, struct sp_json_cursor cursor,
                                   struct members *m, struct sp_error *err) {
  struct sp_json_value value;
  struct sp_text key;
  struct {
    const char *name;
    struct sp_json_value *value;
    bool *has;
  } known[] = {{"input", &m->input, &m->has_input},
               {"output", &m->output, &m->has_output},
               {"id", &m->id, &m->has_id},
               {"score", &m->score, &m->has_score},
               {"am_score", &m->am_score, &m->has_am_score}};
  while (sp_json_object_next(&cursor, &key, &value)) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
      if (!is_key(key, known[i].name)) {
        continue;
      }
      if (*known[i].has) {
        return sp_reader_fail(reader, err, "%s is given twice", known[i].name);
      }
      *known[i].value = value;
      *known[i].has = true;
    }
  }
  return m->has_input ? SP_OK : sp_reader_fail(reader, err, "input is missing");
}

/* A string or a whole number; the position without one. */
static enum sp_status read_id(struct sp_reader *reader, const struct members *m, struct sp_text *id,
                              struct sp_error *err) {
  double number;
  *id = sp_reader_number(reader);
  if (!m->has_id || sp_json_type_of(m->id) == SP_JSON_NULL) {
    return SP_OK;
  }
  if (sp_json_number(m->id, &number)) {
    if (!(number >= 0 && number <= 9007199254740992.0) || number != (double)(uint64_t)number) {
      return sp_reader_fail(reader, err, "id is neither a string nor a whole number");
    }
    id->len =
        (size_t)snprintf(reader->number, sizeof reader->number, "%llu", (unsigned long long)number);
    return SP_OK;
  }
  const char *fault = sp_reader_string(reader, m->id, id);
  fault = fault ? "id is neither a string nor a whole number" : sp_id_fault(*id);
  return fault ? sp_reader_fail(reader, err, "%s", fault) : SP_OK;
}

static enum sp_status read_input(struct sp_reader *reader, struct sp_json_value input,
                                 struct sp_utt *utt, struct sp_error *err) {
  struct sp_json_cursor cursor;
  struct sp_json_value item;
  if (!sp_json_array_begin(input, &cursor)) {
    return sp_reader_fail(reader, err, "input is not an array");
  }
  for (; sp_json_array_next(&cursor, &item); utt->n_hyps++) {
    SP_TRY(sp_reader_reserve(reader, utt->n_hyps + 1, err));
    struct sp_hyp *hyp = &reader->hyps[utt->n_hyps];
    *hyp = (struct sp_hyp){0};
    const char *fault = sp_reader_string(reader, item, &hyp->text);
    if (fault) {
      return sp_reader_fail(reader, err, "input %zu %s", utt->n_hyps + 1, fault);
    }
  }
  utt->hyps = reader->hyps;
  return SP_OK;
}

/* An array with a number or null for each hypothesis; `name` empty: the score. */
static enum sp_status read_scores(struct sp_reader *reader, struct sp_text key,
                                  struct sp_json_value array, struct sp_text name, size_t n_hyps,
                                  struct sp_error *err) {
  struct sp_json_cursor cursor;
  struct sp_json_value item;
  size_t n = 0;
  if (!sp_json_array_begin(array, &cursor)) {
    return sp_reader_fail(reader, err, "%.*s is not an array", (int)key.len, key.data);
  }
  for (; sp_json_array_next(&cursor, &item) && n < n_hyps; n++) {
    struct sp_hyp *hyp = &reader->hyps[n];
    double value = 0;
    bool has = false;
    if (sp_reader_score(item, &value, &has)) {
      return sp_reader_fail(reader, err, "%.*s of hypothesis %zu is not a number", (int)key.len,
                            key.data, n + 1);
    }
    if (has && name.len > 0) {
      SP_TRY(sp_reader_add_component(reader, hyp, name, value, err));
    } else if (has) {
      hyp->score = value;
      hyp->has_score = true;
    }
  }
  if (n < n_hyps || sp_json_array_next(&cursor, &item)) {
    return sp_reader_fail(reader, err, "%.*s and input are not of one length", (int)key.len,
                          key.data);
  }
  return SP_OK;
}

static enum sp_status read_others(struct sp_reader *reader, struct sp_json_cursor cursor,
                                  const struct members *m, struct sp_utt *utt,
                                  struct sp_error *err) {
  struct sp_json_value value;
  struct sp_text key;
  while (sp_json_object_next(&cursor, &key, &value)) {
    bool is_score = is_key(key, "score") || (is_key(key, "am_score") && !m->has_score);
    if (is_score) {
      SP_TRY(read_scores(reader, key, value, (struct sp_text){0}, utt->n_hyps, err));
    } else if (ends_in_score(key) && sp_json_type_of(value) == SP_JSON_ARRAY) {
      struct sp_text name = {key.data, key.len - strlen("_score")};
      SP_TRY(read_scores(reader, key, value, name, utt->n_hyps, err));
    } else if (!is_key(key, "input") && !is_key(key, "output") && !is_key(key, "id")) {
      SP_TRY(sp_reader_utt_member(reader, key, value, utt, err));
    }
  }
  return SP_OK;
}

static enum sp_status read_utt(struct sp_reader *reader, struct sp_json_value root,
                               struct sp_utt *utt, struct sp_error *err) {
  struct sp_json_cursor cursor;
  struct members m = {0};
  *utt = (struct sp_utt){0};
  if (!sp_json_object_begin(root, &cursor)) {
    return sp_reader_fail(reader, err, "not an object");
  }
  SP_TRY(find_members(reader, cursor, &m, err));
  SP_TRY(read_id(reader, &m, &utt->id, err));
  reader->utt = utt->id;
  SP_TRY(read_input(reader, m.input, utt, err));
  if (m.has_output) {
    SP_TRY(sp_reader_ref(reader, "output", m.output, utt, err));
  }
  SP_TRY(read_others(reader, cursor, &m, utt, err));
  return SP_OK;
}

static enum sp_status next(struct sp_reader *reader, struct sp_utt *utt, bool *found,
                           struct sp_error *err) {
  struct sp_json_value root;
  reader->utt.len = 0;
  SP_TRY(sp_reader_json_member(reader, &root, found, err));
  return *found ? read_utt(reader, root, utt, err) : SP_OK;
}

const struct sp_reader_format sp_reader_hyporadise = {.start = start, .next = next, .stop = stop};
