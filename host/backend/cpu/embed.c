/* embed.c - norm(word[id] + position[p] + type), row by row.
 *
 * Shapes    words (V, D), positions (P, D) with the type row added, f32; res (T, D) f32;
 *           act (T, D) of the compute type
 * Parallel  one row after the other
 * Numerics  word + (position + type), f32; then as add_norm
 * Bound     memory: reads of table rows at random places */
#include "kernels.h"
#include "norm_row.h"

void SP_ISA_NAME(sp_cpu_embed)(struct sp_stream *stream, const struct sp_embedding *embedding,
                               const struct sp_norm *norm, const int32_t *ids,
                               const uint32_t *positions, size_t rows, float *res, void *act) {
  bool bf16 = stream->device->base.compute == SP_COMPUTE_BF16;
  size_t d = embedding->d;
  for (size_t r = 0; r < rows; r++) {
    const float *word = embedding->words + (size_t)ids[r] * d;
    sp_norm_stage(word, embedding->positions + (size_t)positions[r] * d, d, stream->row);
    sp_norm_row(norm, stream->row, r * d, res, act, bf16);
  }
}
