#include "names.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "checked.h"

enum { name_ceiling = 256 };

enum sp_status sp_names_init(struct sp_names *names, const struct sp_safetensors *tensors,
                             struct sp_arena *arena, struct sp_error *err) {
  size_t count = sp_safetensors_count(tensors);
  *names = (struct sp_names){.tensors = tensors, .prefix = "bert."};
  if (sp_safetensors_find(tensors, "embeddings.word_embeddings.weight") &&
      !sp_safetensors_find(tensors, "bert.embeddings.word_embeddings.weight")) {
    names->prefix = "";
  }
  names->used = sp_arena_calloc(arena, count, sizeof *names->used);
  return names->used ? SP_OK : sp_fail_memory(err, count);
}

void sp_names_release(struct sp_names *names) {
  sp_buf_release(&names->missing);
}

/* The older name of a LayerNorm's weight or bias; NULL when `name` is not one. */
static const char *older_name(const char *name, char out[name_ceiling]) {
  static const char *const pairs[][2] = {{".LayerNorm.weight", "gamma"},
                                         {".LayerNorm.bias", "beta"}};
  size_t len = strlen(name);
  for (size_t i = 0; i < 2; i++) {
    size_t tail = strlen(pairs[i][0]);
    if (len >= tail && strcmp(name + len - tail, pairs[i][0]) == 0) {
      size_t keep = len - tail + strlen(".LayerNorm.");
      snprintf(out, name_ceiling, "%.*s%s", (int)keep, name, pairs[i][1]);
      return out;
    }
  }
  return NULL;
}

static const struct sp_tensor *find(const struct sp_names *names, const char *name) {
  char older[name_ceiling];
  const struct sp_tensor *tensor = sp_safetensors_find(names->tensors, name);
  if (!tensor && older_name(name, older)) {
    tensor = sp_safetensors_find(names->tensors, older);
  }
  return tensor;
}

bool sp_names_has(const struct sp_names *names, const char *name) {
  return find(names, name) != NULL;
}

/* Tensors are sorted by name. */
static size_t index_of(const struct sp_names *names, const struct sp_tensor *tensor) {
  size_t low = 0, high = sp_safetensors_count(names->tensors);
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    if (strcmp(sp_safetensors_at(names->tensors, middle)->name, tensor->name) <= 0) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

enum sp_status sp_names_get(struct sp_names *names, const struct sp_tensor **out,
                            struct sp_error *err, const char *format, ...) {
  char name[name_ceiling];
  va_list args;
  va_start(args, format);
  vsnprintf(name, sizeof name, format, args);
  va_end(args);
  *out = find(names, name);
  if (*out) {
    names->used[index_of(names, *out)] = true;
    return SP_OK;
  }
  if (names->n_missing++ < SP_NAMES_MISSING_SHOWN) {
    const char *comma = names->n_missing > 1 ? ", " : "";
    return sp_buf_printf(&names->missing, err, "%s%s", comma, name);
  }
  return SP_OK;
}

enum sp_status sp_names_check(const struct sp_names *names, const char *place,
                              struct sp_error *err) {
  size_t more = 0;
  if (names->n_missing == 0) {
    return SP_OK;
  }
  if (names->n_missing > SP_NAMES_MISSING_SHOWN) {
    more = names->n_missing - SP_NAMES_MISSING_SHOWN;
  }
  return sp_fail(err, SP_EMODEL, "%s: %zu tensor%s missing: %.*s%s", place, names->n_missing,
                 names->n_missing == 1 ? " is" : "s are", (int)names->missing.len,
                 names->missing.data, more ? ", and more" : "");
}

enum sp_status sp_names_extra(const struct sp_names *names, struct sp_arena *arena,
                              const char *const **out, size_t *n_out, struct sp_error *err) {
  size_t count = sp_safetensors_count(names->tensors), used = 0;
  const char **list = sp_arena_alloc(arena, count, sizeof *list);
  if (!list) {
    return sp_fail_memory(err, sp_mul_sat(count, sizeof *list));
  }
  for (size_t i = 0; i < count; i++) {
    if (!names->used[i]) {
      list[used++] = sp_safetensors_at(names->tensors, i)->name;
    }
  }
  *out = list;
  *n_out = used;
  return SP_OK;
}
