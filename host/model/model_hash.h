/* model_hash.h - one hash for all files of a model that can change a score. */
#ifndef SP_MODEL_MODEL_HASH_H
#define SP_MODEL_MODEL_HASH_H

#include "safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

/* XXH3-128 as 32 lower-case hexadecimal digits. Each file adds its name with the NUL, its bytes,
 * and its size as u64 little-endian. checkpoint.h gives the order. */
SP_MUST_CHECK enum sp_status sp_model_hash(const struct sp_folder *folder,
                                           const struct sp_safetensors *tensors, char out[33],
                                           struct sp_error *err);

/* A number that changes when a .json, .txt or .safetensors file of the directory is written,
 * replaced, added or removed: of names, devices, inodes, sizes and times of change.  0 when there is
 * no such directory, or it is in memory. */
SP_MUST_CHECK enum sp_status sp_model_stamp(const struct sp_folder *folder, uint64_t *out,
                                            struct sp_error *err);

/* SP_EMODEL unless the folder still has that stamp. */
SP_MUST_CHECK enum sp_status sp_model_check_stamp(const struct sp_folder *folder, uint64_t stamp,
                                                  struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
