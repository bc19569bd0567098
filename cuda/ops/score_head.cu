/* score_head.cu - dense layers one after the other on every row, in one kernel; the last has one
 * output.                                                    twin: host/backend/cpu/score_head.c
 *
 * Maths     x <- activation(x W^T + bias), layer by layer; pooler, tanh, score
 * Layout    rows (R, D) f32; weights (K, N) f32.  A block takes kRows rows through all
 *           layers: their values stand in shared memory, (width, kRows) twice.  A thread makes one
 *           output of all kRows rows, so that a weight is read once a block and lies beside its
 *           neighbour's; layers of few outputs give a warp to an output of a row
 * Numerics  f32 throughout, fused multiply-adds over K in order, then the bias; few outputs: a lane
 *           sums every 32nd product and a butterfly joins the lanes.  Either way the bits of a row
 *           depend on that row alone, not on kRows
 * Bound     weights from L2: 4 D D bytes for kRows rows; small beside the encoder */
#include "activate.cuh"
#include "ops.h"
#include "wide.cuh"

namespace {

enum { kThreads = 256, kFewOutputs = 32, kSharedBytes = 96 * 1024 };

struct Chain {
  sp_cuda_dense layers[SP_CUDA_MAX_DENSE];
  unsigned count;
};

/* The values of one element in kRows rows. */
template <int kRows>
SP_DEVICE void load_rows(SharedPtr<float> x, float v[kRows]) {
  if constexpr (kRows % 4 == 0) {
    SP_UNROLL
    for (int r = 0; r < kRows; r += 4) {
      uint4 bits = sp_load16(x + r);
      v[r] = sp_float_of(bits.x);
      v[r + 1] = sp_float_of(bits.y);
      v[r + 2] = sp_float_of(bits.z);
      v[r + 3] = sp_float_of(bits.w);
    }
  } else {
    SP_UNROLL
    for (int r = 0; r < kRows; r++) {
      v[r] = x[r];
    }
  }
}

/* A thread an output, of all rows. */
template <int kRows>
SP_DEVICE void many_outputs(const sp_cuda_dense &layer, SharedPtr<float> in, SharedPtr<float> out) {
  for (size_t j = threadIdx.x; j < layer.n; j += kThreads) {
    float sum[kRows];
    SP_UNROLL
    for (int r = 0; r < kRows; r++) {
      sum[r] = 0.0f;
    }
    SP_UNROLL_BY(8)
    for (size_t k = 0; k < layer.k; k++) {
      float x[kRows], w = layer.weight[k * layer.n + j];
      load_rows<kRows>(in + k * kRows, x);
      SP_UNROLL
      for (int r = 0; r < kRows; r++) {
        sum[r] = fmaf(w, x[r], sum[r]);
      }
    }
    float bias = layer.bias[j];
    SP_UNROLL
    for (int r = 0; r < kRows; r++) {
      out[j * kRows + (size_t)r] = sum[r] + bias;
    }
    SP_UNROLL_BY(1) /* one copy of the activations' code is enough */
    for (int r = 0; r < kRows; r++) {
      out[j * kRows + (size_t)r] = sp_activate_any(layer.activation, out[j * kRows + (size_t)r]);
    }
  }
}

/* A warp an output of one row. */
template <int kRows>
SP_DEVICE void few_outputs(const sp_cuda_dense &layer, SharedPtr<float> in, SharedPtr<float> out) {
  for (size_t at = (size_t)sp_warp(); at < layer.n * kRows; at += kThreads / 32) {
    size_t j = at / kRows, r = at % kRows;
    float sum = 0.0f;
    for (size_t k = (size_t)sp_lane(); k < layer.k; k += 32) {
      sum = fmaf(layer.weight[k * layer.n + j], in[k * kRows + r], sum);
    }
    sum = sp_warp_sum(sum) + layer.bias[j];
    if (sp_lane() == 0) {
      out[at] = sp_activate_any(layer.activation, sum);
    }
  }
}

/* `width` is the widest layer's. */
template <int kRows>
__global__ void __launch_bounds__(kThreads)
    score_head(Chain chain, const float *rows, size_t n_rows, size_t width, float *score) {
  SharedPtr<float> in = sp_shared<float>(0, width * kRows);
  SharedPtr<float> out = sp_shared<float>(width * kRows * sizeof(float), width * kRows);
  size_t first = (size_t)blockIdx.x * kRows, d = chain.layers[0].k;
  for (size_t i = threadIdx.x; i < d * kRows; i += kThreads) {
    size_t r = i / d, k = i % d;
    in[k * kRows + r] = first + r < n_rows ? rows[(first + r) * d + k] : 0.0f;
  }
  sp_sync_threads();
  for (unsigned l = 0; l < chain.count; l++) {
    const sp_cuda_dense &layer = chain.layers[l];
    if (layer.n < kFewOutputs) {
      few_outputs<kRows>(layer, in, out);
    } else {
      many_outputs<kRows>(layer, in, out);
    }
    sp_sync_threads();
    SharedPtr<float> other = in;
    in = out;
    out = other;
  }
  if (threadIdx.x < kRows && first + threadIdx.x < n_rows) {
    score[first + threadIdx.x] = in[threadIdx.x];
  }
}

template <int kRows>
cudaError_t launch(cudaStream_t stream, const Chain &chain, const void *rows, size_t n_rows,
                   size_t width, float *score) {
  return SP_LAUNCH(score_head<kRows>, sp_blocks(n_rows, kRows), kThreads,
                   2 * width * kRows * sizeof(float), stream, chain,
                   static_cast<const float *>(rows), n_rows, width, score);
}

/* As many rows as shared memory has room for. */
cudaError_t launch_any(cudaStream_t stream, const Chain &chain, const void *rows, size_t n_rows,
                       size_t width, float *score) {
  size_t fit = kSharedBytes / (2 * width * sizeof(float));
  return fit >= 8   ? launch<8>(stream, chain, rows, n_rows, width, score)
         : fit >= 4 ? launch<4>(stream, chain, rows, n_rows, width, score)
         : fit >= 2 ? launch<2>(stream, chain, rows, n_rows, width, score)
                    : launch<1>(stream, chain, rows, n_rows, width, score);
}

}  // namespace

cudaError_t sp_cuda_score_head(cudaStream_t stream, const sp_cuda_dense *layers, size_t n_layers,
                               const void *rows_res, size_t rows, float *score) {
  Chain chain = {};
  if (n_layers == 0 || n_layers > SP_CUDA_MAX_DENSE || layers[n_layers - 1].n != 1) {
    return cudaErrorInvalidValue;
  }
  size_t width = layers[0].k;
  for (size_t i = 0; i < n_layers; i++) {
    if (i > 0 && layers[i].k != layers[i - 1].n) {
      return cudaErrorInvalidValue;
    }
    width = layers[i].n > width ? layers[i].n : width;
    chain.layers[i] = layers[i];
  }
  chain.count = (unsigned)n_layers;
  if (width > SP_CUDA_MAX_WIDTH) {
    return cudaErrorInvalidValue;
  }
  if (rows == 0) {
    return cudaSuccess;
  }
  return launch_any(stream, chain, rows_res, rows, width, score);
}
