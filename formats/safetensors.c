#include "safetensors.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "bf16.h"
#include "checked.h"
#include "file.h"
#include "safetensors_file.h"

struct sp_safetensors {
  struct sp_arena arena;
  struct sp_tensor_file *files; /* (n_files) */
  size_t n_files;
  const struct sp_tensor **by_name; /* (n_tensors) */
  size_t n_tensors;
};

size_t sp_dtype_bytes(enum sp_dtype dtype) {
  static const size_t bytes[] = {
      [SP_F32] = 4, [SP_F16] = 2, [SP_BF16] = 2, [SP_F64] = 8, [SP_I64] = 8, [SP_OTHER_DTYPE] = 0};
  return bytes[dtype];
}

const char *sp_dtype_name(enum sp_dtype dtype) {
  static const char *const names[] = {
      [SP_F32] = "f32", [SP_F16] = "f16", [SP_BF16] = "bf16",
      [SP_F64] = "f64", [SP_I64] = "i64", [SP_OTHER_DTYPE] = "other"};
  return names[dtype];
}

static int compare_tensors(const void *left, const void *right) {
  const struct sp_tensor *const *a = left, *const *b = right;
  return strcmp((*a)->name, (*b)->name);
}

static enum sp_status sort_by_name(struct sp_safetensors *set, struct sp_error *err) {
  size_t total = 0;
  for (size_t i = 0; i < set->n_files; i++) {
    total += set->files[i].n_tensors;
  }
  set->by_name = sp_arena_alloc(&set->arena, total, sizeof *set->by_name);
  if (!set->by_name) {
    return sp_fail_memory(err, sp_mul_sat(total, sizeof *set->by_name));
  }
  for (size_t i = 0; i < set->n_files; i++) {
    for (size_t j = 0; j < set->files[i].n_tensors; j++) {
      set->by_name[set->n_tensors++] = &set->files[i].tensors[j];
    }
  }
  qsort(set->by_name, total, sizeof *set->by_name, compare_tensors);
  for (size_t i = 1; i < total; i++) {
    if (strcmp(set->by_name[i - 1]->name, set->by_name[i]->name) == 0) {
      return sp_fail(err, SP_EMODEL, "%s: tensor %s is in two shards", set->files[0].path,
                     set->by_name[i]->name);
    }
  }
  return SP_OK;
}

static enum sp_status map_files(struct sp_safetensors *set, const struct sp_folder *folder,
                                const char *const *names, size_t count, struct sp_error *err) {
  set->files = sp_arena_calloc(&set->arena, count, sizeof *set->files);
  if (!set->files) {
    return sp_fail_memory(err, sp_mul_sat(count, sizeof *set->files));
  }
  for (size_t i = 0; i < count; i++) {
    set->n_files = i + 1;
    SP_TRY(sp_tensor_file_map(&set->files[i], folder, names[i], &set->arena, err));
  }
  return sort_by_name(set, err);
}

/* Which of the set's files holds the tensor. */
static const char *file_of(const struct sp_safetensors *set, const struct sp_tensor *tensor) {
  for (size_t i = 0; i < set->n_files; i++) {
    const struct sp_tensor_file *file = &set->files[i];
    if (tensor >= file->tensors && tensor < file->tensors + file->n_tensors) {
      return strrchr(file->path, '/') + 1;
    }
  }
  return "";
}

static enum sp_status check_map(const struct sp_safetensors *set, const struct sp_folder *folder,
                                json_t *weight_map, struct sp_error *err) {
  const char *name;
  json_t *value;
  json_object_foreach(weight_map, name, value) {
    const char *shard = json_string_value(value);
    const struct sp_tensor *tensor = sp_safetensors_find(set, name);
    if (!tensor || strcmp(file_of(set, tensor), shard) != 0) {
      return sp_fail(err, SP_EMODEL, "%s/" SP_TENSOR_INDEX ": tensor %s is not in %s", folder->path,
                     name, shard);
    }
  }
  return SP_OK;
}

static enum sp_status open_index(struct sp_safetensors *set, const struct sp_folder *folder,
                                 struct sp_error *err) {
  const char **names = NULL;
  size_t count = 0;
  json_t *weight_map = NULL;
  enum sp_status status = SP_OK;
  SP_TRY(sp_tensor_index_read(folder, &set->arena, &names, &count, &weight_map, err));
  for (size_t i = 0; i < count; i++) {
    if (!sp_folder_has(folder, names[i])) {
      status = sp_fail(err, SP_EMODEL, "%s/" SP_TENSOR_INDEX ": the shard %s is missing",
                       folder->path, names[i]);
      goto release_map;
    }
  }
  SP_TRY_GOTO(map_files(set, folder, names, count, err), release_map);
  status = check_map(set, folder, weight_map, err);
release_map:
  json_decref(weight_map);
  return status;
}

static enum sp_status no_weights(const struct sp_folder *folder, struct sp_error *err) {
  const char *directory = folder->path;
  if (!sp_folder_has(folder, "pytorch_model.bin")) {
    return sp_fail(err, SP_EMODEL, "%s has no model.safetensors and no index of shards", directory);
  }
  return sp_fail(err, SP_EMODEL,
                 "%s has only pytorch_model.bin, which is not read; convert it once: python3 -c "
                 "\"import sys, transformers as t; d = sys.argv[1]; m = t.AutoConfig"
                 ".from_pretrained(d).architectures[0]; getattr(t, m).from_pretrained(d)"
                 ".save_pretrained(d)\" %s",
                 directory, directory);
}

static enum sp_status fill_whole(struct sp_safetensors *set, const struct sp_folder *folder,
                                 struct sp_error *err) {
  const char *single = "model.safetensors";
  if (sp_folder_has(folder, single)) {
    return map_files(set, folder, &single, 1, err);
  }
  return sp_folder_has(folder, SP_TENSOR_INDEX) ? open_index(set, folder, err)
                                                : no_weights(folder, err);
}

enum sp_status sp_safetensors_open_in(const struct sp_folder *folder, struct sp_safetensors **out,
                                      struct sp_error *err) {
  struct sp_safetensors *set = calloc(1, sizeof *set);
  if (!set) {
    return sp_fail_memory(err, sizeof *set);
  }
  enum sp_status status = fill_whole(set, folder, err);
  if (status != SP_OK) {
    sp_safetensors_close(set);
    return status;
  }
  *out = set;
  return SP_OK;
}

enum sp_status sp_safetensors_open(const char *directory, struct sp_safetensors **out,
                                   struct sp_error *err) {
  struct sp_folder folder = sp_folder_at(directory);
  return sp_safetensors_open_in(&folder, out, err);
}

static enum sp_status fill_file(struct sp_safetensors *set, const char *path,
                                struct sp_error *err) {
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  char *directory =
      sp_arena_copy(&set->arena, slash ? path : ".", slash ? (size_t)(slash - path) : 1);
  if (!directory) {
    return sp_fail_memory(err, strlen(path) + 1);
  }
  struct sp_folder folder = sp_folder_at(directory);
  return map_files(set, &folder, &name, 1, err);
}

enum sp_status sp_safetensors_open_file(const char *path, struct sp_safetensors **out,
                                        struct sp_error *err) {
  struct sp_safetensors *set = calloc(1, sizeof *set);
  if (!set) {
    return sp_fail_memory(err, sizeof *set);
  }
  enum sp_status status = fill_file(set, path, err);
  if (status != SP_OK) {
    sp_safetensors_close(set);
    return status;
  }
  *out = set;
  return SP_OK;
}

void sp_safetensors_close(struct sp_safetensors *file) {
  if (!file) {
    return;
  }
  for (size_t i = 0; i < file->n_files; i++) {
    sp_tensor_file_release(&file->files[i]);
  }
  sp_arena_release(&file->arena);
  free(file);
}

size_t sp_safetensors_count(const struct sp_safetensors *file) {
  return file->n_tensors;
}

const struct sp_tensor *sp_safetensors_at(const struct sp_safetensors *file, size_t index) {
  return file->by_name[index];
}

const struct sp_tensor *sp_safetensors_find(const struct sp_safetensors *file, const char *name) {
  struct sp_tensor key = {.name = name};
  const struct sp_tensor *wanted = &key;
  const struct sp_tensor **found =
      bsearch(&wanted, file->by_name, file->n_tensors, sizeof *file->by_name, compare_tensors);
  return found ? *found : NULL;
}

size_t sp_safetensors_file_count(const struct sp_safetensors *file) {
  return file->n_files;
}

const char *sp_safetensors_file_path(const struct sp_safetensors *file, size_t index) {
  return file->files[index].path;
}

size_t sp_safetensors_file_head(const struct sp_safetensors *file, size_t index) {
  return file->files[index].data_at;
}

/* Subnormals are scaled by 2^-24, their unit; the rest is rebased from bias 15 to 127. */
static float f16_to_f32(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = half >> 10 & 31u;
  uint32_t fraction = half & 0x3ffu, bits;
  float value;
  if (exponent == 0) {
    value = (float)fraction * 0x1p-24f;
    memcpy(&bits, &value, sizeof bits);
  } else {
    bits = (exponent == 31 ? 255u : exponent + 112u) << 23 | fraction << 13;
  }
  bits |= sign;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static void widen_halves(const char *from, size_t count, float (*widen)(uint16_t), float *out) {
  for (size_t i = 0; i < count; i++) {
    uint16_t half;
    memcpy(&half, from + 2 * i, sizeof half);
    out[i] = widen(half);
  }
}

static void narrow_doubles(const char *from, size_t count, float *out) {
  for (size_t i = 0; i < count; i++) {
    double value;
    memcpy(&value, from + 8 * i, sizeof value);
    out[i] = (float)value;
  }
}

void sp_tensor_to_f32(const struct sp_tensor *tensor, size_t first, size_t count, float *out) {
  const char *from = (const char *)tensor->data + first * sp_dtype_bytes(tensor->dtype);
  switch (tensor->dtype) {
    case SP_F32:
      memcpy(out, from, count * sizeof *out);
      break;
    case SP_F16:
      widen_halves(from, count, f16_to_f32, out);
      break;
    case SP_BF16:
      widen_halves(from, count, sp_bf16_to_f32, out);
      break;
    case SP_F64:
      narrow_doubles(from, count, out);
      break;
    default:
      memset(out, 0, count * sizeof *out);
      break;
  }
}
