/* adamw.cu - AdamW with bias correction (Loshchilov and Hutter 2019).  twin: host/backend/cpu/adamw.c
 *
 * Maths     see struct sp_train_adamw_args
 * Layout    param, m, v, grad (count) f32; a thread takes 4 elements, or one where a place is not
 *           aligned or the end is near
 * Numerics  f32, each operation rounded; an element's bits are its own
 * Bound     memory: 16 bytes read and 12 written an element (base: 110 M, 3 GB, 1 ms at 3 TB/s) */
#include "train_ops.h"
#include "wide.cuh"

namespace {

enum { kThreads = 256 };

template <int kCount>
SP_DEVICE void update(const sp_train_adamw_args &a, size_t i) {
  float p[kCount], m[kCount], v[kCount], g[kCount];
  sp_load_some<kCount>(a.param + i, p);
  sp_load_some<kCount>(a.m + i, m);
  sp_load_some<kCount>(a.v + i, v);
  sp_load_some<kCount>(a.grad + i, g);
  SP_UNROLL
  for (int j = 0; j < kCount; j++) {
    const float c = a.clip * g[j];
    m[j] = a.beta1 * m[j] + (1.0f - a.beta1) * c;
    v[j] = a.beta2 * v[j] + (1.0f - a.beta2) * (c * c);
    const float root = sqrtf(v[j] / a.correction2) + a.eps;
    p[j] -= a.rate * ((m[j] / a.correction1) / root + a.decay * p[j]);
  }
  sp_store_some<kCount>(a.param + i, p);
  sp_store_some<kCount>(a.m + i, m);
  sp_store_some<kCount>(a.v + i, v);
}

template <int kCount>
__global__ void __launch_bounds__(kThreads) adamw(const sp_train_adamw_args a) {
  const size_t i = ((size_t)blockIdx.x * kThreads + threadIdx.x) * kCount;
  if (i + kCount <= a.count) {
    update<kCount>(a, i);
  } else {
    for (size_t j = i; j < a.count; j++) {
      update<1>(a, j);
    }
  }
}

}  // namespace

cudaError_t sp_cuda_train_adamw(cudaStream_t stream, const sp_train_adamw_args *args) {
  if (args->count == 0) {
    return cudaSuccess;
  }
  const bool wide = sp_is_aligned(args->param) && sp_is_aligned(args->m) &&
                    sp_is_aligned(args->v) && sp_is_aligned(args->grad);
  return SP_LAUNCH(wide ? adamw<4> : adamw<1>, sp_blocks(args->count, kThreads * (wide ? 4 : 1)),
                   kThreads, 0, stream, *args);
}
