#include "run_manifest.h"

#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "run_files.h"

#define MANIFEST_CEILING ((size_t)64 << 20)

static enum sp_status check_count(const json_t *manifest, const char *object, const char *key,
                                  json_int_t least, json_int_t most, const char *path,
                                  struct sp_error *err) {
  const json_t *value = json_object_get(json_object_get(manifest, object), key);
  if (!json_is_integer(value) || json_integer_value(value) < least ||
      json_integer_value(value) > most) {
    return sp_fail(err, SP_EDAMAGED, "%s: %s.%s is missing or no number in its range", path, object,
                   key);
  }
  return SP_OK;
}

static enum sp_status check_shape(const json_t *manifest, const char *path, struct sp_error *err) {
  const json_int_t any = INT64_MAX;
  SP_TRY(check_count(manifest, "identity", "shards", 0, SP_SHARDS_CEILING, path, err));
  SP_TRY(check_count(manifest, "identity", "shard_utts", 1, any, path, err));
  SP_TRY(check_count(manifest, "info", "utts", 0, any, path, err));
  return check_count(manifest, "info", "hyps", 0, any, path, err);
}

static enum sp_status write_with(enum sp_status (*put)(const char *, const void *, size_t,
                                                       struct sp_error *),
                                 const char *run, json_t *manifest, struct sp_error *err) {
  struct sp_buf path = {0}, text = {0};
  char *dump = NULL;
  enum sp_status status;
  SP_TRY_GOTO(sp_run_path(&path, run, SP_RUN_MANIFEST, err), release);
  SP_TRY_GOTO(check_shape(manifest, path.data, err), release);
  dump = json_dumps(manifest, JSON_INDENT(2));
  if (!dump) {
    status = sp_fail(err, SP_EUSAGE, "%s: a member is not valid Unicode", path.data);
    goto release;
  }
  SP_TRY_GOTO(sp_buf_printf(&text, err, "%s\n", dump), release);
  status = put(path.data, text.data, text.len, err);
release:
  free(dump);
  sp_buf_release(&path);
  sp_buf_release(&text);
  return status;
}

enum sp_status sp_run_manifest_write(const char *run, json_t *manifest, struct sp_error *err) {
  return write_with(sp_file_replace, run, manifest, err);
}

enum sp_status sp_run_manifest_publish(const char *run, json_t *manifest, struct sp_error *err) {
  return write_with(sp_file_make, run, manifest, err);
}

enum sp_status sp_run_manifest_parse(struct sp_text text, const char *path, json_t **out,
                                     struct sp_error *err) {
  json_error_t fault;
  json_t *manifest = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &fault);
  if (!manifest) {
    return sp_fail(err, SP_EDAMAGED, "%s:%d: %s", path, fault.line, fault.text);
  }
  enum sp_status status = check_shape(manifest, path, err);
  if (status != SP_OK) {
    json_decref(manifest);
    return status;
  }
  *out = manifest;
  return SP_OK;
}

enum sp_status sp_run_manifest_read(const char *run, json_t **out, bool *found,
                                    struct sp_error *err) {
  struct sp_buf path = {0}, text = {0};
  *out = NULL;
  *found = false;
  enum sp_status status;
  SP_TRY_GOTO(sp_run_path(&path, run, SP_RUN_MANIFEST, err), release);
  SP_TRY_GOTO(sp_run_file_read(path.data, MANIFEST_CEILING, &text, found, err), release);
  if (*found) {
    status = sp_run_manifest_parse((struct sp_text){text.data, text.len}, path.data, out, err);
  }
release:
  sp_buf_release(&path);
  sp_buf_release(&text);
  return status;
}

static const struct {
  const char *object, *key;
} may_be_open[] = {{"identity", "device_type"},
                   {"identity", "dtype"},
                   {"identity", "backend"},
                   {"info", "signature"}};
enum { n_may_be_open = sizeof may_be_open / sizeof *may_be_open };

bool sp_run_manifest_is_open(const json_t *manifest) {
  const json_t *identity = json_object_get(manifest, "identity");
  return json_is_null(json_object_get(identity, "device_type"));
}

void sp_run_manifest_fill(json_t *manifest, const json_t *from) {
  for (int i = 0; i < n_may_be_open; i++) {
    json_t *object = json_object_get(manifest, may_be_open[i].object);
    json_t *value =
        json_object_get(json_object_get(from, may_be_open[i].object), may_be_open[i].key);
    if (value && json_is_null(json_object_get(object, may_be_open[i].key))) {
      json_object_set(object, may_be_open[i].key, value);
    }
  }
}
