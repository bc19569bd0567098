/* Any bytes as a model.safetensors.index.json: refused, or every tensor lies in a listed shard. */
#include <stdlib.h>
#include <string.h>

#include "safetensors_file.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

static int compare(const void *key, const void *item) {
  return strcmp(key, *(const char *const *)item);
}

static void check_index(const char **names, size_t n_names, json_t *map) {
  const char *tensor;
  json_t *value;
  check(n_names > 0 && n_names <= json_object_size(map));
  for (size_t i = 0; i < n_names; i++) {
    check(names[i][0] != '\0' && names[i][0] != '.' && !strchr(names[i], '/'));
    check(i == 0 || strcmp(names[i - 1], names[i]) < 0);
  }
  json_object_foreach(map, tensor, value) {
    const char *name = json_string_value(value);
    check(name && bsearch(name, names, n_names, sizeof *names, compare));
  }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  struct sp_arena arena = {.ceiling = (size_t)256 << 20};
  struct sp_error err = {0};
  const char **names;
  size_t n_names;
  json_t *map;
  static const char path[] = "m/" SP_TENSOR_INDEX;
  struct sp_folder_file file = {SP_TENSOR_INDEX, {(const char *)data, size}};
  struct sp_folder folder = {"m", true, &file, 1};
  enum sp_status status = sp_tensor_index_read(&folder, &arena, &names, &n_names, &map, &err);
  if (status == SP_OK) {
    check_index(names, n_names, map);
    json_decref(map);
  } else {
    check(status == SP_EMODEL && strncmp(err.message, path, strlen(path)) == 0);
  }
  sp_arena_release(&arena);
  return 0;
}
