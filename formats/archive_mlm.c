/* archive_mlm.c - mlm-scoring JSON: one object of all utterances,
 * {"utt":{"hyp_1":{"score":-1.2,"text":".."},"hyp_2":{..},"ref":".."},..}.
 *
 * The keys of an utterance come in any order; hypotheses are put in the order of their k, which
 * must run from 1 without a gap. */
#include <stdio.h>
#include <string.h>

#include "archive_reader.h"

static enum sp_status start(struct sp_reader *reader, struct sp_error *err) {
  return sp_json_members_create(reader->source, '{', SP_RECORD_CEILING, &reader->members, err);
}

static void stop(struct sp_reader *reader) {
  sp_json_members_destroy(reader->members);
  reader->members = NULL;
}

/* Whether `key` is hyp_ and digits; *k is the number, SIZE_MAX when it is no plain one from 1. */
static bool is_hyp_key(struct sp_text key, size_t *k) {
  static const char prefix[] = "hyp_";
  size_t at = sizeof prefix - 1;
  if (key.len <= at || memcmp(key.data, prefix, at) != 0) {
    return false;
  }
  bool plain = key.data[at] != '0' && key.len - at <= 9;
  size_t number = 0;
  for (; at < key.len; at++) {
    if (key.data[at] < '0' || key.data[at] > '9') {
      return false;
    }
    number = plain ? number * 10 + (size_t)(key.data[at] - '0') : 0;
  }
  *k = plain ? number : SIZE_MAX;
  return true;
}

/* Empties a slot for each hypothesis: a text without data is an empty slot. */
static enum sp_status make_slots(struct sp_reader *reader, struct sp_json_cursor members, size_t *n,
                                 struct sp_error *err) {
  struct sp_text key;
  struct sp_json_value value;
  size_t k;
  *n = 0;
  while (sp_json_object_next(&members, &key, &value)) {
    *n += is_hyp_key(key, &k);
  }
  SP_TRY(sp_reader_reserve(reader, *n, err));
  if (*n > 0) {
    memset(reader->hyps, 0, *n * sizeof *reader->hyps);
  }
  return SP_OK;
}

/* n keys, of which one is beyond n: names the first k that has no hypothesis. */
static enum sp_status fail_gap(struct sp_reader *reader, struct sp_json_cursor members, size_t n,
                               struct sp_error *err) {
  struct sp_text key;
  struct sp_json_value value;
  size_t k;
  struct sp_hyp *hyps = reader->hyps;
  while (sp_json_object_next(&members, &key, &value)) {
    if (is_hyp_key(key, &k) && k <= n) {
      hyps[k - 1].text.data = "";
    }
  }
  for (k = 1; k < n && hyps[k - 1].text.data; k++) {
  }
  return sp_reader_fail(reader, err, "hyp_%zu is missing", k);
}

static enum sp_status read_members(struct sp_reader *reader, struct sp_json_cursor members,
                                   size_t n, struct sp_utt *utt, struct sp_error *err) {
  struct sp_json_cursor all = members;
  struct sp_text key;
  struct sp_json_value value;
  bool ref_seen = false;
  size_t k;
  while (sp_json_object_next(&members, &key, &value)) {
    if (sp_text_equal(key, SP_TEXT_LITERAL("ref"))) {
      if (ref_seen) {
        return sp_reader_fail(reader, err, "ref is given twice");
      }
      ref_seen = true;
      SP_TRY(sp_reader_ref(reader, "ref", value, utt, err));
    } else if (is_hyp_key(key, &k)) {
      if (k == SIZE_MAX) {
        return sp_reader_fail(reader, err, "%.*s: hypotheses are named hyp_1, hyp_2 and so on",
                              key.len < 40 ? (int)key.len : 40, key.data);
      }
      if (k > n) {
        return fail_gap(reader, all, n, err);
      }
      if (reader->hyps[k - 1].text.data) {
        return sp_reader_fail(reader, err, "hyp_%zu is given twice", k);
      }
      SP_TRY(sp_reader_hyp(reader, value, SP_TEXT_LITERAL("text"), &reader->hyps[k - 1], err));
    } else {
      SP_TRY(sp_reader_utt_member(reader, key, value, utt, err));
    }
  }
  return SP_OK;
}

static enum sp_status read_utt(struct sp_reader *reader, struct sp_json_value root,
                               struct sp_utt *utt, struct sp_error *err) {
  struct sp_json_cursor cursor;
  struct sp_json_value body;
  *utt = (struct sp_utt){0};
  if (!sp_json_object_begin(root, &cursor) || !sp_json_object_next(&cursor, &utt->id, &body)) {
    return sp_reader_fail(reader, err, "not an utterance");
  }
  const char *fault = sp_id_fault(utt->id);
  if (fault) {
    return sp_reader_fail(reader, err, "%s", fault);
  }
  reader->utt = utt->id;
  if (!sp_json_object_begin(body, &cursor)) {
    return sp_reader_fail(reader, err, "not an object of hypotheses");
  }
  SP_TRY(make_slots(reader, cursor, &utt->n_hyps, err));
  SP_TRY(read_members(reader, cursor, utt->n_hyps, utt, err));
  utt->hyps = reader->hyps;
  return SP_OK;
}

static enum sp_status next(struct sp_reader *reader, struct sp_utt *utt, bool *found,
                           struct sp_error *err) {
  struct sp_json_value root;
  reader->utt.len = 0;
  SP_TRY(sp_reader_json_member(reader, &root, found, err));
  return *found ? read_utt(reader, root, utt, err) : SP_OK;
}

const struct sp_reader_format sp_reader_mlm = {.start = start, .next = next, .stop = stop};
