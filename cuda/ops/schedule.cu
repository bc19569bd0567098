/* schedule.cu - the lookahead scheduler of a layer: dense layers on f32 rows, their signs as bits,
 * and the mask of these rows, in one kernel.                   twin: host/backend/cpu/schedule.c
 *
 * Maths     g = the last layer's outputs; see struct sp_schedule_args and mask_word.cuh
 * Layout    rows (R, D) f32; weights (K, N) f32.  One layer, as most models have it: a block takes 32
 *           rows, four to a warp.  Lanes walk along the rows, which no one else reads; the weights of
 *           8 outputs stand in shared memory, 1024 columns at a time, each read once for four rows.
 *           More layers: dense_chain.cuh, up to 8 rows a block.  Either way a row's bits stay in
 *           shared memory, where its share of the block's threads makes words of them
 * Sequence  of a row: by halves of row_start, a thread a row, before the products
 * Numerics  f32 throughout.  A lane sums every 32nd product and the lanes are joined pair by pair, so
 *           that a logit may differ from the CPU's in its last bits, and a bit where a logit is that
 *           close to 0; a row's bits depend on that row alone.  Spans: in f32, m ascending, each
 *           factor 1 / (1 + e^(-tau g))
 * Bound     memory: 4 D bytes a row (base: 3 KiB, 1 us a thousand rows at 3 TB/s) against 14 MFLOP of
 *           the layer's products (some 25 us).  Unconfirmed: no GPU has run it yet */
#include "dense_chain.cuh"
#include "mask_word.cuh"

namespace {

enum : uint32_t {
  THREADS = SP_CHAIN_THREADS,
  WARPS = THREADS / 32,
  WARP_ROWS = 4,
  BLOCK_ROWS = WARPS * WARP_ROWS,
  OUTPUTS = 8, /* of one walk along the rows */
  COLUMNS = 1024,
  PITCH = COLUMNS + 4 /* a transposing store of 8 outputs by 4 columns meets 32 banks */
};

struct Launch {
  const float *rows;
  size_t n_rows;
  uint32_t reach;
  bool span;
  float tau;
  uint32_t *bits, *nan;
  bool masked;
  sp_mask_args mask; /* where masked */
};

/* Rows of a block that has room for `room`. */
SP_DEVICE size_t rows_of(const Launch &a, size_t first, size_t room) {
  return a.n_rows - first < room ? a.n_rows - first : room;
}

/* What a block keeps of each row. */
struct Kept {
  SharedPtr<uint32_t> bits, sequence;
};

SP_DEVICE Kept kept_at(size_t byte, size_t rows) {
  return Kept{sp_shared<uint32_t>(byte, rows), sp_shared<uint32_t>(byte + 4 * rows, rows)};
}

/* The last sequence that starts at or before `row`; those before it that start there are empty. */
SP_DEVICE uint32_t sequence_of(const sp_mask_args &mask, uint32_t row) {
  uint32_t low = 0, high = (uint32_t)mask.sequences;
  while (high - low > 1) {
    const uint32_t middle = low + (high - low) / 2;
    if (mask.row_start[middle] <= row) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

/* Rows [first, first + count) of a block. */
SP_DEVICE void find_sequences(const Launch &a, size_t first, size_t count, const Kept &kept) {
  if (a.masked && threadIdx.x < count) {
    kept.sequence[threadIdx.x] = sequence_of(a.mask, (uint32_t)(first + threadIdx.x));
  }
}

/* Bits of the row whose logits are `stride` apart. */
SP_DEVICE uint32_t bits_of(const Launch &a, SharedPtr<float> logits, size_t stride, bool *nan) {
  uint32_t bits = 0;
  float product = 1.0f;
  for (uint32_t r = 0; r < a.reach; r++) {
    const float g = logits[r * stride];
    *nan = *nan || !(g == g);
    if (a.span) {
      product *= 1.0f / (1.0f + sp_exp(-a.tau * g));
    }
    bits |= (uint32_t)(a.span ? product >= 0.5f : g >= 0.0f) << r;
  }
  return bits;
}

/* Every kLanes-th word of a row. */
template <int kLanes>
SP_DEVICE void write_words(const sp_mask_args &mask, size_t row, uint32_t s, uint32_t bits) {
  const size_t keys = mask.key_len[s], words = (keys + 63) / 64, len = mask.len[s];
  const size_t position = mask.row_position[row];
  uint64_t *out = mask.mask + (mask.mask_start[s] + (row - mask.row_start[s]) * words);
  for (size_t w = threadIdx.x % kLanes; w < words; w += kLanes) {
    out[w] = sp_mask_word(mask, position, len, keys, bits, w * 64);
  }
}

/* Bits and words of rows [first, first + count) from their logits (reach, kRows), which every thread
 * may read. */
template <int kRows>
SP_DEVICE void write_rows(const Launch &a, size_t first, size_t count, SharedPtr<float> logits,
                          const Kept &kept) {
  constexpr int kLanes = THREADS / kRows;
  if (threadIdx.x < count) {
    bool nan = false;
    const uint32_t bits = bits_of(a, logits + threadIdx.x, kRows, &nan);
    a.bits[first + threadIdx.x] = bits;
    kept.bits[threadIdx.x] = bits;
    if (nan) {
      *a.nan = 1;
    }
  }
  if (!a.masked) {
    return;
  }
  sp_sync_threads();
  const size_t r = threadIdx.x / kLanes;
  if (r < count) {
    write_words<kLanes>(a.mask, first + r, kept.sequence[r], kept.bits[r]);
  }
}

/* v[0] becomes the sum over the lanes of v[l], for lane l, given what lanes kStep or more apart have
 * in common: 31 exchanges from kStep 16 on. */
template <int kStep = 16>
SP_DEVICE void sum_own(float v[32]) {
  const bool upper = (sp_lane() & kStep) != 0;
  SP_UNROLL
  for (int i = 0; i < kStep; i++) {
    const float low = v[i], high = v[i + kStep];
    v[i] = (upper ? high : low) + sp_shfl_xor(upper ? low : high, kStep);
  }
  if constexpr (kStep > 1) {
    sum_own<kStep / 2>(v);
  }
}

/* Weights of OUTPUTS outputs from `output` on, zeros beyond the last, and `columns` columns. */
SP_DEVICE void load_weights(const sp_cuda_dense &layer, size_t output, size_t column,
                            uint32_t columns, SharedPtr<float> weight) {
  for (uint32_t i = threadIdx.x; i < columns * OUTPUTS; i += THREADS) {
    const uint32_t k = i / OUTPUTS, j = i % OUTPUTS;
    weight[j * PITCH + k] =
        output + j < layer.n ? layer.weight[(column + k) * layer.n + output + j] : 0.0f;
  }
}

/* Sums of the warp's rows and OUTPUTS outputs, which are (WARP_ROWS, OUTPUTS). */
SP_DEVICE void add_columns(const float *const row[WARP_ROWS], uint32_t columns,
                           SharedPtr<float> weight, float sum[32]) {
  SP_UNROLL_BY(4)
  for (uint32_t k = (uint32_t)sp_lane(); k < columns; k += 32) {
    float x[WARP_ROWS];
    SP_UNROLL
    for (uint32_t r = 0; r < WARP_ROWS; r++) {
      x[r] = row[r][k];
    }
    SP_UNROLL
    for (uint32_t j = 0; j < OUTPUTS; j++) {
      const float w = weight[j * PITCH + k];
      SP_UNROLL
      for (uint32_t r = 0; r < WARP_ROWS; r++) {
        sum[r * OUTPUTS + j] = fmaf(w, x[r], sum[r * OUTPUTS + j]);
      }
    }
  }
}

/* Logits (N, BLOCK_ROWS) of the block's rows from `first` on. */
SP_DEVICE void layer_logits(const Launch &a, const sp_cuda_dense &layer, size_t first,
                            SharedPtr<float> weight, SharedPtr<float> logits) {
  const uint32_t lane = (uint32_t)sp_lane(), row0 = (uint32_t)sp_warp() * WARP_ROWS;
  for (size_t output = 0; output < layer.n; output += OUTPUTS) {
    float sum[32] = {0.0f};
    for (size_t column = 0; column < layer.k; column += COLUMNS) {
      const size_t left = layer.k - column;
      const uint32_t columns = left < COLUMNS ? (uint32_t)left : COLUMNS;
      const float *row[WARP_ROWS];
      SP_UNROLL
      for (uint32_t r = 0; r < WARP_ROWS; r++) { /* the last again beyond it */
        const size_t at = first + row0 + r;
        row[r] = a.rows + ((at < a.n_rows ? at : a.n_rows - 1) * layer.k + column);
      }
      sp_sync_threads(); /* the last weights are read */
      load_weights(layer, output, column, columns, weight);
      sp_sync_threads();
      add_columns(row, columns, weight, sum);
    }
    sum_own(sum);
    const size_t j = output + lane % OUTPUTS;
    if (j < layer.n) {
      logits[j * BLOCK_ROWS + row0 + lane / OUTPUTS] =
          sp_activate_any(layer.activation, sum[0] + layer.bias[j]);
    }
  }
  sp_sync_threads();
}

__global__ void __launch_bounds__(THREADS) schedule_layer(Launch a, sp_cuda_dense layer) {
  constexpr size_t kWeight = OUTPUTS * PITCH, kLogits = SP_MAX_REACH * BLOCK_ROWS;
  SharedPtr<float> weight = sp_shared<float>(0, kWeight);
  SharedPtr<float> logits = sp_shared<float>(4 * kWeight, kLogits);
  const Kept kept = kept_at(4 * (kWeight + kLogits), BLOCK_ROWS);
  const size_t first = (size_t)blockIdx.x * BLOCK_ROWS;
  const size_t count = rows_of(a, first, BLOCK_ROWS);
  find_sequences(a, first, count, kept);
  layer_logits(a, layer, first, weight, logits);
  write_rows<BLOCK_ROWS>(a, first, count, logits, kept);
}

template <int kRows>
__global__ void __launch_bounds__(THREADS, 2) schedule_chain(Launch a, sp_dense_chain chain) {
  const Kept kept = kept_at(2 * chain.width * kRows * sizeof(float), kRows);
  const size_t first = (size_t)blockIdx.x * kRows;
  const size_t count = rows_of(a, first, kRows);
  find_sequences(a, first, count, kept);
  SharedPtr<float> logits = sp_run_chain<kRows>(chain, a.rows, first, a.n_rows);
  write_rows<kRows>(a, first, count, logits, kept);
}

template <int kRows>
cudaError_t launch_chain(cudaStream_t stream, const Launch &a, const sp_dense_chain &chain) {
  return SP_LAUNCH(schedule_chain<kRows>, sp_blocks(a.n_rows, kRows), THREADS,
                   sp_chain_bytes(chain, kRows) + 8 * kRows, stream, a, chain);
}

cudaError_t launch(cudaStream_t stream, const Launch &a, const sp_dense_chain &chain) {
  if (chain.count == 1) {
    const size_t shared = 4 * (OUTPUTS * PITCH + SP_MAX_REACH * BLOCK_ROWS + 2 * BLOCK_ROWS);
    return SP_LAUNCH(schedule_layer, sp_blocks(a.n_rows, BLOCK_ROWS), THREADS, shared, stream, a,
                     chain.layers[0]);
  }
  switch (sp_chain_rows(chain)) {
    case 8:
      return launch_chain<8>(stream, a, chain);
    case 4:
      return launch_chain<4>(stream, a, chain);
    case 2:
      return launch_chain<2>(stream, a, chain);
    default:
      return launch_chain<1>(stream, a, chain);
  }
}

}  // namespace

cudaError_t sp_cuda_schedule(cudaStream_t stream, const sp_cuda_dense *layers,
                             const sp_schedule_args *args) {
  sp_dense_chain chain;
  if (args->reach == 0 || args->reach > SP_MAX_REACH || args->rows > UINT32_MAX ||
      !sp_make_chain(layers, args->n_layers, args->reach, &chain) ||
      (args->mask && args->mask->policy != SP_MASK_DYNAMIC)) {
    return cudaErrorInvalidValue;
  }
  if (args->rows == 0) {
    return cudaSuccess;
  }
  Launch a = {};
  a.rows = static_cast<const float *>(args->rows_res);
  a.n_rows = args->rows;
  a.reach = (uint32_t)args->reach;
  a.span = args->span;
  a.tau = args->tau;
  a.bits = args->bits;
  a.nan = args->nan;
  a.masked = args->mask != nullptr;
  if (a.masked) {
    a.mask = *args->mask;
  }
  return launch(stream, a, chain);
}
