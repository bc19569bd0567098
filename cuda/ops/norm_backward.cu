/* norm_backward.cu - the gradients of y = (s - mean) rstd gamma + beta.
 *                                                              twin: host/backend/cpu/train_norm.c
 *
 * Maths     x = (s - mean) rstd, g = d_y gamma;  d_s = rstd (g - mean(g) - x mean(g x));
 *           d_gamma += sum over rows of d_y x;  d_beta += sum over rows of d_y
 * Layout    sum, d_y (R, D), mean, rstd (R), all f32.  The columns go first (column_sum.cuh), then a
 *           warp a row, four to a block, which writes d_s in the place of d_y
 * Numerics  f32; a lane sums its elements in order, lanes are joined by a butterfly
 * Bound     memory: sum and d_y read twice (the rows' second pass is in L1), d_s written once */
#include "column_sum.cuh"
#include "norm_row.cuh"
#include "train_ops.h"

namespace {

struct Columns {
  const float *sum, *mean, *rstd, *d_y;
  size_t d;
  template <int kCount>
  SP_DEVICE_MEMBER void load(size_t row, size_t column, float v[2][kCount]) const {
    const float shift = mean[row], scale = rstd[row];
    float s[kCount];
    sp_load_some<kCount>(sum + row * d + column, s);
    sp_load_some<kCount>(d_y + row * d + column, v[1]);
    SP_UNROLL
    for (int j = 0; j < kCount; j++) {
      v[0][j] = v[1][j] * ((s[j] - shift) * scale);
    }
  }
};

/* x and g of kCount elements. */
template <int kCount>
SP_DEVICE void load_terms(const sp_train_norm_backward_args &a, size_t row, size_t i,
                          float x[kCount], float g[kCount]) {
  const float shift = a.mean[row], scale = a.rstd[row];
  float gamma[kCount];
  sp_load_some<kCount>(a.sum + row * a.d + i, x);
  sp_load_some<kCount>(a.d_y + row * a.d + i, g);
  sp_load_some<kCount>(a.gamma + i, gamma);
  SP_UNROLL
  for (int j = 0; j < kCount; j++) {
    x[j] = (x[j] - shift) * scale;
    g[j] *= gamma[j];
  }
}

template <int kCount>
__global__ void __launch_bounds__(SP_NORM_WARPS * 32)
    norm_backward(const sp_train_norm_backward_args a) {
  const size_t row = (size_t)blockIdx.x * SP_NORM_WARPS + (size_t)sp_warp();
  if (row >= a.rows) {
    return;
  }
  const size_t first = (size_t)sp_lane() * kCount;
  float x[kCount], g[kCount], plain = 0.0f, along = 0.0f;
  SP_UNROLL_BY(2)
  for (size_t i = first; i < a.d; i += 32 * kCount) {
    load_terms<kCount>(a, row, i, x, g);
    SP_UNROLL
    for (int j = 0; j < kCount; j++) {
      plain += g[j];
      along = fmaf(g[j], x[j], along);
    }
  }
  plain = sp_warp_sum(plain) / (float)a.d;
  along = sp_warp_sum(along) / (float)a.d;
  const float scale = a.rstd[row];
  SP_UNROLL_BY(2)
  for (size_t i = first; i < a.d; i += 32 * kCount) {
    load_terms<kCount>(a, row, i, x, g);
    SP_UNROLL
    for (int j = 0; j < kCount; j++) {
      g[j] = scale * ((g[j] - plain) - x[j] * along);
    }
    sp_store_some<kCount>(a.d_y + row * a.d + i, g);
  }
}

template <int kCount>
cudaError_t launch(cudaStream_t stream, const sp_train_norm_backward_args &a, float *parts) {
  const Columns columns = {a.sum, a.mean, a.rstd, a.d_y, a.d};
  const sp_column_targets<2> to = {{a.d_gamma, a.d_beta}};
  cudaError_t error = sp_column_sum<2, kCount>(stream, columns, a.rows, a.d, parts, to);
  if (error != cudaSuccess) {
    return error;
  }
  return SP_LAUNCH(norm_backward<kCount>, sp_blocks(a.rows, SP_NORM_WARPS), SP_NORM_WARPS * 32, 0,
                   stream, a);
}

}  // namespace

size_t sp_cuda_train_add_norm_backward_scratch_bytes(size_t rows, size_t d) {
  return sp_column_scratch_floats(rows, d, 2) * sizeof(float);
}

cudaError_t sp_cuda_train_add_norm_backward(cudaStream_t stream,
                                            const sp_train_norm_backward_args *args,
                                            void *scratch) {
  if (args->rows == 0 || args->d == 0) {
    return cudaSuccess;
  }
  const bool wide = sp_is_wide(args->d * sizeof(float)) && sp_is_aligned(args->sum) &&
                    sp_is_aligned(args->d_y) && sp_is_aligned(args->gamma);
  float *parts = static_cast<float *>(scratch);
  return wide ? launch<kWide<float>>(stream, *args, parts) : launch<1>(stream, *args, parts);
}
