/* column_sum.cu - sum[c] += sum over rows of values(r, c): the gradient of a bias.
 *
 * Layout    values (R, pitch) bf16 or f32, its first N columns; sum (N) f32
 * Numerics  f32; 16 rows a warp, 8 warps a part, then parts, each in order (column_sum.cuh)
 * Bound     memory: values read once; two launches */
#include "column_sum.cuh"
#include "train_ops.h"

namespace {

template <typename T>
struct Values {
  const T *values;
  size_t pitch;
  template <int kCount>
  SP_DEVICE_MEMBER void load(size_t row, size_t column, float v[1][kCount]) const {
    sp_load_some<kCount>(values + row * pitch + column, v[0]);
  }
};

template <typename T>
cudaError_t launch(cudaStream_t stream, const void *values, size_t rows, size_t n, size_t pitch,
                   float *sum, void *scratch) {
  const Values<T> source = {static_cast<const T *>(values), pitch};
  const sp_column_targets<1> to = {{sum}};
  float *parts = static_cast<float *>(scratch);
  const bool wide =
      sp_is_aligned(values) && sp_is_wide(pitch * sizeof(T)) && sp_is_wide(n * sizeof(T));
  return wide ? sp_column_sum<1, kWide<T>>(stream, source, rows, n, parts, to)
              : sp_column_sum<1, 1>(stream, source, rows, n, parts, to);
}

}  // namespace

size_t sp_cuda_train_column_sum_scratch_bytes(size_t rows, size_t n) {
  return sp_column_scratch_floats(rows, n, 1) * sizeof(float);
}

cudaError_t sp_cuda_train_column_sum(cudaStream_t stream, bool bf16, const void *values,
                                     size_t rows, size_t n, size_t pitch, float *sum,
                                     void *scratch) {
  if (pitch < n) {
    return cudaErrorInvalidValue;
  }
  if (rows == 0 || n == 0) {
    return cudaSuccess;
  }
  return bf16 ? launch<sp_bf16>(stream, values, rows, n, pitch, sum, scratch)
              : launch<float>(stream, values, rows, n, pitch, sum, scratch);
}
