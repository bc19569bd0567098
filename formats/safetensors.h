/* safetensors.h - tensors of one .safetensors file, or of a sharded index, mapped read-only.
 *
 * Checks before anything is handed out: header length and shape (64 MiB at most), JSON without
 * duplicate keys, known dtypes, end - begin == product(shape) * size with checked arithmetic,
 * ranges inside the file, sorted by offset without overlap or hole. SP_EMODEL names file and
 * tensor. */
#ifndef SP_FORMATS_SAFETENSORS_H
#define SP_FORMATS_SAFETENSORS_H

#include "folder.h"

#ifdef __cplusplus
extern "C" {
#endif

enum sp_dtype { SP_F32, SP_F16, SP_BF16, SP_F64, SP_I64, SP_OTHER_DTYPE };

size_t sp_dtype_bytes(enum sp_dtype dtype); /* 0 for SP_OTHER_DTYPE */
const char *sp_dtype_name(enum sp_dtype dtype);

#define SP_TENSOR_MAX_RANK 8

struct sp_tensor {
  const char *name; /* owned by the file */
  enum sp_dtype dtype;
  char dtype_text[12]; /* as the file says, "F8_E4M3" say */
  size_t rank;
  size_t shape[SP_TENSOR_MAX_RANK];
  const void *data; /* row-major, little-endian, may be unaligned; owned by the file */
  size_t bytes;
};

struct sp_safetensors;

/* Opens DIR/model.safetensors, or DIR/model.safetensors.index.json with its shards (names in it
 * must be plain file names of DIR). When there is only a pytorch_model.bin the message says how to
 * convert it. */
SP_MUST_CHECK enum sp_status sp_safetensors_open(const char *directory, struct sp_safetensors **out,
                                                 struct sp_error *err);
/* The same of a folder, which must outlive what is opened where it is in memory. */
SP_MUST_CHECK enum sp_status sp_safetensors_open_in(const struct sp_folder *folder,
                                                    struct sp_safetensors **out,
                                                    struct sp_error *err);
/* One file by path: for tests and fuzzers. */
SP_MUST_CHECK enum sp_status sp_safetensors_open_file(const char *path, struct sp_safetensors **out,
                                                      struct sp_error *err);
void sp_safetensors_close(struct sp_safetensors *file);

size_t sp_safetensors_count(const struct sp_safetensors *file);
const struct sp_tensor *sp_safetensors_at(const struct sp_safetensors *file, size_t index);
/* NULL when absent. */
const struct sp_tensor *sp_safetensors_find(const struct sp_safetensors *file, const char *name);

/* Names of the files that were mapped, for hashing; index in [0, count). */
size_t sp_safetensors_file_count(const struct sp_safetensors *file);
const char *sp_safetensors_file_path(const struct sp_safetensors *file, size_t index);
/* Bytes before its tensors' values: all that is read of it here. */
size_t sp_safetensors_file_head(const struct sp_safetensors *file, size_t index);

/* `count` floats from element `first` on, widened; dtype F32, F16, BF16 or F64. */
void sp_tensor_to_f32(const struct sp_tensor *tensor, size_t first, size_t count, float *out);

#ifdef __cplusplus
}
#endif
#endif
