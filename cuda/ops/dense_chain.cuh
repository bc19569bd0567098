/* dense_chain.cuh - dense layers one after the other on rows of a block, in shared memory.
 *
 * Maths     x <- activation(x W^T + bias), layer by layer
 * Layout    rows (R, D) f32; weights (K, N) f32.  A block takes kRows rows through all
 *           layers: their values stand in shared memory, (width, kRows) twice.  A thread makes one
 *           output of all kRows rows, so that a weight is read once a block and lies beside its
 *           neighbour's; layers of few outputs give a warp to an output of a row
 * Numerics  f32 throughout, fused multiply-adds over K in order, then the bias; few outputs: a lane
 *           sums every 32nd product and a butterfly joins the lanes.  Either way the bits of a row
 *           depend on that row alone, not on kRows
 * Bound     weights from L2: 4 D D bytes for kRows rows */
#ifndef SP_CUDA_DENSE_CHAIN_CUH
#define SP_CUDA_DENSE_CHAIN_CUH

#include "activate.cuh"
#include "ops.h"
#include "wide.cuh"

enum { SP_CHAIN_THREADS = 256, SP_CHAIN_FEW_OUTPUTS = 32, SP_CHAIN_SHARED_BYTES = 96 * 1024 };

struct sp_dense_chain {
  sp_cuda_dense layers[SP_CUDA_MAX_DENSE];
  unsigned count;
  size_t width; /* of the widest layer, the input included */
};

/* False: the layers do not follow each other, or a limit of ops.h is broken. */
static inline bool sp_make_chain(const sp_cuda_dense *layers, size_t n_layers, size_t outputs,
                                 sp_dense_chain *chain) {
  if (n_layers == 0 || n_layers > SP_CUDA_MAX_DENSE || layers[n_layers - 1].n != outputs) {
    return false;
  }
  *chain = {};
  chain->count = (unsigned)n_layers;
  chain->width = layers[0].k;
  for (size_t i = 0; i < n_layers; i++) {
    if (i > 0 && layers[i].k != layers[i - 1].n) {
      return false;
    }
    chain->width = layers[i].n > chain->width ? layers[i].n : chain->width;
    chain->layers[i] = layers[i];
  }
  return chain->width <= SP_CUDA_MAX_WIDTH;
}

/* Shared bytes of a block, and as many rows of it as they have room for: 8, 4, 2 or 1. */
static inline size_t sp_chain_bytes(const sp_dense_chain &chain, size_t rows) {
  return 2 * chain.width * rows * sizeof(float);
}
static inline size_t sp_chain_rows(const sp_dense_chain &chain) {
  size_t rows = 8;
  while (rows > 1 && sp_chain_bytes(chain, rows) > SP_CHAIN_SHARED_BYTES) {
    rows /= 2;
  }
  return rows;
}

/* The values of one element in kRows rows. */
template <int kRows>
SP_DEVICE void sp_chain_values(SharedPtr<float> x, float v[kRows]) {
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
SP_DEVICE void sp_chain_many_outputs(const sp_cuda_dense &layer, SharedPtr<float> in,
                                     SharedPtr<float> out) {
  for (size_t j = threadIdx.x; j < layer.n; j += SP_CHAIN_THREADS) {
    float sum[kRows];
    SP_UNROLL
    for (int r = 0; r < kRows; r++) {
      sum[r] = 0.0f;
    }
    SP_UNROLL_BY(8)
    for (size_t k = 0; k < layer.k; k++) {
      float x[kRows], w = layer.weight[k * layer.n + j];
      sp_chain_values<kRows>(in + k * kRows, x);
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
SP_DEVICE void sp_chain_few_outputs(const sp_cuda_dense &layer, SharedPtr<float> in,
                                    SharedPtr<float> out) {
  for (size_t at = (size_t)sp_warp(); at < layer.n * kRows; at += SP_CHAIN_THREADS / 32) {
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

/* Takes rows [first, first + kRows) of `rows`, zeros beyond n_rows, through the chain; gives the last
 * layer's outputs (N, kRows), for all threads to read.  Shared bytes from 0 on are its own. */
template <int kRows>
SP_DEVICE SharedPtr<float> sp_run_chain(const sp_dense_chain &chain, const float *rows,
                                        size_t first, size_t n_rows) {
  const size_t width = chain.width, d = chain.layers[0].k;
  SharedPtr<float> in = sp_shared<float>(0, width * kRows);
  SharedPtr<float> out = sp_shared<float>(width * kRows * sizeof(float), width * kRows);
  for (size_t i = threadIdx.x; i < d * kRows; i += SP_CHAIN_THREADS) {
    size_t r = i / d, k = i % d;
    in[k * kRows + r] = first + r < n_rows ? rows[(first + r) * d + k] : 0.0f;
  }
  sp_sync_threads();
  for (unsigned l = 0; l < chain.count; l++) {
    const sp_cuda_dense &layer = chain.layers[l];
    if (layer.n < SP_CHAIN_FEW_OUTPUTS) {
      sp_chain_few_outputs<kRows>(layer, in, out);
    } else {
      sp_chain_many_outputs<kRows>(layer, in, out);
    }
    sp_sync_threads();
    SharedPtr<float> other = in;
    in = out;
    out = other;
  }
  return in;
}

#endif
