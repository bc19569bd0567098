#include "safetensors_file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "file.h"

enum { length_bytes = 8 };

static const struct {
  const char *text;
  enum sp_dtype dtype;
  size_t bytes;
} dtypes[] = {
    {"F32", SP_F32, 4},
    {"F16", SP_F16, 2},
    {"BF16", SP_BF16, 2},
    {"F64", SP_F64, 8},
    {"I64", SP_I64, 8},
    {"I32", SP_OTHER_DTYPE, 4},
    {"I16", SP_OTHER_DTYPE, 2},
    {"I8", SP_OTHER_DTYPE, 1},
    {"U64", SP_OTHER_DTYPE, 8},
    {"U32", SP_OTHER_DTYPE, 4},
    {"U16", SP_OTHER_DTYPE, 2},
    {"U8", SP_OTHER_DTYPE, 1},
    {"BOOL", SP_OTHER_DTYPE, 1},
    {"C64", SP_OTHER_DTYPE, 8},
    {"F8_E4M3", SP_OTHER_DTYPE, 1},
    {"F8_E5M2", SP_OTHER_DTYPE, 1},
    {"F8_E8M0", SP_OTHER_DTYPE, 1},
};

/* Sets dtype and *size, the bytes of an element. */
static enum sp_status read_dtype(const struct sp_tensor_file *file, json_t *value,
                                 struct sp_tensor *tensor, size_t *size, struct sp_error *err) {
  const char *text = json_string_value(value);
  if (!text) {
    return sp_fail(err, SP_EMODEL, "%s: tensor %s has no dtype", file->path, tensor->name);
  }
  for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++) {
    if (strcmp(text, dtypes[i].text) == 0) {
      tensor->dtype = dtypes[i].dtype;
      *size = dtypes[i].bytes;
      memcpy(tensor->dtype_text, text, strlen(text) + 1);
      return SP_OK;
    }
  }
  return sp_fail(err, SP_EMODEL, "%s: tensor %s has the unknown dtype \"%.40s\"", file->path,
                 tensor->name, text);
}

static bool read_size(const json_t *value, size_t *out) {
  json_int_t number = json_integer_value(value);
  if (!json_is_integer(value) || number < 0) {
    return false;
  }
  *out = (size_t)number;
  return true;
}

/* Fills rank, shape and bytes; bytes holds the size of an element on entry. */
static enum sp_status read_shape(const struct sp_tensor_file *file, json_t *value,
                                 struct sp_tensor *tensor, struct sp_error *err) {
  size_t rank = json_array_size(value);
  if (!json_is_array(value) || rank > SP_TENSOR_MAX_RANK) {
    return sp_fail(err, SP_EMODEL, "%s: tensor %s: shape is not a list of up to %d sizes",
                   file->path, tensor->name, SP_TENSOR_MAX_RANK);
  }
  tensor->rank = rank;
  for (size_t i = 0; i < rank; i++) {
    if (!read_size(json_array_get(value, i), &tensor->shape[i])) {
      return sp_fail(err, SP_EMODEL, "%s: tensor %s: shape holds something that is not a size",
                     file->path, tensor->name);
    }
    if (!sp_mul_size(tensor->bytes, tensor->shape[i], &tensor->bytes)) {
      return sp_fail(err, SP_EMODEL, "%s: tensor %s: the product of its shape overflows",
                     file->path, tensor->name);
    }
  }
  return SP_OK;
}

static enum sp_status read_range(const struct sp_tensor_file *file, json_t *value,
                                 struct sp_tensor *tensor, struct sp_error *err) {
  size_t begin = 0, end = 0, room = file->size - file->data_at;
  if (json_array_size(value) != 2 || !read_size(json_array_get(value, 0), &begin) ||
      !read_size(json_array_get(value, 1), &end)) {
    return sp_fail(err, SP_EMODEL, "%s: tensor %s: data_offsets are not two offsets", file->path,
                   tensor->name);
  }
  if (begin > end || end > room) {
    return sp_fail(err, SP_EMODEL,
                   "%s: tensor %s: range [%zu, %zu) is outside the %zu bytes of data: the file is "
                   "truncated or damaged",
                   file->path, tensor->name, begin, end, room);
  }
  if (end - begin != tensor->bytes) {
    return sp_fail(err, SP_EMODEL, "%s: tensor %s: range has %zu bytes, its shape needs %zu",
                   file->path, tensor->name, end - begin, tensor->bytes);
  }
  tensor->data = file->data + file->data_at + begin;
  return SP_OK;
}

static enum sp_status read_tensor(const struct sp_tensor_file *file, const char *name,
                                  json_t *entry, struct sp_arena *arena, struct sp_tensor *tensor,
                                  struct sp_error *err) {
  tensor->name = sp_arena_copy(arena, name, strlen(name));
  if (!tensor->name) {
    return sp_fail_memory(err, strlen(name));
  }
  if (!json_is_object(entry)) {
    return sp_fail(err, SP_EMODEL, "%s: tensor %s is not an object", file->path, name);
  }
  SP_TRY(read_dtype(file, json_object_get(entry, "dtype"), tensor, &tensor->bytes, err));
  SP_TRY(read_shape(file, json_object_get(entry, "shape"), tensor, err));
  return read_range(file, json_object_get(entry, "data_offsets"), tensor, err);
}

/* By place in the file; empty tensors come before the one that starts where they are. */
static int compare_place(const void *left, const void *right) {
  const struct sp_tensor *a = left, *b = right;
  uintptr_t at_a = (uintptr_t)a->data, at_b = (uintptr_t)b->data;
  if (at_a != at_b) {
    return at_a < at_b ? -1 : 1;
  }
  if (a->bytes != b->bytes) {
    return a->bytes < b->bytes ? -1 : 1;
  }
  return strcmp(a->name, b->name);
}

static enum sp_status check_cover(const struct sp_tensor_file *file, struct sp_error *err) {
  const char *at = file->data + file->data_at;
  for (size_t i = 0; i < file->n_tensors; i++) {
    const struct sp_tensor *tensor = &file->tensors[i];
    const char *begin = tensor->data;
    if (begin != at) {
      return sp_fail(err, SP_EMODEL, "%s: tensor %s: range begins at byte %zu of the data %s",
                     file->path, tensor->name, (size_t)(begin - file->data) - file->data_at,
                     begin < at ? "and overlaps another" : "after a hole");
    }
    at = begin + tensor->bytes;
  }
  size_t left = (size_t)(file->data + file->size - at);
  if (left > 0) {
    return sp_fail(err, SP_EMODEL, "%s: %zu bytes at the end belong to no tensor", file->path,
                   left);
  }
  return SP_OK;
}

static enum sp_status check_metadata(const struct sp_tensor_file *file, json_t *metadata,
                                     struct sp_error *err) {
  bool good = json_is_object(metadata);
  const char *key;
  json_t *value;
  json_object_foreach(metadata, key, value) {
    good = good && json_is_string(value);
  }
  return good ? SP_OK
              : sp_fail(err, SP_EMODEL, "%s: __metadata__ is not a map of strings", file->path);
}

static enum sp_status read_header(struct sp_tensor_file *file, json_t *header,
                                  struct sp_arena *arena, struct sp_error *err) {
  size_t count = json_object_size(header);
  file->tensors = sp_arena_calloc(arena, count, sizeof *file->tensors);
  if (!file->tensors) {
    return sp_fail_memory(err, sp_mul_sat(count, sizeof *file->tensors));
  }
  const char *name;
  json_t *entry;
  json_object_foreach(header, name, entry) {
    if (strcmp(name, "__metadata__") == 0) {
      SP_TRY(check_metadata(file, entry, err));
      continue;
    }
    SP_TRY(read_tensor(file, name, entry, arena, &file->tensors[file->n_tensors], err));
    file->n_tensors++;
  }
  if (file->n_tensors > 0) {
    qsort(file->tensors, file->n_tensors, sizeof *file->tensors, compare_place);
  }
  return check_cover(file, err);
}

static enum sp_status read_length(const struct sp_tensor_file *file, size_t *length,
                                  struct sp_error *err) {
  if (file->size < length_bytes) {
    return sp_fail(err, SP_EMODEL, "%s: %zu bytes are too few for a safetensors file", file->path,
                   file->size);
  }
  uint64_t value = 0;
  for (int i = length_bytes - 1; i >= 0; i--) {
    value = value << 8 | (unsigned char)file->data[i];
  }
  if (value > SP_SAFETENSORS_HEADER_CEILING) {
    return sp_fail(err, SP_EMODEL, "%s: a header of %llu bytes is over the limit of %zu",
                   file->path, (unsigned long long)value, SP_SAFETENSORS_HEADER_CEILING);
  }
  if (value > file->size - length_bytes) {
    return sp_fail(err, SP_EMODEL, "%s: the header needs %llu bytes, the file has %zu after it",
                   file->path, (unsigned long long)value, file->size - length_bytes);
  }
  *length = (size_t)value;
  return SP_OK;
}

enum sp_status sp_tensor_file_parse(struct sp_tensor_file *file, struct sp_arena *arena,
                                    struct sp_error *err) {
  size_t length = 0;
  SP_TRY(read_length(file, &length, err));
  const char *text = file->data + length_bytes;
  if (length == 0 || text[0] != '{') {
    return sp_fail(err, SP_EMODEL, "%s: the header does not begin with '{'", file->path);
  }
  json_error_t fault;
  json_t *header = json_loadb(text, length, JSON_REJECT_DUPLICATES, &fault);
  if (!header) {
    return sp_fail(err, SP_EMODEL, "%s: header: %s at byte %d", file->path, fault.text,
                   fault.position);
  }
  file->data_at = length_bytes + length;
  enum sp_status status = read_header(file, header, arena, err);
  json_decref(header);
  return status;
}

static enum sp_status keep_path(struct sp_tensor_file *file, const struct sp_folder *folder,
                                const char *name, struct sp_arena *arena, struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status = sp_folder_path(folder, name, &path, err);
  file->path = status == SP_OK ? sp_arena_copy(arena, path.data, path.len) : NULL;
  sp_buf_release(&path);
  SP_TRY(status);
  return file->path ? SP_OK : sp_fail_memory(err, strlen(folder->path) + strlen(name) + 2);
}

enum sp_status sp_tensor_file_map(struct sp_tensor_file *file, const struct sp_folder *folder,
                                  const char *name, struct sp_arena *arena, struct sp_error *err) {
  struct sp_text bytes;
  SP_TRY(keep_path(file, folder, name, arena, err));
  SP_TRY(sp_folder_map(folder, name, SP_EMODEL, &bytes, err));
  file->lent = folder->in_memory;
  file->data = bytes.data;
  file->size = bytes.len;
  return bytes.len > 0 ? sp_tensor_file_parse(file, arena, err)
                       : sp_fail(err, SP_EMODEL, "%s is empty", file->path);
}

void sp_tensor_file_release(struct sp_tensor_file *file) {
  if (!file->lent) {
    sp_file_unmap((struct sp_text){file->data, file->size});
  }
  *file = (struct sp_tensor_file){0};
}
