/* train_embed.cu - x = words[id] + positions[position] + type, row by row.
 *                                                             twin: host/backend/cpu/train_embed.c
 *
 * Layout    words (V, D), positions (P, D), type (D), x (T, D), all f32; one warp a row, four to a block
 * Numerics  (word + position) + type in f32
 * Bound     memory: D elements of f32 of a word read and of x written a row; the rest from L2 */
#include "train_ops.h"
#include "wide.cuh"

namespace {

enum { kWarps = 4 };

template <int kCount>
__global__ void __launch_bounds__(kWarps * 32) train_embed(const sp_train_embed_args a) {
  const size_t row = (size_t)blockIdx.x * kWarps + (size_t)sp_warp();
  if (row >= a.rows) {
    return;
  }
  const float *word = a.words + (size_t)a.ids[row] * a.d;
  const float *position = a.positions + (size_t)a.position[row] * a.d;
  SP_UNROLL_BY(2)
  for (size_t i = (size_t)sp_lane() * kCount; i < a.d; i += 32 * kCount) {
    float v[kCount], p[kCount], t[kCount];
    sp_load_some<kCount>(word + i, v);
    sp_load_some<kCount>(position + i, p);
    sp_load_some<kCount>(a.type + i, t);
    SP_UNROLL
    for (int j = 0; j < kCount; j++) {
      v[j] = (v[j] + p[j]) + t[j];
    }
    sp_store_some<kCount>(a.x + row * a.d + i, v);
  }
}

}  // namespace

cudaError_t sp_cuda_train_embed(cudaStream_t stream, const sp_train_embed_args *args) {
  if (args->rows == 0 || args->d == 0) {
    return cudaSuccess;
  }
  const bool wide = sp_is_wide(args->d * sizeof(float)) && sp_is_aligned(args->words) &&
                    sp_is_aligned(args->positions) && sp_is_aligned(args->type) &&
                    sp_is_aligned(args->x);
  auto kernel = wide ? train_embed<kWide<float>> : train_embed<1>;
  return SP_LAUNCH(kernel, sp_blocks(args->rows, kWarps), kWarps * 32, 0, stream, *args);
}
