/* norm_row.cuh - y = (t - mean(t)) / sqrt(var(t) + eps) gamma + beta of one row, by one warp.
 *
 * Layout    a lane takes kCount elements at a time, 32 kCount apart: 16 bytes of act where rows keep
 *           that alignment, else one.  Rows of up to kSteps such steps stay in registers; longer
 *           ones, and those read one by one, are read again for each pass
 * Numerics  two passes, f32: mean first, then the sum of squared differences.  A lane sums its
 *           elements in order, lanes are joined by a butterfly.  Which elements meet in which order
 *           depends on the width and the type alone */
#ifndef SP_CUDA_NORM_ROW_CUH
#define SP_CUDA_NORM_ROW_CUH

#include "ops.h"
#include "wide.cuh"

enum { SP_NORM_WARPS = 4 }; /* of a block: a row each */

/* gamma and beta of kCount elements from i on. */
template <int kCount>
SP_DEVICE void sp_norm_finish(const sp_cuda_norm &norm, size_t i, float mean, float scale,
                              float v[kCount]) {
  float gamma[kCount], beta[kCount];
  sp_load_some<kCount>(norm.gamma + i, gamma);
  sp_load_some<kCount>(norm.beta + i, beta);
  SP_UNROLL
  for (int j = 0; j < kCount; j++) {
    v[j] = fmaf((v[j] - mean) * scale, gamma[j], beta[j]);
  }
}

/* Where a row goes: what norm_row.cuh tells of it.  `take` gives the elements before the norm, `store`
 * those behind it; `statistics` comes before either, in every lane. */
template <typename T>
struct sp_norm_out {
  float *res;
  T *act; /* may be res where T is f32 */
  SP_DEVICE_MEMBER void statistics(float, float) const {}
  template <int kCount>
  SP_DEVICE_MEMBER void take(size_t, const float *) const {}
  template <int kCount>
  SP_DEVICE_MEMBER void store(size_t i, const float v[kCount]) const {
    sp_store_some<kCount>(res + i, v);
    if (static_cast<const void *>(act) != res) {
      sp_store_some<kCount>(act + i, v);
    }
  }
};

template <int kCount>
SP_DEVICE float sp_norm_sum(const float v[kCount], float sum) {
  SP_UNROLL
  for (int j = 0; j < kCount; j++) {
    sum += v[j];
  }
  return sum;
}

template <int kCount>
SP_DEVICE float sp_norm_squares(const float v[kCount], float mean, float sum) {
  SP_UNROLL
  for (int j = 0; j < kCount; j++) {
    float x = v[j] - mean;
    sum = fmaf(x, x, sum);
  }
  return sum;
}

SP_DEVICE float sp_norm_scale(const sp_cuda_norm &norm, float squares) {
  return 1.0f / sqrtf(sp_warp_sum(squares) / (float)norm.d + norm.eps);
}

/* `source.load<kCount>(i, v)` gives elements i .. i + kCount - 1 of the row.  Elements are written
 * by the lane that read them, after its last read: what `to` writes may be what the source reads. */
template <typename T, int kSteps, typename Source, typename Sink>
SP_DEVICE void sp_norm_row_kept(const Source &source, const sp_cuda_norm &norm, const Sink &to) {
  constexpr int kCount = kWide<T>;
  size_t first = (size_t)sp_lane() * kCount;
  float t[kSteps][kCount], sum = 0.0f, squares = 0.0f;
  SP_UNROLL
  for (int s = 0; s < kSteps; s++) {
    size_t i = first + (size_t)s * 32 * kCount;
    if (i < norm.d) {
      source.template load<kCount>(i, t[s]);
      sum = sp_norm_sum<kCount>(t[s], sum);
    }
  }
  float mean = sp_warp_sum(sum) / (float)norm.d;
  SP_UNROLL
  for (int s = 0; s < kSteps; s++) {
    if (first + (size_t)s * 32 * kCount < norm.d) {
      squares = sp_norm_squares<kCount>(t[s], mean, squares);
    }
  }
  float scale = sp_norm_scale(norm, squares);
  to.statistics(mean, scale);
  SP_UNROLL
  for (int s = 0; s < kSteps; s++) {
    size_t i = first + (size_t)s * 32 * kCount;
    if (i < norm.d) {
      to.template take<kCount>(i, t[s]);
      sp_norm_finish<kCount>(norm, i, mean, scale, t[s]);
      to.template store<kCount>(i, t[s]);
    }
  }
}

template <int kCount, typename Source, typename Sink>
SP_DEVICE void sp_norm_row_reread(const Source &source, const sp_cuda_norm &norm, const Sink &to) {
  size_t first = (size_t)sp_lane() * kCount;
  float t[kCount], sum = 0.0f, squares = 0.0f;
  for (size_t i = first; i < norm.d; i += 32 * kCount) {
    source.template load<kCount>(i, t);
    sum = sp_norm_sum<kCount>(t, sum);
  }
  float mean = sp_warp_sum(sum) / (float)norm.d;
  for (size_t i = first; i < norm.d; i += 32 * kCount) {
    source.template load<kCount>(i, t);
    squares = sp_norm_squares<kCount>(t, mean, squares);
  }
  float scale = sp_norm_scale(norm, squares);
  to.statistics(mean, scale);
  for (size_t i = first; i < norm.d; i += 32 * kCount) {
    source.template load<kCount>(i, t);
    to.template take<kCount>(i, t);
    sp_norm_finish<kCount>(norm, i, mean, scale, t);
    to.template store<kCount>(i, t);
  }
}

/* kSteps > 0: as many in registers; 0: wide and read again; -1: one by one. */
template <typename T, int kSteps, typename Source, typename Sink>
SP_DEVICE void sp_norm_row(const Source &source, const sp_cuda_norm &norm, const Sink &to) {
  if constexpr (kSteps > 0) {
    sp_norm_row_kept<T, kSteps>(source, norm, to);
  } else {
    sp_norm_row_reread<kSteps == 0 ? kWide<T> : 1>(source, norm, to);
  }
}

/* The kSteps of a width: 2, 4 and 8 hold 512, 1024 and 2048 bf16, half as many f32. */
template <typename T>
int sp_norm_steps(size_t d) {
  size_t step = 32 * (size_t)kWide<T>;
  return !sp_is_wide(d * sizeof(T)) ? -1
         : d <= 2 * step            ? 2
         : d <= 4 * step            ? 4
         : d <= 8 * step            ? 8
                                    : 0;
}

#endif
