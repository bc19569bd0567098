/* linear_epilogue.cu - values = activation(values + bias) in place, behind a product whose library
 * has no such epilogue: erf GELU above all.                     twin: host/backend/cpu/activate.c
 *
 * Maths     gelu_erf(x) = x Phi(x), by the normal tail: no cancellation (activate.cuh)
 * Layout    values (R, N) bf16 or f32, bias (N) f32 or NULL; a thread holds the bias of 16 bytes of
 *           columns and walks kRows rows; one column a thread where rows lose that alignment
 * Numerics  f32 between reading and writing.  In bf16 the product was rounded before: half a unit
 *           more than a fused epilogue would have
 * Bound     memory: one read and one write of the values; the erf form has some 25 operations an
 *           element, which is near the same time */
#include "activate.cuh"
#include "ops.h"
#include "wide.cuh"

namespace {

enum { kRows = 8, kMaxThreads = 256 };

template <typename T, int kCount, sp_activation kActivation>
__global__ void __launch_bounds__(kMaxThreads)
    bias_activate(const float *bias, T *values, size_t rows, size_t n) {
  size_t column = ((size_t)blockIdx.y * blockDim.x + threadIdx.x) * kCount;
  if (column >= n) {
    return;
  }
  float add[kCount];
  SP_UNROLL
  for (int j = 0; j < kCount; j++) {
    add[j] = bias ? bias[column + (size_t)j] : 0.0f;
  }
  size_t first = (size_t)blockIdx.x * kRows;
  size_t end = first + kRows < rows ? first + kRows : rows;
  SP_UNROLL_BY(4)
  for (size_t r = first; r < end; r++) {
    float v[kCount];
    sp_load_some<kCount>(values + r * n + column, v);
    SP_UNROLL
    for (int j = 0; j < kCount; j++) {
      v[j] = sp_activate<kActivation>(v[j] + add[j]);
    }
    sp_store_some<kCount>(values + r * n + column, v);
  }
}

/* Blocks of about kMaxThreads threads that cover the columns with little to spare. */
template <typename T, int kCount>
cudaError_t launch(cudaStream_t stream, const float *bias, sp_activation activation, T *values,
                   size_t rows, size_t n) {
  auto kernel = activation == SP_ACT_GELU_ERF    ? bias_activate<T, kCount, SP_ACT_GELU_ERF>
                : activation == SP_ACT_GELU_TANH ? bias_activate<T, kCount, SP_ACT_GELU_TANH>
                : activation == SP_ACT_RELU      ? bias_activate<T, kCount, SP_ACT_RELU>
                : activation == SP_ACT_TANH      ? bias_activate<T, kCount, SP_ACT_TANH>
                                                 : bias_activate<T, kCount, SP_ACT_NONE>;
  unsigned threads = sp_blocks(n, kCount);
  unsigned across = sp_blocks(threads, kMaxThreads);
  unsigned block = sp_blocks(sp_blocks(threads, across), 32) * 32;
  return SP_LAUNCH(kernel, dim3(sp_blocks(rows, kRows), across), block, 0, stream, bias, values,
                   rows, n);
}

template <typename T>
cudaError_t launch_any(cudaStream_t stream, const float *bias, sp_activation activation,
                       void *values, size_t rows, size_t n) {
  T *typed = static_cast<T *>(values);
  return sp_is_wide(n * sizeof(T)) ? launch<T, kWide<T>>(stream, bias, activation, typed, rows, n)
                                   : launch<T, 1>(stream, bias, activation, typed, rows, n);
}

}  // namespace

cudaError_t sp_cuda_bias_activate(cudaStream_t stream, bool bf16, const float *bias,
                                  enum sp_activation activation, void *values, size_t rows,
                                  size_t n) {
  if (!sp_is_aligned(values)) {
    return cudaErrorInvalidValue;
  }
  if (rows == 0 || n == 0 || (!bias && activation == SP_ACT_NONE)) {
    return cudaSuccess;
  }
  return bf16 ? launch_any<sp_bf16>(stream, bias, activation, values, rows, n)
              : launch_any<float>(stream, bias, activation, values, rows, n);
}
