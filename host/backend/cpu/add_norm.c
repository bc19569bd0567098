/* add_norm.c - y = (t - mean(t)) / sqrt(var(t) + eps) gamma + beta, t = x + residual, row by row.
 *
 * Shapes    x, residual, res (R, D) f32; act (R, D) of the compute type; gamma, beta (D)
 * Parallel  one row after the other; a row is staged in the stream's scratch, so res may be x
 * Numerics  two-pass variance in f32, eps inside the root (norm_row.h)
 * Bound     memory: 8 or 12 bytes read and 6 or 8 written an element, once */
#include "kernels.h"
#include "norm_row.h"

void SP_ISA_NAME(sp_cpu_add_norm)(struct sp_stream *stream, const struct sp_norm *norm,
                                  const float *x, const float *residual, size_t rows, float *res,
                                  void *act) {
  bool bf16 = stream->device->base.compute == SP_COMPUTE_BF16;
  for (size_t r = 0; r < rows; r++) {
    size_t at = r * norm->d;
    sp_norm_stage(x + at, residual ? residual + at : NULL, norm->d, stream->row);
    sp_norm_row(norm, stream->row, at, res, act, bf16);
  }
}
