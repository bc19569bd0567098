/* convert.cu - f32 to bf16, nearest, ties to even: what products read of a master.
 *
 * Layout    count elements; a thread takes 8, or one where a place is not aligned or the end is near
 * Bound     memory: 4 bytes read and 2 written an element */
#include "train_ops.h"
#include "wide.cuh"

namespace {

enum { kThreads = 256 };

template <int kCount>
__global__ void __launch_bounds__(kThreads) convert(const float *from, size_t count, sp_bf16 *to) {
  const size_t i = ((size_t)blockIdx.x * kThreads + threadIdx.x) * kCount;
  if (i + kCount <= count) {
    float v[kCount];
    sp_load_some<kCount>(from + i, v);
    sp_store_some<kCount>(to + i, v);
  } else {
    for (size_t j = i; j < count; j++) {
      to[j] = sp_to_bf16(from[j]);
    }
  }
}

}  // namespace

cudaError_t sp_cuda_train_convert(cudaStream_t stream, const float *from, size_t count, void *to) {
  if (count == 0) {
    return cudaSuccess;
  }
  const bool wide = sp_is_aligned(from) && sp_is_aligned(to);
  return SP_LAUNCH(wide ? convert<8> : convert<1>, sp_blocks(count, kThreads * (wide ? 8 : 1)),
                   kThreads, 0, stream, from, count, static_cast<sp_bf16 *>(to));
}
