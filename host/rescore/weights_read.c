/* weights_read.c - WEIGHTS.json read back. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "file.h"
#include "weights_file.h"

struct reader {
  const char *path;
  struct sp_weights_file *out;
};

static enum sp_status bad(const struct reader *reader, struct sp_error *err, const char *member,
                          const char *reason) {
  return sp_fail(err, SP_EINPUT, "%s: %s %s", reader->path, member, reason);
}

static enum sp_status read_number(const struct reader *reader, const json_t *value,
                                  const char *member, double *out, struct sp_error *err) {
  if (!json_is_number(value) || !(fabs(json_number_value(value)) <= SP_WEIGHT_LIMIT)) {
    return bad(reader, err, member, "is missing or no number within 1e9");
  }
  *out = json_number_value(value);
  return SP_OK;
}

static enum sp_status read_first(const struct reader *reader, const json_t *object,
                                 struct sp_error *err) {
  struct sp_named_weights *first = &reader->out->combination.first;
  const char *name;
  json_t *value;
  if (!json_is_object(object)) {
    return bad(reader, err, "first", "is missing or no object");
  }
  json_object_foreach((json_t *)object, name, value) {
    struct sp_text text = {name, strlen(name)};
    if (!sp_score_name_valid(text) || first->n == sp_max_weights) {
      return bad(reader, err, "first", "has a name that is none, or too many");
    }
    struct sp_named_weight *weight = &first->items[first->n++];
    memcpy(weight->name, name, text.len + 1);
    SP_TRY(read_number(reader, value, name, &weight->value, err));
  }
  return SP_OK;
}

/* Keeps a text of `key` in `kept`, which has `room` bytes. */
static enum sp_status keep(const struct reader *reader, const char *name, const char *key,
                           const char *text, char *kept, size_t room, struct sp_error *err) {
  if (strlen(text) >= room) {
    return sp_fail(err, SP_EINPUT, "%s: %s has a %s that is too long", reader->path, name, key);
  }
  memcpy(kept, text, strlen(text) + 1);
  return SP_OK;
}

/* {"name":"pll","weight":0.35,"model_hash":"..","mask":".."}; mask may be absent */
static enum sp_status read_score(const struct reader *reader, const json_t *object,
                                 struct sp_error *err) {
  struct sp_named_weights *second = &reader->out->combination.second;
  const char *name = json_string_value(json_object_get(object, "name"));
  const char *hash = json_string_value(json_object_get(object, "model_hash"));
  const char *mask = json_string_value(json_object_get(object, "mask"));
  if (json_object_size(object) != (mask ? 4 : 3) || !name || !hash ||
      !sp_score_name_valid((struct sp_text){name, strlen(name)}) ||
      sp_named_weight_find(second, name) || second->n == sp_max_weights) {
    return bad(reader, err, "second",
               "has an entry that is not name, weight, model_hash and mask, or is doubled");
  }
  struct sp_named_weight *weight = &second->items[second->n];
  struct sp_weights_file *out = reader->out;
  SP_TRY(keep(reader, name, "model_hash", hash, out->model_hashes[second->n],
              sizeof out->model_hashes[0], err));
  SP_TRY(keep(reader, name, "mask", mask ? mask : "", out->masks[second->n], sizeof out->masks[0],
              err));
  memcpy(weight->name, name, strlen(name) + 1);
  second->n++;
  return read_number(reader, json_object_get(object, "weight"), name, &weight->value, err);
}

static enum sp_status read_second(const struct reader *reader, const json_t *list,
                                  struct sp_error *err) {
  size_t n = json_array_size(list);
  if (n == 0) {
    return bad(reader, err, "second", "is missing, no array, or empty");
  }
  for (size_t k = 0; k < n; k++) {
    SP_TRY(read_score(reader, json_array_get(list, k), err));
  }
  return SP_OK;
}

static enum sp_status read_norm(const struct reader *reader, const json_t *value,
                                struct sp_error *err) {
  struct sp_combination *combination = &reader->out->combination;
  struct sp_error inner = {0};
  const char *text = json_string_value(value);
  if (!text) {
    return bad(reader, err, "length_norm", "is missing or no string");
  }
  return sp_length_norm_parse(text, &combination->norm, &combination->gnmt_alpha, &inner) == SP_OK
             ? SP_OK
             : sp_fail(err, SP_EINPUT, "%s: %s", reader->path, inner.message);
}

static enum sp_status check_members(const struct reader *reader, const json_t *root,
                                    struct sp_error *err) {
  static const char *const known[] = {"secondpass_weights", "combine",         "first", "second",
                                      "length_norm",        "insertion_bonus", "tuned"};
  const char *name;
  json_t *value;
  if (!json_is_object(root)) {
    return sp_fail(err, SP_EINPUT, "%s: not a JSON object", reader->path);
  }
  json_object_foreach((json_t *)root, name, value) {
    bool found = false;
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
      found |= strcmp(name, known[k]) == 0;
    }
    if (!found) {
      return bad(reader, err, name, "is no member of such a file");
    }
  }
  const json_t *version = json_object_get(root, known[0]);
  if (!json_is_integer(version) || json_integer_value(version) != SP_WEIGHTS_VERSION) {
    return bad(reader, err, known[0], "is not 1: no weights file, or of another version");
  }
  if (json_object_get(root, "tuned") && !json_is_object(json_object_get(root, "tuned"))) {
    return bad(reader, err, "tuned", "is no object");
  }
  return SP_OK;
}

static enum sp_status read_root(const struct reader *reader, const json_t *root,
                                struct sp_error *err) {
  struct sp_combination *combination = &reader->out->combination;
  SP_TRY(check_members(reader, root, err));
  const char *combine = json_string_value(json_object_get(root, "combine"));
  if (!combine || (strcmp(combine, "additive") != 0 && strcmp(combine, "convex") != 0)) {
    return bad(reader, err, "combine", "is neither \"additive\" nor \"convex\"");
  }
  combination->kind = *combine == 'c' ? SP_COMBINE_CONVEX : SP_COMBINE_ADDITIVE;
  SP_TRY(read_first(reader, json_object_get(root, "first"), err));
  SP_TRY(read_second(reader, json_object_get(root, "second"), err));
  SP_TRY(read_norm(reader, json_object_get(root, "length_norm"), err));
  return read_number(reader, json_object_get(root, "insertion_bonus"), "insertion_bonus",
                     &combination->bonus, err);
}

enum sp_status sp_weights_file_parse(struct sp_text text, const char *path,
                                     struct sp_weights_file *out, struct sp_error *err) {
  struct reader reader = {path, out};
  json_error_t fault;
  *out = (struct sp_weights_file){0};
  json_t *root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &fault);
  if (!root) {
    return sp_fail(err, SP_EINPUT, "%s:%d: %s", path, fault.line, fault.text);
  }
  enum sp_status status = read_root(&reader, root, err);
  json_decref(root);
  return status;
}

enum sp_status sp_weights_file_read(const char *path, struct sp_weights_file *out,
                                    struct sp_error *err) {
  struct sp_buf text = {.ceiling = SP_WEIGHTS_CEILING};
  enum sp_status status = sp_file_read(path, &text, err);
  if (status == SP_OK) {
    status = sp_weights_file_parse((struct sp_text){text.data ? text.data : "", text.len}, path,
                                   out, err);
  }
  sp_buf_release(&text);
  return status;
}
