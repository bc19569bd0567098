#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run_manifest.h"

enum { shown_bytes = 60, shown_differences = 8, deepest = 16 };

struct differences {
  const char *they, *we; /* what the two sides are called */
  struct sp_buf text;
  size_t count;
};

/* The length to which `text` is cut, at a whole character. */
static int cut(const char *text) {
  size_t len = strlen(text);
  if (len <= shown_bytes) {
    return (int)len;
  }
  len = shown_bytes;
  while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80) {
    len--;
  }
  return (int)len;
}

static enum sp_status append_value(struct sp_buf *out, const json_t *value, const char *absent,
                                   struct sp_error *err) {
  if (!value) {
    return sp_buf_printf(out, err, "%s", absent);
  }
  char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
  if (!text) {
    return sp_fail_memory(err, 1);
  }
  int len = cut(text);
  enum sp_status status = sp_buf_printf(out, err, "%.*s%s", len, text, text[len] ? ".." : "");
  free(text);
  return status;
}

static enum sp_status note(struct differences *found, const char *place, const json_t *theirs,
                           const json_t *ours, struct sp_error *err) {
  if (found->count++ >= shown_differences) {
    return SP_OK;
  }
  struct sp_buf *out = &found->text;
  SP_TRY(
      sp_buf_printf(out, err, "%s%s: %s has ", found->count > 1 ? "; " : "", place, found->they));
  SP_TRY(append_value(out, theirs, "none", err));
  SP_TRY(sp_buf_printf(out, err, ", %s ", found->we));
  return append_value(out, ours, "none", err);
}

static enum sp_status compare(struct differences *found, const char *place, int depth,
                              const json_t *theirs, const json_t *ours, struct sp_error *err);

static enum sp_status compare_member(struct differences *found, const char *place, int depth,
                                     const char *key, const json_t *theirs, const json_t *ours,
                                     struct sp_error *err) {
  struct sp_buf inner = {0};
  enum sp_status status;
  SP_TRY_GOTO(sp_buf_printf(&inner, err, "%s%s%s", place, *place ? "." : "", key), release);
  status = sp_buf_cstr(&inner) ? compare(found, inner.data, depth + 1, theirs, ours, err)
                               : sp_fail_memory(err, inner.len);
release:
  sp_buf_release(&inner);
  return status;
}

static enum sp_status compare_objects(struct differences *found, const char *place, int depth,
                                      const json_t *theirs, const json_t *ours,
                                      struct sp_error *err) {
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)ours, key, value) {
    SP_TRY(compare_member(found, place, depth, key, json_object_get(theirs, key), value, err));
  }
  json_object_foreach((json_t *)theirs, key, value) {
    if (!json_object_get(ours, key)) {
      SP_TRY(compare_member(found, place, depth, key, value, NULL, err));
    }
  }
  return SP_OK;
}

static enum sp_status compare_lists(struct differences *found, const char *place, int depth,
                                    const json_t *theirs, const json_t *ours,
                                    struct sp_error *err) {
  for (size_t k = 0; k < json_array_size(ours); k++) {
    char key[32];
    snprintf(key, sizeof key, "%zu", k);
    SP_TRY(compare_member(found, place, depth, key, json_array_get(theirs, k),
                          json_array_get(ours, k), err));
  }
  return SP_OK;
}

/* Goes down where both sides have the same kind, so that the message names the very member. */
static enum sp_status compare(struct differences *found, const char *place, int depth,
                              const json_t *theirs, const json_t *ours, struct sp_error *err) {
  if (theirs && ours && json_equal(theirs, ours)) {
    return SP_OK;
  }
  if (depth < deepest && json_is_object(theirs) && json_is_object(ours)) {
    return compare_objects(found, place, depth, theirs, ours, err);
  }
  if (depth < deepest && json_is_array(theirs) && json_is_array(ours) &&
      json_array_size(theirs) == json_array_size(ours)) {
    return compare_lists(found, place, depth, theirs, ours, err);
  }
  return note(found, place, theirs, ours, err);
}

static const json_t *identity_of(const json_t *manifest) {
  const json_t *identity = json_object_get(manifest, "identity");
  return identity ? identity : manifest;
}

/* The differences as the end of a message; NULL where there are none. Lives as long as `found`. */
static enum sp_status tell(struct differences *found, const json_t *theirs, const json_t *ours,
                           const char **out, struct sp_error *err) {
  *out = NULL;
  SP_TRY(compare(found, "", 0, theirs, ours, err));
  if (found->count == 0) {
    return SP_OK;
  }
  if (found->count > shown_differences) {
    SP_TRY(sp_buf_printf(&found->text, err, "; and %zu more", found->count - shown_differences));
  }
  *out = sp_buf_cstr(&found->text);
  return *out ? SP_OK : sp_fail_memory(err, found->text.len);
}

enum sp_status sp_run_identity_compare(const json_t *theirs, const json_t *ours, const char *run,
                                       struct sp_error *err) {
  struct differences found = {.they = "the run", .we = "this command"};
  const char *text;
  enum sp_status status = tell(&found, identity_of(theirs), identity_of(ours), &text, err);
  if (status == SP_OK && text) {
    status =
        sp_fail(err, SP_EIDENTITY, "%s belongs to another run (use another --out): %s", run, text);
  }
  sp_buf_release(&found.text);
  return status;
}

/* NULL when out of memory. */
static json_t *without_input(const json_t *manifest) {
  static const char *const members[] = {"inputs", "limit", "shards", "shard_utts", "merged"};
  json_t *identity = json_copy((json_t *)identity_of(manifest));
  for (size_t m = 0; identity && m < sizeof members / sizeof *members; m++) {
    json_object_del(identity, members[m]);
  }
  return identity;
}

enum sp_status sp_run_identity_compare_kind(const json_t *first, const char *first_run,
                                            const json_t *other, const char *other_run,
                                            struct sp_error *err) {
  struct differences found = {.they = "the first", .we = "the other"};
  json_t *theirs = without_input(first), *ours = without_input(other);
  const char *text = NULL;
  enum sp_status status =
      theirs && ours ? tell(&found, theirs, ours, &text, err) : sp_fail_memory(err, 1);
  if (status == SP_OK && text) {
    status = sp_fail(err, SP_EIDENTITY, "%s and %s were not scored alike: %s", first_run, other_run,
                     text);
  }
  json_decref(theirs);
  json_decref(ours);
  sp_buf_release(&found.text);
  return status;
}
