/* safetensors_writer.h - tensors into one .safetensors file, as our own strict reader wants it.
 *
 * Tensors lie in the order given, without holes; the header ends in spaces to a multiple of eight bytes and
 * its metadata is {"format":"pt","writer":"secondpass"}: Hugging Face transformers asks for the first.
 *
 * Flow       create; put, in order, all tensors' bytes; finish, or abandon.
 * Errors     SP_EIO; SP_EMODEL where sizes overflow or the bytes put are not the tensors'. */
#ifndef SP_FORMATS_SAFETENSORS_WRITER_H
#define SP_FORMATS_SAFETENSORS_WRITER_H

#include "safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_tensor_spec {
  const char *name;    /* UTF-8, each once */
  enum sp_dtype dtype; /* not SP_OTHER_DTYPE */
  size_t rank, shape[SP_TENSOR_MAX_RANK];
};

struct sp_safetensors_writer;

/* The file appears under `path` when it is whole (sink.h). The specs are not kept. */
SP_MUST_CHECK enum sp_status sp_safetensors_create(const char *path,
                                                   const struct sp_tensor_spec *specs, size_t count,
                                                   struct sp_safetensors_writer **out,
                                                   struct sp_error *err);
/* The next `len` bytes, row-major and little-endian: a part of a tensor, or of several. */
SP_MUST_CHECK enum sp_status sp_safetensors_put(struct sp_safetensors_writer *writer,
                                                const void *data, size_t len, struct sp_error *err);
/* Frees the writer; on failure nothing of the file stays. */
SP_MUST_CHECK enum sp_status sp_safetensors_finish(struct sp_safetensors_writer *writer,
                                                   struct sp_error *err);
/* Removes what was written, and frees. NULL is fine. */
void sp_safetensors_abandon(struct sp_safetensors_writer *writer);

/* Whether a file begins as the ones that this writes. */
bool sp_safetensors_is_ours(const char *path);

#ifdef __cplusplus
}
#endif
#endif
