/* safetensors_file.h - one mapped .safetensors file; private to the reader and its fuzzer.
 *
 * Layout: u64 little-endian length N of the header, N bytes of JSON that begin with '{' and may end
 * in spaces, then the tensors' bytes, to the end of the file, without a hole. */
#ifndef SP_FORMATS_SAFETENSORS_FILE_H
#define SP_FORMATS_SAFETENSORS_FILE_H

#include <jansson.h>

#include "arena.h"
#include "safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_SAFETENSORS_HEADER_CEILING ((size_t)64 << 20)

struct sp_tensor_file {
  char *path;       /* arena of the owner */
  const char *data; /* the file's bytes; NULL when nothing is mapped */
  bool lent;        /* they are a folder's in memory, no mapping */
  size_t size, data_at; /* all of it; its first byte behind the header */
  struct sp_tensor *tensors; /* (n_tensors) by offset; arena of the owner */
  size_t n_tensors;
};

/* Maps a folder's file and parses it. The mapping is undone by release, also after a failure. */
SP_MUST_CHECK enum sp_status sp_tensor_file_map(struct sp_tensor_file *file,
                                                const struct sp_folder *folder, const char *name,
                                                struct sp_arena *arena, struct sp_error *err);
void sp_tensor_file_release(struct sp_tensor_file *file);

/* Checks file->data and fills the tensors. */
SP_MUST_CHECK enum sp_status sp_tensor_file_parse(struct sp_tensor_file *file,
                                                  struct sp_arena *arena, struct sp_error *err);

#define SP_TENSOR_INDEX "model.safetensors.index.json"

/* Reads a folder's index file: the shards that it names, each once, sorted (array in the arena, texts
 * owned by the map), and its weight_map of tensor to shard, which the caller releases with
 * json_decref. */
SP_MUST_CHECK enum sp_status sp_tensor_index_read(const struct sp_folder *folder,
                                                  struct sp_arena *arena, const char ***names,
                                                  size_t *n_names, json_t **weight_map,
                                                  struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
