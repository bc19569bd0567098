/* train_norm.cu - s = x + residual, y = norm(s), with what the way back reads.
 *                                                              twin: host/backend/cpu/train_norm.c
 *
 * Maths     y = (s - mean) rstd gamma + beta, rstd = 1 / sqrt(var(s) + eps)
 * Layout    x, residual, sum, res (R, D) f32, act (R, D) bf16 or f32; mean, rstd (R); one warp a row,
 *           four to a block; sum may be x, and act may be res where it is f32
 * Numerics  f32 inside, two-pass variance (norm_row.cuh), as add_norm.cu: y has the bits of inference
 * Bound     memory: a row's D elements of f32 read and written once, of the residual read and of res
 *           and act written where they are asked for */
#include "norm_row.cuh"
#include "train_ops.h"

namespace {

struct Rows {
  const float *x, *residual; /* residual may be NULL */
  template <int kCount>
  SP_DEVICE_MEMBER void load(size_t i, float v[kCount]) const {
    sp_load_some<kCount>(x + i, v);
    if (residual) {
      float r[kCount];
      sp_load_some<kCount>(residual + i, r);
      SP_UNROLL
      for (int j = 0; j < kCount; j++) {
        v[j] += r[j];
      }
    }
  }
};

/* A row's places; res and act may be NULL. */
template <typename T>
struct Kept {
  float *sum, *mean, *rstd, *res;
  T *act;
  SP_DEVICE_MEMBER void statistics(float row_mean, float row_rstd) const {
    if (sp_lane() == 0) {
      *mean = row_mean;
      *rstd = row_rstd;
    }
  }
  template <int kCount>
  SP_DEVICE_MEMBER void take(size_t i, const float v[kCount]) const {
    sp_store_some<kCount>(sum + i, v);
  }
  template <int kCount>
  SP_DEVICE_MEMBER void store(size_t i, const float v[kCount]) const {
    if (res) {
      sp_store_some<kCount>(res + i, v);
    }
    if (act && static_cast<const void *>(act) != res) {
      sp_store_some<kCount>(act + i, v);
    }
  }
};

template <typename T, int kSteps>
__global__ void __launch_bounds__(SP_NORM_WARPS * 32) train_norm(const sp_train_norm_args a) {
  const size_t row = (size_t)blockIdx.x * SP_NORM_WARPS + (size_t)sp_warp();
  if (row >= a.rows) {
    return;
  }
  const size_t at = row * a.d;
  const Rows source = {a.x + at, a.residual ? a.residual + at : nullptr};
  T *act = static_cast<T *>(a.act);
  const Kept<T> to = {a.sum + at, a.mean + row, a.rstd + row, a.res ? a.res + at : nullptr,
                      act ? act + at : nullptr};
  sp_norm_row<T, kSteps>(source, sp_cuda_norm{a.gamma, a.beta, a.d, a.eps}, to);
}

template <typename T>
cudaError_t launch(cudaStream_t stream, const sp_train_norm_args &a) {
  const bool aligned = sp_is_aligned(a.x) && sp_is_aligned(a.residual) && sp_is_aligned(a.sum) &&
                       sp_is_aligned(a.res) && sp_is_aligned(a.act) && sp_is_aligned(a.gamma) &&
                       sp_is_aligned(a.beta);
  const int steps = aligned ? sp_norm_steps<T>(a.d) : -1;
  auto kernel = steps == 2   ? train_norm<T, 2>
                : steps == 4 ? train_norm<T, 4>
                : steps == 8 ? train_norm<T, 8>
                : steps == 0 ? train_norm<T, 0>
                             : train_norm<T, -1>;
  return SP_LAUNCH(kernel, sp_blocks(a.rows, SP_NORM_WARPS), SP_NORM_WARPS * 32, 0, stream, a);
}

}  // namespace

cudaError_t sp_cuda_train_add_norm(cudaStream_t stream, bool bf16, const sp_train_norm_args *args) {
  if (args->rows == 0 || args->d == 0) {
    return cudaSuccess;
  }
  return bf16 ? launch<sp_bf16>(stream, *args) : launch<float>(stream, *args);
}
