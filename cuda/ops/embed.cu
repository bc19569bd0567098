/* embed.cu - norm(word[id] + position[p] + type), row by row.        twin: host/backend/cpu/embed.c
 *
 * Maths     t = word + (position + type);  y = (t - mean(t)) / sqrt(var(t) + eps) gamma + beta
 * Layout    words (V, D) and positions (P, D), with the type row added, f32; res (T, D) f32, act
 *           (T, D) bf16 or f32; one warp a row, four to a block
 * Numerics  f32 inside, two-pass variance (norm_row.cuh); a row's bits depend on that row alone
 * Bound     memory: D elements of f32 written, and D of act; positions and the words of masked
 *           copies, which repeat, come from L2 */
#include "norm_row.cuh"

namespace {

struct Sum {
  const float *word, *position;
  template <int kCount>
  SP_DEVICE_MEMBER void load(size_t i, float v[kCount]) const {
    float p[kCount];
    sp_load_some<kCount>(word + i, v);
    sp_load_some<kCount>(position + i, p);
    SP_UNROLL
    for (int j = 0; j < kCount; j++) {
      v[j] += p[j];
    }
  }
};

template <typename T, int kSteps>
__global__ void __launch_bounds__(SP_NORM_WARPS * 32)
    embed(sp_cuda_norm norm, const float *words, const float *positions, const int32_t *ids,
          const uint32_t *places, size_t rows, float *res, T *act) {
  size_t row = (size_t)blockIdx.x * SP_NORM_WARPS + (size_t)sp_warp();
  if (row < rows) {
    size_t at = row * norm.d;
    Sum source = {words + (size_t)ids[row] * norm.d, positions + (size_t)places[row] * norm.d};
    sp_norm_row<T, kSteps>(source, norm, sp_norm_out<T>{res + at, act + at});
  }
}

template <typename T>
cudaError_t launch(cudaStream_t stream, const sp_cuda_embedding *embedding,
                   const sp_cuda_norm *norm, const int32_t *ids, const uint32_t *positions,
                   size_t rows, void *res, void *act) {
  int steps = sp_norm_steps<T>(norm->d);
  auto kernel = steps == 2   ? embed<T, 2>
                : steps == 4 ? embed<T, 4>
                : steps == 8 ? embed<T, 8>
                : steps == 0 ? embed<T, 0>
                             : embed<T, -1>;
  return SP_LAUNCH(kernel, sp_blocks(rows, SP_NORM_WARPS), SP_NORM_WARPS * 32, 0, stream, *norm,
                   embedding->words, embedding->positions, ids, positions, rows,
                   static_cast<float *>(res), static_cast<T *>(act));
}

}  // namespace

cudaError_t sp_cuda_embed(cudaStream_t stream, bool bf16, const sp_cuda_embedding *embedding,
                          const sp_cuda_norm *norm, const int32_t *ids, const uint32_t *positions,
                          size_t rows, void *res, void *act) {
  if (embedding->d != norm->d || !sp_is_aligned(embedding->words) ||
      !sp_is_aligned(embedding->positions) || !sp_is_aligned(res) || !sp_is_aligned(act)) {
    return cudaErrorInvalidValue;
  }
  if (rows == 0) {
    return cudaSuccess;
  }
  return bf16 ? launch<sp_bf16>(stream, embedding, norm, ids, positions, rows, res, act)
              : launch<float>(stream, embedding, norm, ids, positions, rows, res, act);
}
