/* ordered_sum.cu - to = from[0] + from[1] + .., element by element, in this order: the sum over devices,
 * the same bits on each.
 *
 * Layout    up to SP_MAX_DEVICES arrays of count f32; a thread takes 4 elements, or one where a place is
 *           not aligned or the end is near; `to` may be one of them
 * Bound     memory, or the link where arrays lie on other devices */
#include "train_ops.h"
#include "wide.cuh"

namespace {

enum { kThreads = 256 };

struct Arrays {
  const float *from[SP_MAX_DEVICES];
  uint32_t n;
};

template <int kCount>
SP_DEVICE void add_all(const Arrays &a, size_t i, float *to) {
  float sum[kCount], v[kCount];
  sp_load_some<kCount>(a.from[0] + i, sum);
  for (uint32_t d = 1; d < a.n; d++) {
    sp_load_some<kCount>(a.from[d] + i, v);
    SP_UNROLL
    for (int j = 0; j < kCount; j++) {
      sum[j] += v[j];
    }
  }
  sp_store_some<kCount>(to + i, sum);
}

template <int kCount>
__global__ void __launch_bounds__(kThreads) ordered_sum(const Arrays a, size_t count, float *to) {
  const size_t i = ((size_t)blockIdx.x * kThreads + threadIdx.x) * kCount;
  if (i + kCount <= count) {
    add_all<kCount>(a, i, to);
  } else {
    for (size_t j = i; j < count; j++) {
      add_all<1>(a, j, to);
    }
  }
}

}  // namespace

cudaError_t sp_cuda_train_ordered_sum(cudaStream_t stream, const float *const *from, size_t n,
                                      size_t count, float *to) {
  if (n == 0 || n > SP_MAX_DEVICES) {
    return cudaErrorInvalidValue;
  }
  if (count == 0) {
    return cudaSuccess;
  }
  Arrays a = {};
  a.n = (uint32_t)n;
  bool wide = sp_is_aligned(to);
  for (size_t d = 0; d < n; d++) {
    a.from[d] = from[d];
    wide = wide && sp_is_aligned(from[d]);
  }
  return SP_LAUNCH(wide ? ordered_sum<4> : ordered_sum<1>,
                   sp_blocks(count, kThreads * (wide ? 4 : 1)), kThreads, 0, stream, a, count, to);
}
