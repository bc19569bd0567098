/* The sharded form: model.safetensors.index.json maps each tensor to the shard that holds it. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "file.h"
#include "safetensors_file.h"

#define INDEX_CEILING ((size_t)64 << 20)

static int compare_names(const void *left, const void *right) {
  return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* A name that stays inside the directory. */
static bool is_plain_name(const char *name) {
  return name[0] != '\0' && name[0] != '.' && !strchr(name, '/') && strlen(name) < 256;
}

static size_t drop_repeats(const char **names, size_t count) {
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    if (kept == 0 || strcmp(names[kept - 1], names[i]) != 0) {
      names[kept++] = names[i];
    }
  }
  return kept;
}

static enum sp_status list_shards(const char *path, json_t *map, struct sp_arena *arena,
                                  const char ***names, size_t *n_names, struct sp_error *err) {
  size_t count = json_object_size(map), used = 0;
  if (count == 0) {
    return sp_fail(err, SP_EMODEL, "%s: weight_map is missing or empty", path);
  }
  const char **list = sp_arena_alloc(arena, count, sizeof *list);
  if (!list) {
    return sp_fail_memory(err, sp_mul_sat(count, sizeof *list));
  }
  const char *tensor;
  json_t *value;
  json_object_foreach(map, tensor, value) {
    const char *name = json_string_value(value);
    if (!name || !is_plain_name(name)) {
      return sp_fail(err, SP_EMODEL, "%s: tensor %s: \"%s\" is not a file of this directory", path,
                     tensor, name ? name : "(no text)");
    }
    list[used++] = name;
  }
  qsort(list, used, sizeof *list, compare_names);
  *n_names = drop_repeats(list, used);
  *names = list;
  return SP_OK;
}

enum sp_status sp_tensor_index_read(const char *path, struct sp_arena *arena, const char ***names,
                                    size_t *n_names, json_t **weight_map, struct sp_error *err) {
  struct sp_buf text = {.ceiling = INDEX_CEILING};
  json_error_t fault;
  json_t *index = NULL;
  enum sp_status status;
  status = sp_file_read(path, &text, err);
  if (status == SP_EINPUT) { /* too large */
    status = SP_EMODEL;
  }
  SP_TRY_GOTO(status, release_text);
  index = json_loadb(text.len ? text.data : "", text.len, JSON_REJECT_DUPLICATES, &fault);
  if (!index) {
    status = sp_fail(err, SP_EMODEL, "%s:%d: %s", path, fault.line, fault.text);
    goto release_text;
  }
  json_t *map = json_object_get(index, "weight_map");
  SP_TRY_GOTO(list_shards(path, map, arena, names, n_names, err), release_index);
  *weight_map = json_incref(map);
release_index:
  json_decref(index);
release_text:
  sp_buf_release(&text);
  return status;
}
