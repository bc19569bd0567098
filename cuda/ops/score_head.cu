/* score_head.cu - dense layers one after the other on every row, in one kernel; the last has one
 * output.                                                    twin: host/backend/cpu/score_head.c
 *
 * Maths     x <- activation(x W^T + bias), layer by layer; pooler, tanh, score
 * Layout    dense_chain.cuh; a block takes up to 8 rows
 * Numerics  f32 throughout, see there
 * Bound     weights from L2; small beside the encoder */
#include "dense_chain.cuh"

namespace {

template <int kRows>
__global__ void __launch_bounds__(SP_CHAIN_THREADS)
    score_head(sp_dense_chain chain, const float *rows, size_t n_rows, float *score) {
  const size_t first = (size_t)blockIdx.x * kRows;
  SharedPtr<float> out = sp_run_chain<kRows>(chain, rows, first, n_rows);
  if (threadIdx.x < kRows && first + threadIdx.x < n_rows) {
    score[first + threadIdx.x] = out[threadIdx.x];
  }
}

template <int kRows>
cudaError_t launch(cudaStream_t stream, const sp_dense_chain &chain, const void *rows,
                   size_t n_rows, float *score) {
  return SP_LAUNCH(score_head<kRows>, sp_blocks(n_rows, kRows), SP_CHAIN_THREADS,
                   sp_chain_bytes(chain, kRows), stream, chain, static_cast<const float *>(rows),
                   n_rows, score);
}

}  // namespace

cudaError_t sp_cuda_score_head(cudaStream_t stream, const sp_cuda_dense *layers, size_t n_layers,
                               const void *rows_res, size_t rows, float *score) {
  sp_dense_chain chain;
  if (!sp_make_chain(layers, n_layers, 1, &chain)) {
    return cudaErrorInvalidValue;
  }
  if (rows == 0) {
    return cudaSuccess;
  }
  switch (sp_chain_rows(chain)) {
    case 8:
      return launch<8>(stream, chain, rows_res, rows, score);
    case 4:
      return launch<4>(stream, chain, rows_res, rows, score);
    case 2:
      return launch<2>(stream, chain, rows_res, rows, score);
    default:
      return launch<1>(stream, chain, rows_res, rows, score);
  }
}
