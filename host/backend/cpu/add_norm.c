/* add_norm.c - y = (t - mean(t)) / sqrt(var(t) + eps) gamma + beta, t = x + residual, row by row.
 *
 * Shapes    x, residual, res (R, D) f32; act (R, D) of the compute type; gamma, beta (D)
 * Parallel  one row after the other; a row is staged in the stream's scratch, so res may be x
 * Numerics  two-pass variance in f32, eps inside the root (norm_row.h)
 * Bound     memory: 8 or 12 bytes read and 6 or 8 written an element, once */
#include "kernels.h"
#include "norm_row.h"

/* t = x + residual into the padded scratch row, zeros behind it. */
SP_VEC_INLINE void stage_row(const float *x, const float *residual, size_t d, float *row) {
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

void SP_ISA_NAME(sp_cpu_add_norm)(struct sp_stream *stream, const struct sp_norm *norm,
                                  const float *x, const float *residual, size_t rows, float *res,
                                  void *act) {
  bool bf16 = stream->device->base.compute == SP_COMPUTE_BF16;
  for (size_t r = 0; r < rows; r++) {
    size_t at = r * norm->d;
    stage_row(x + at, residual ? residual + at : NULL, norm->d, stream->row);
    sp_norm_row(norm, stream->row, at, res, act, bf16);
  }
}
