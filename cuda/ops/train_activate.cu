/* train_activate.cu - out = activation(pre) with pre kept, and d_pre = d_out activation'(pre).
 *                                                             twin: host/backend/cpu/train_linear.c
 *
 * Maths     gelu_erf'(x) = Phi(x) + x phi(x), by the normal tail (activate.cuh)
 * Layout    pre, d_pre (R, N) act, out and d_out act or f32; a thread takes kCount elements of a row,
 *           16 bytes of act, or one where rows lose that alignment
 * Numerics  f32 between reading and writing.  pre is rounded to act before the activation reads it, so
 *           that the way back differentiates what was computed
 * Bound     memory: each array read or written once */
#include "activate.cuh"
#include "train_ops.h"
#include "wide.cuh"

namespace {

enum { kThreads = 256 };

/* kCount elements that are act, or f32 where act is not. */
template <int kCount, typename T>
SP_DEVICE void load_either(const void *from, bool f32, size_t i, float v[kCount]) {
  if (f32) {
    sp_load_some<kCount>(static_cast<const float *>(from) + i, v);
  } else {
    sp_load_some<kCount>(static_cast<const T *>(from) + i, v);
  }
}
template <int kCount, typename T>
SP_DEVICE void store_either(void *to, bool f32, size_t i, const float v[kCount]) {
  if (f32) {
    sp_store_some<kCount>(static_cast<float *>(to) + i, v);
  } else {
    sp_store_some<kCount>(static_cast<T *>(to) + i, v);
  }
}

struct Forward {
  const float *bias;
  void *pre, *out;
  bool out_f32;
  size_t count, n;
};

template <typename T, int kCount, sp_activation kActivation>
__global__ void __launch_bounds__(kThreads) activate(const Forward a) {
  const size_t i = ((size_t)blockIdx.x * kThreads + threadIdx.x) * kCount;
  if (i >= a.count) {
    return;
  }
  T *pre = static_cast<T *>(a.pre) + i;
  float v[kCount];
  sp_load_some<kCount>(pre, v);
  if (a.bias) {
    const size_t column = i % a.n;
    SP_UNROLL
    for (int j = 0; j < kCount; j++) {
      v[j] = sp_to_f32(sp_from_f32<T>(v[j] + a.bias[column + (size_t)j]));
    }
    sp_store_some<kCount>(pre, v);
  }
  SP_UNROLL
  for (int j = 0; j < kCount; j++) {
    v[j] = sp_activate<kActivation>(v[j]);
  }
  store_either<kCount, T>(a.out, a.out_f32, i, v);
}

struct Backward {
  const void *pre, *d_out;
  bool d_out_f32;
  size_t count;
  void *d_pre;
};

template <typename T, int kCount, sp_activation kActivation>
__global__ void __launch_bounds__(kThreads) activate_backward(const Backward a) {
  const size_t i = ((size_t)blockIdx.x * kThreads + threadIdx.x) * kCount;
  if (i >= a.count) {
    return;
  }
  float d[kCount], x[kCount];
  load_either<kCount, T>(a.d_out, a.d_out_f32, i, d);
  if constexpr (kActivation != SP_ACT_NONE) {
    sp_load_some<kCount>(static_cast<const T *>(a.pre) + i, x);
    SP_UNROLL
    for (int j = 0; j < kCount; j++) {
      d[j] *= sp_activate_slope<kActivation>(x[j]);
    }
  }
  sp_store_some<kCount>(static_cast<T *>(a.d_pre) + i, d);
}

template <typename T, int kCount>
cudaError_t launch_forward(cudaStream_t stream, sp_activation activation, const Forward &a) {
  auto kernel = activation == SP_ACT_GELU_ERF    ? activate<T, kCount, SP_ACT_GELU_ERF>
                : activation == SP_ACT_GELU_TANH ? activate<T, kCount, SP_ACT_GELU_TANH>
                : activation == SP_ACT_RELU      ? activate<T, kCount, SP_ACT_RELU>
                : activation == SP_ACT_TANH      ? activate<T, kCount, SP_ACT_TANH>
                                                 : activate<T, kCount, SP_ACT_NONE>;
  return SP_LAUNCH(kernel, sp_blocks(a.count, kThreads * kCount), kThreads, 0, stream, a);
}

template <typename T, int kCount>
cudaError_t launch_backward(cudaStream_t stream, sp_activation activation, const Backward &a) {
  auto kernel = activation == SP_ACT_GELU_ERF    ? activate_backward<T, kCount, SP_ACT_GELU_ERF>
                : activation == SP_ACT_GELU_TANH ? activate_backward<T, kCount, SP_ACT_GELU_TANH>
                : activation == SP_ACT_RELU      ? activate_backward<T, kCount, SP_ACT_RELU>
                : activation == SP_ACT_TANH      ? activate_backward<T, kCount, SP_ACT_TANH>
                                                 : activate_backward<T, kCount, SP_ACT_NONE>;
  return SP_LAUNCH(kernel, sp_blocks(a.count, kThreads * kCount), kThreads, 0, stream, a);
}

bool all_aligned(const void *a, const void *b, const void *c) {
  return sp_is_aligned(a) && sp_is_aligned(b) && sp_is_aligned(c);
}

}  // namespace

cudaError_t sp_cuda_train_activate(cudaStream_t stream, bool bf16, const float *bias,
                                   enum sp_activation activation, void *pre, size_t rows, size_t n,
                                   void *out, bool out_f32) {
  const Forward a = {bias, pre, out, out_f32, rows * n, n};
  if (a.count == 0) {
    return cudaSuccess;
  }
  const bool wide = sp_is_wide(n * (bf16 ? 2 : 4)) && all_aligned(pre, out, nullptr);
  if (bf16) {
    return wide ? launch_forward<sp_bf16, 8>(stream, activation, a)
                : launch_forward<sp_bf16, 1>(stream, activation, a);
  }
  return wide ? launch_forward<float, 4>(stream, activation, a)
              : launch_forward<float, 1>(stream, activation, a);
}

cudaError_t sp_cuda_train_activate_backward(cudaStream_t stream, bool bf16,
                                            enum sp_activation activation, const void *pre,
                                            const void *d_out, bool d_out_f32, size_t rows,
                                            size_t n, void *d_pre) {
  const Backward a = {pre, d_out, d_out_f32, rows * n, d_pre};
  if (a.count == 0) {
    return cudaSuccess;
  }
  if (activation != SP_ACT_NONE && pre == nullptr) {
    return cudaErrorInvalidValue;
  }
  const bool wide = sp_is_wide(a.count * (bf16 ? 2 : 4)) && all_aligned(pre, d_out, d_pre);
  if (bf16) {
    return wide ? launch_backward<sp_bf16, 8>(stream, activation, a)
                : launch_backward<sp_bf16, 1>(stream, activation, a);
  }
  return wide ? launch_backward<float, 4>(stream, activation, a)
              : launch_backward<float, 1>(stream, activation, a);
}
