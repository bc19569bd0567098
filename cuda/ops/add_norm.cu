/* add_norm.cu - y = norm(x + residual), row by row.            twin: host/backend/cpu/add_norm.c
 *
 * Maths     t = x + residual;  y = (t - mean(t)) / sqrt(var(t) + eps) gamma + beta
 * Layout    x, residual, res (R, D) f32, act (R, D) bf16 or f32; gamma, beta (D) f32; one warp a row,
 *           four to a block; res may be x or residual, and act may be res where it is f32
 * Numerics  f32 inside, two-pass variance (norm_row.cuh); a row's bits depend on that row alone
 * Bound     memory: a row's D elements of f32 read once and written once, and of act written; once
 *           more with a residual; gamma and beta from L1 */
#include "norm_row.cuh"

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

template <typename T, int kSteps>
__global__ void __launch_bounds__(SP_NORM_WARPS * 32)
    add_norm(sp_cuda_norm norm, const float *x, const float *residual, size_t rows, float *res,
             T *act) {
  size_t row = (size_t)blockIdx.x * SP_NORM_WARPS + (size_t)sp_warp();
  if (row < rows) {
    size_t at = row * norm.d;
    Rows source = {x + at, residual ? residual + at : nullptr};
    sp_norm_row<T, kSteps>(source, norm, sp_norm_out<T>{res + at, act + at});
  }
}

template <typename T>
cudaError_t launch(cudaStream_t stream, const sp_cuda_norm *norm, const void *x,
                   const void *residual, size_t rows, void *res, void *act) {
  int steps = sp_norm_steps<T>(norm->d);
  auto kernel = steps == 2   ? add_norm<T, 2>
                : steps == 4 ? add_norm<T, 4>
                : steps == 8 ? add_norm<T, 8>
                : steps == 0 ? add_norm<T, 0>
                             : add_norm<T, -1>;
  return SP_LAUNCH(kernel, sp_blocks(rows, SP_NORM_WARPS), SP_NORM_WARPS * 32, 0, stream, *norm,
                   static_cast<const float *>(x), static_cast<const float *>(residual), rows,
                   static_cast<float *>(res), static_cast<T *>(act));
}

}  // namespace

cudaError_t sp_cuda_add_norm(cudaStream_t stream, bool bf16, const sp_cuda_norm *norm,
                             const void *x, const void *residual, size_t rows, void *res,
                             void *act) {
  if (!sp_is_aligned(x) || !sp_is_aligned(residual) || !sp_is_aligned(res) || !sp_is_aligned(act)) {
    return cudaErrorInvalidValue;
  }
  if (rows == 0) {
    return cudaSuccess;
  }
  return bf16 ? launch<sp_bf16>(stream, norm, x, residual, rows, res, act)
              : launch<float>(stream, norm, x, residual, rows, res, act);
}
