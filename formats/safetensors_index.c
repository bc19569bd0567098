/* The sharded form: model.safetensors.index.json maps each tensor to the shard that holds it. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
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

static enum sp_status parse(const char *path, struct sp_text text, json_t **out,
                            struct sp_error *err) {
  json_error_t fault;
  *out = json_loadb(text.len ? text.data : "", text.len, JSON_REJECT_DUPLICATES, &fault);
  return *out ? SP_OK : sp_fail(err, SP_EMODEL, "%s:%d: %s", path, fault.line, fault.text);
}

enum sp_status sp_tensor_index_read(const struct sp_folder *folder, struct sp_arena *arena,
                                    const char ***names, size_t *n_names, json_t **weight_map,
                                    struct sp_error *err) {
  struct sp_buf path = {0}, text = {.ceiling = INDEX_CEILING};
  json_t *index = NULL;
  enum sp_status status;
  SP_TRY_GOTO(sp_folder_path(folder, SP_TENSOR_INDEX, &path, err), release);
  status = sp_folder_read(folder, SP_TENSOR_INDEX, &text, err);
  if (status == SP_EINPUT) { /* too large */
    status = SP_EMODEL;
  }
  SP_TRY_GOTO(status, release);
  SP_TRY_GOTO(parse(path.data, (struct sp_text){text.data, text.len}, &index, err), release);
  json_t *map = json_object_get(index, "weight_map");
  SP_TRY_GOTO(list_shards(path.data, map, arena, names, n_names, err), release);
  *weight_map = json_incref(map);
release:
  json_decref(index);
  sp_buf_release(&text);
  sp_buf_release(&path);
  return status;
}
