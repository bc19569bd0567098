/* tensor_check.h - what every tensor must pass before the engine reads it. */
#ifndef SP_MODEL_TENSOR_CHECK_H
#define SP_MODEL_TENSOR_CHECK_H

#include "safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

/* SP_EMODEL when the shape is not `shape` (rank sizes), the dtype is no float type that
 * sp_tensor_to_f32 reads, or a value is NaN, infinite or beyond the range of float. `place` begins
 * the message. */
SP_MUST_CHECK enum sp_status sp_tensor_check(const struct sp_tensor *tensor, const size_t *shape,
                                             size_t rank, const char *place, struct sp_error *err);

/* Of these, shape and dtype: the values may be elsewhere. */
SP_MUST_CHECK enum sp_status sp_tensor_check_shape(const struct sp_tensor *tensor,
                                                   const size_t *shape, size_t rank,
                                                   const char *place, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
