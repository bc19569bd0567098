/* norm_row.h - layer normalisation of one row that already lies in f32 scratch.
 *
 * Numerics  two passes, f32: mean first, then the sum of squared differences.  Four partial sums,
 *           added in one fixed order. */
#ifndef SP_CPU_NORM_ROW_H
#define SP_CPU_NORM_ROW_H

#include <math.h>

#include "device.h"
#include "vec.h"

/* x + residual, which may be NULL, into the padded scratch row, zeros behind it. */
SP_VEC_INLINE void sp_norm_stage(const float *x, const float *residual, size_t d, float *row) {
  size_t i = 0;
  for (; i + SP_LANES <= d; i += SP_LANES) {
    vf t = vf_load(x + i);
    vf_store(row + i, residual ? t + vf_load(residual + i) : t);
  }
  if (i < d) {
    vf t = vf_load_part(x + i, d - i);
    vf_store(row + i, residual ? t + vf_load_part(residual + i, d - i) : t);
  }
}

/* `row` is padded with zeros to SP_CPU_PAD; gamma and beta as well. */
SP_VEC_INLINE float sp_norm_mean(const float *row, size_t d) {
  vf sum[4] = {{0}, {0}, {0}, {0}};
  size_t step = 0;
  for (size_t i = 0; i < d; i += SP_LANES, step++) {
    sum[step & 3] += vf_load(row + i);
  }
  return vf_sum((sum[0] + sum[1]) + (sum[2] + sum[3])) / (float)d;
}

SP_VEC_INLINE float sp_norm_variance(const float *row, size_t d, float mean) {
  vf sum[4] = {{0}, {0}, {0}, {0}};
  vf center = vf_splat(mean);
  size_t step = 0;
  size_t i = 0;
  for (; i + SP_LANES <= d; i += SP_LANES, step++) {
    vf x = vf_load(row + i) - center;
    sum[step & 3] = vf_fma(x, x, sum[step & 3]);
  }
  if (i < d) {
    vi inside = vi_lane_numbers() < (int32_t)(d - i);
    vf x = vf_select(inside, vf_load(row + i) - center, (vf){0});
    sum[step & 3] = vf_fma(x, x, sum[step & 3]);
  }
  return vf_sum((sum[0] + sum[1]) + (sum[2] + sum[3])) / (float)d;
}

/* Writes the row's result to res and act, both at element `at`. */
SP_VEC_INLINE void sp_norm_row(const struct sp_norm *norm, const float *row, size_t at, float *res,
                               void *act, bool bf16) {
  float mean = sp_norm_mean(row, norm->d);
  vf center = vf_splat(mean);
  vf scale = vf_splat(1.0f / sqrtf(sp_norm_variance(row, norm->d, mean) + norm->eps));
  for (size_t i = 0; i < norm->d; i += SP_LANES) {
    size_t n = norm->d - i < SP_LANES ? norm->d - i : SP_LANES;
    vf x = (vf_load(row + i) - center) * scale;
    vf y = vf_fma(x, vf_load(norm->gamma + i), vf_load(norm->beta + i));
    vf_store_act(res, at + i, false, n, y);
    vf_store_act(act, at + i, bf16, n, y);
  }
}

#endif
