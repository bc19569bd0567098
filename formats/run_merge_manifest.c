#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "run_files.h"
#include "run_merge.h"

/* One object of each run, side by side; a run that has none of it has NULL. */
struct side_by_side {
  json_t **objects; /* (n) */
  size_t n;
};

static json_t *member(const struct side_by_side *runs, size_t k, const char *key) {
  return json_object_get(runs->objects[k], key);
}

static json_int_t count(const struct side_by_side *runs, size_t k, const char *key) {
  json_int_t value = json_integer_value(member(runs, k, key));
  return value < 0 ? 0 : value;
}

static json_t *sum(const struct side_by_side *runs, const char *key) {
  json_int_t total = 0;
  for (size_t k = 0; k < runs->n; k++) {
    if (__builtin_add_overflow(total, count(runs, k, key), &total)) {
      total = INT64_MAX;
    }
  }
  return json_integer(total);
}

static json_t *largest(const struct side_by_side *runs, const char *key) {
  json_int_t most = 0;
  for (size_t k = 0; k < runs->n; k++) {
    json_int_t value = count(runs, k, key);
    most = value > most ? value : most;
  }
  return json_integer(most);
}

/* The elements of all runs' lists; a member that is no list has none. */
static json_t *concatenate(const struct side_by_side *runs, const char *key) {
  json_t *all = json_array();
  for (size_t k = 0; all && k < runs->n; k++) {
    json_t *list = member(runs, k, key);
    if (json_is_array(list) && json_array_extend(all, list) != 0) {
      json_decref(all);
      return NULL;
    }
  }
  return all;
}

/* ---- identity ---- */

static json_t *part_of(const struct side_by_side *runs, size_t k) {
  size_t files = json_array_size(member(runs, k, "inputs"));
  return json_pack("{s:I, s:I, s:I, s:I}", "files", (json_int_t)files, "limit",
                   count(runs, k, "limit"), "shard_utts", count(runs, k, "shard_utts"), "shards",
                   count(runs, k, "shards"));
}

/* What the joined run is made of: each run, or what that was made of. */
static json_t *parts_of(const struct side_by_side *runs) {
  json_t *all = json_array();
  bool good = all != NULL;
  for (size_t k = 0; good && k < runs->n; k++) {
    json_t *parts = member(runs, k, "merged");
    good = json_is_array(parts) ? json_array_extend(all, parts) == 0
                                : json_array_append_new(all, part_of(runs, k)) == 0;
  }
  if (!good) {
    json_decref(all);
    return NULL;
  }
  return all;
}

/* All but these members are equal in all runs. */
static json_t *join_identity(const struct side_by_side *runs) {
  json_t *identity = json_copy(runs->objects[0]);
  bool good = identity &&
              json_object_set_new(identity, "inputs", concatenate(runs, "inputs")) == 0 &&
              json_object_set_new(identity, "limit", sum(runs, "limit")) == 0 &&
              json_object_set_new(identity, "shard_utts", largest(runs, "shard_utts")) == 0 &&
              json_object_set_new(identity, "shards", sum(runs, "shards")) == 0 &&
              json_object_set_new(identity, "merged", parts_of(runs)) == 0;
  if (!good) {
    json_decref(identity);
    return NULL;
  }
  return identity;
}

/* ---- info: what is equal stays, texts that differ stand side by side, counts are added, the rest goes ---- */

static bool all_equal(const struct side_by_side *runs, const char *key) {
  for (size_t k = 1; k < runs->n; k++) {
    json_t *value = member(runs, k, key);
    if (!value || !json_equal(value, member(runs, 0, key))) {
      return false;
    }
  }
  return true;
}

static bool all_texts(const struct side_by_side *runs, const char *key) {
  for (size_t k = 0; k < runs->n; k++) {
    if (!json_is_string(member(runs, k, key))) {
      return false;
    }
  }
  return true;
}

static bool is_new(const struct side_by_side *runs, size_t k, const char *key) {
  for (size_t before = 0; before < k; before++) {
    if (json_equal(member(runs, before, key), member(runs, k, key))) {
      return false;
    }
  }
  return true;
}

static json_t *join_texts(const struct side_by_side *runs, const char *key) {
  struct sp_buf text = {0};
  bool good = true;
  for (size_t k = 0; good && k < runs->n; k++) {
    const char *value = json_string_value(member(runs, k, key));
    good =
        !is_new(runs, k, key) || sp_buf_printf(&text, NULL, "%s%s", k ? " + " : "", value) == SP_OK;
  }
  json_t *joined = good && sp_buf_cstr(&text) ? json_string(text.data) : NULL;
  sp_buf_release(&text);
  return joined;
}

/* An object of one member of every run's object; false when out of memory. */
static bool pick(const struct side_by_side *runs, const char *key, struct side_by_side *out) {
  *out = (struct side_by_side){calloc(runs->n, sizeof *out->objects), runs->n};
  for (size_t k = 0; out->objects && k < runs->n; k++) {
    out->objects[k] = member(runs, k, key);
  }
  return out->objects != NULL;
}

/* The members of the first run's object. */
static json_t *add_counts(const struct side_by_side *runs, const char *key) {
  struct side_by_side counts;
  json_t *total = json_object(), *value;
  const char *name;
  bool good = pick(runs, key, &counts) && total;
  json_object_foreach(member(runs, 0, key), name, value) {
    good = good && json_object_set_new(total, name, sum(&counts, name)) == 0;
  }
  free(counts.objects);
  if (!good) {
    json_decref(total);
    return NULL;
  }
  return total;
}

/* *drop: the member has no value that would be all runs'. NULL otherwise is out of memory. */
static json_t *join_member(const struct side_by_side *runs, const char *key, bool *drop) {
  *drop = false;
  if (strcmp(key, "utts") == 0 || strcmp(key, "hyps") == 0 || strcmp(key, "tokens") == 0) {
    return sum(runs, key);
  }
  if (strcmp(key, "counts") == 0) {
    return add_counts(runs, key);
  }
  if (strcmp(key, "archives") == 0) {
    return concatenate(runs, key);
  }
  if (all_equal(runs, key)) {
    return json_incref(member(runs, 0, key));
  }
  *drop = !all_texts(runs, key);
  return *drop ? NULL : join_texts(runs, key);
}

static json_t *join_info(const struct side_by_side *runs) {
  json_t *info = json_object(), *value;
  const char *key;
  bool good = info != NULL;
  json_object_foreach(runs->objects[0], key, value) {
    bool drop = false;
    json_t *joined = good ? join_member(runs, key, &drop) : NULL;
    good = good && (drop || json_object_set_new(info, key, joined) == 0);
  }
  if (!good) {
    json_decref(info);
    return NULL;
  }
  return info;
}

/* ---- both ---- */

static json_t *join_object(const struct side_by_side *manifests, const char *key,
                           json_t *(*join)(const struct side_by_side *runs)) {
  struct side_by_side objects;
  json_t *joined = pick(manifests, key, &objects) ? join(&objects) : NULL;
  free(objects.objects);
  return joined;
}

enum sp_status sp_run_merge_manifests(json_t **manifests, const char *const *names, size_t n,
                                      json_t **out, struct sp_error *err) {
  const struct side_by_side runs = {manifests, n};
  *out = NULL;
  for (size_t k = 1; k < n; k++) {
    SP_TRY(sp_run_identity_compare_kind(manifests[0], names[0], manifests[k], names[k], err));
  }
  json_t *identity = join_object(&runs, "identity", join_identity);
  json_t *info = join_object(&runs, "info", join_info);
  json_int_t shards = json_integer_value(json_object_get(identity, "shards"));
  enum sp_status status = SP_OK;
  if (!identity || !info) {
    status = sp_fail_memory(err, n);
  } else if (shards > SP_SHARDS_CEILING) {
    status =
        sp_fail(err, SP_EUSAGE, "the runs have %" PRId64 " shards together; a run has at most %d",
                (int64_t)shards, SP_SHARDS_CEILING);
  } else {
    *out = json_pack("{s:O, s:O}", "identity", identity, "info", info);
    status = *out ? SP_OK : sp_fail_memory(err, n);
  }
  json_decref(identity);
  json_decref(info);
  return status;
}
