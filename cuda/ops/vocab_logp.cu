/* vocab_logp.cu - log-probability of targets under a softmax over the vocabulary.
 *                                                            twin: host/backend/cpu/vocab_logp.c
 *
 * Maths     logits = h W^T + bias;  logp[t] = logit(row[t], id[t]) - log sum_v e^logit(row[t], v)
 * Shapes    h (R, D), W (V, D) act, row-major; bias (V) f32; any R, D and V
 * Parallel  bf16: a block takes 128 rows and 128 columns, its 4 warps 64 by 64 each; h and W come
 *           in steps of 64 through a ring of three (asynchronous copies of 16 bytes; element by
 *           element where D is no multiple of 8).  The tile never leaves the registers: a warp
 *           leaves the maximum and the sum of its 64 columns of every row in a slot of its own, and
 *           a block that finds targets of its rows among its columns writes their logits to logp.
 *           A second kernel joins a row's slots and subtracts.  Row blocks go first, so that blocks
 *           that run together read few columns of W and all of h from the second-level cache.
 *           f32: 64 by 64 tiles of 4 by 4 a thread; the rest is the same
 * Layout    slots (ceil(V / 128) * 2, rows rounded up to 128) of maximum and sum; shared rows of 64
 *           elements, and 8 of distance, so that ldmatrix meets no bank twice
 * Numerics  products summed along D in order in fp32, bias added in fp32; a slot's sum in fp32
 *           relative to the slot's maximum; slots joined in fp64 relative to the row's maximum, in
 *           eight parts of fixed extent, then in order.  Target and sum see the same logit
 * Bound     arithmetic, 2 R V D: base 47 MFLOP a row.  mma.sync reaches some 60 % of the peak that
 *           an H100 has for wgmma; 110 KiB a block, two blocks a multiprocessor (one on sm_80), so
 *           that one block's exponentials hide behind the other's products.  Unconfirmed: no GPU
 *           has run it yet */
#include "ops.h"
#include "simt.cuh"

namespace {

enum : uint32_t {
  ROWS = 128, /* of a block's tile */
  COLUMNS = 128,
  SLOT = 64, /* columns of a partial sum */
  WARPS = 4,
  THREADS = 32 * WARPS,
  DEPTH = 64, /* of one step along D */
  STAGES = 3,
  PITCH = DEPTH + 8,
  STAGE = (ROWS + COLUMNS) * PITCH,
  TILE_PITCH = COLUMNS + 4,
  NOTES = 16, /* words that warps leave each other */

  F32_TILE = 64, /* rows, and a slot of columns */
  F32_THREADS = 256,
  F32_DEPTH = 16,
  F32_PITCH = F32_DEPTH + 1,
  F32_TILE_PITCH = SLOT + 1,
  F32_SHARED = 2 * F32_TILE * F32_PITCH + F32_TILE * F32_TILE_PITCH,

  JOIN_ROWS = 32,
  JOIN_WARPS = 8,
  JOIN_TOPS_AT = JOIN_WARPS * JOIN_ROWS * 8, /* bytes */
  JOIN_NOTES_AT = JOIN_TOPS_AT + JOIN_WARPS * JOIN_ROWS * 4
};

struct Launch {
  const void *h, *weight; /* (R, D), (V, D) act */
  const float *bias;      /* (V) */
  uint32_t rows, v, d;    /* rows: of this launch */
  uint32_t row0;          /* of the launch among target_row's */
  uint32_t partial_rows;  /* rows of a slot */
  uint32_t slots;         /* two a 128 columns */
  float2 *partials;       /* (slots, partial_rows) maximum and sum */
  const uint32_t *target_row;
  const int32_t *target_id;
  uint32_t targets;
  float *logp;
};

SP_DEVICE uint32_t least(uint32_t a, uint32_t b) {
  return a < b ? a : b;
}

/* The first target of row `row` or a later one, by one warp: 32 places are looked at at once. */
SP_DEVICE uint32_t first_target(const Launch &a, uint32_t row) {
  uint32_t low = 0, count = a.targets;
  while (count > 0) {
    const uint32_t step = (count + 31) / 32, at = (uint32_t)sp_lane() * step;
    const uint32_t before = sp_ballot(at < count && a.target_row[low + at] < row);
    if (before == 0) {
      break;
    }
    uint32_t last = 31; /* the last place that lies before */
    while (!(before >> last & 1)) {
      last--;
    }
    low += last * step + 1;
    count = least(step, count - last * step) - 1;
  }
  return low;
}

/* Warps 0 and 1 note where the targets of rows [row, row + rows) begin and end. */
SP_DEVICE void note_targets(const Launch &a, uint32_t row, uint32_t rows,
                            SharedPtr<uint32_t> notes) {
  const uint32_t warp = (uint32_t)sp_warp();
  if (warp < 2) {
    const uint32_t at = first_target(a, row + warp * rows);
    if (sp_lane() == 0) {
      notes[warp] = at;
    }
  }
}

/* True for all threads of a block where a target of its rows is among columns [v0, v0 + columns).
 * It has a barrier within, behind all that the block did before. */
SP_DEVICE bool has_targets(const Launch &a, uint32_t v0, uint32_t columns,
                           SharedPtr<uint32_t> notes) {
  bool mine = false;
  const uint32_t end = notes[1], warps = blockDim.x / 32;
  for (uint32_t t = notes[0] + threadIdx.x; t < end; t += blockDim.x) {
    mine |= (uint32_t)a.target_id[t] - v0 < columns;
  }
  const uint32_t lanes = sp_ballot(mine);
  if (sp_lane() == 0) {
    notes[2 + sp_warp()] = lanes;
  }
  sp_sync_threads();
  uint32_t any = 0;
  for (uint32_t w = 0; w < warps; w++) {
    any |= notes[2 + w];
  }
  return any != 0;
}

/* Logits of the targets among columns [v0, v0 + columns) from the block's tile, whose first row is
 * `row`. */
SP_DEVICE void pick_targets(const Launch &a, uint32_t row, uint32_t v0, uint32_t columns,
                            SharedPtr<float> tile, uint32_t pitch, SharedPtr<uint32_t> notes) {
  const uint32_t end = notes[1];
  for (uint32_t t = notes[0] + threadIdx.x; t < end; t += blockDim.x) {
    const uint32_t column = (uint32_t)a.target_id[t] - v0;
    if (column < columns) {
      a.logp[t] = tile[(a.target_row[t] - row) * pitch + column];
    }
  }
}

/* e^(x - top); of nothing but -inf, 0. */
SP_DEVICE float share_of(float x, float top) {
  return sp_exp2((x - (top == -INFINITY ? 0.0f : top)) * 1.44269504f);
}

/* ---- bf16 ---- */

/* A warp's 64 rows and 64 columns: tiles of 16 by 8 as sp_mma_bf16 has them. */
using Tile = float[4][8][4];

/* Elements [at, at + DEPTH) of the block's rows of h and W; zeros past their ends. */
template <bool kAligned>
SP_DEVICE void load_step(const Launch &a, uint32_t row, uint32_t v0, uint32_t at,
                         SharedPtr<sp_bf16> stage) {
  const uint32_t chunk = threadIdx.x % 8 * 8, first = threadIdx.x / 8;
  const sp_bf16 *h = static_cast<const sp_bf16 *>(a.h);
  const sp_bf16 *weight = static_cast<const sp_bf16 *>(a.weight);
  SP_UNROLL_BY(16)
  for (uint32_t i = 0; i < (ROWS + COLUMNS) / 16; i++) {
    const bool of_h = i < ROWS / 16;
    const uint32_t place = first + 16 * i, r = of_h ? row + place : v0 + place - ROWS;
    const bool inside = r < (of_h ? a.rows : a.v);
    const sp_bf16 *from = (of_h ? h : weight) + (size_t)r * a.d + at + chunk;
    SharedPtr<sp_bf16> to = stage + (place * PITCH + chunk);
    if (kAligned) {
      sp_cp_async16(to, from, inside && at + chunk < a.d);
    } else {
      for (uint32_t k = 0; k < 8; k++) {
        to[k] = inside && at + chunk + k < a.d ? from[k] : sp_bf16{0};
      }
    }
  }
}

SP_DEVICE void multiply_step(SharedPtr<sp_bf16> stage, Tile acc) {
  const uint32_t lane = (uint32_t)sp_lane(), warp = (uint32_t)sp_warp();
  SharedPtr<sp_bf16> h = stage + ((warp / 2 * 64 + lane % 16) * PITCH + lane / 16 * 8);
  SharedPtr<sp_bf16> weight =
      stage + ((ROWS + warp % 2 * 64 + lane / 16 * 8 + lane % 8) * PITCH + lane / 8 % 2 * 8);
  SP_UNROLL
  for (int k = 0; k < (int)DEPTH; k += 16) {
    uint32_t x[4][4], w[4][4];
    SP_UNROLL
    for (int i = 0; i < 4; i++) {
      sp_ldmatrix_x4(x[i], h + (i * 16 * (int)PITCH + k));
      sp_ldmatrix_x4(w[i], weight + (i * 16 * (int)PITCH + k));
    }
    SP_UNROLL
    for (int i = 0; i < 4; i++) {
      SP_UNROLL
      for (int j = 0; j < 8; j++) {
        sp_mma_bf16(acc[i][j], x[i], w[j / 2] + j % 2 * 2);
      }
    }
  }
}

/* Adds the bias; columns past the vocabulary become -inf. column: the lane's first. */
SP_DEVICE void add_bias(const Launch &a, uint32_t column, Tile acc) {
  SP_UNROLL
  for (int j = 0; j < 8; j++) {
    SP_UNROLL
    for (int side = 0; side < 2; side++) {
      const uint32_t v = column + (uint32_t)(j * 8 + side);
      const bool inside = v < a.v;
      const float bias = inside ? a.bias[v] : 0.0f;
      SP_UNROLL
      for (int i = 0; i < 4; i++) {
        acc[i][j][side] = inside ? acc[i][j][side] + bias : -INFINITY;
        acc[i][j][2 + side] = inside ? acc[i][j][2 + side] + bias : -INFINITY;
      }
    }
  }
}

/* Maximum and sum of the warp's columns, row by row; row: the lane's first in the slot. */
SP_DEVICE void leave_partials(const Launch &a, uint32_t slot, uint32_t row, Tile acc) {
  float2 *to = a.partials + (size_t)slot * a.partial_rows + row;
  SP_UNROLL
  for (int i = 0; i < 4; i++) {
    SP_UNROLL
    for (int half = 0; half < 2; half++) {
      float top = -INFINITY, sum = 0.0f;
      SP_UNROLL
      for (int j = 0; j < 8; j++) {
        top = fmaxf(top, fmaxf(acc[i][j][2 * half], acc[i][j][2 * half + 1]));
      }
      top = fmaxf(top, sp_shfl_xor(top, 1));
      top = fmaxf(top, sp_shfl_xor(top, 2));
      SP_UNROLL
      for (int j = 0; j < 8; j++) {
        sum += share_of(acc[i][j][2 * half], top) + share_of(acc[i][j][2 * half + 1], top);
      }
      sum += sp_shfl_xor(sum, 1);
      sum += sp_shfl_xor(sum, 2);
      if (sp_lane() % 4 == 0) {
        to[i * 16 + half * 8] = make_float2(top, sum);
      }
    }
  }
}

SP_DEVICE void store_tile(Tile acc, SharedPtr<float> tile) {
  const uint32_t lane = (uint32_t)sp_lane(), warp = (uint32_t)sp_warp();
  SharedPtr<float> to =
      tile + ((warp / 2 * 64 + lane / 4) * TILE_PITCH + warp % 2 * 64 + lane % 4 * 2);
  SP_UNROLL
  for (int i = 0; i < 4; i++) {
    SP_UNROLL
    for (int j = 0; j < 8; j++) {
      SP_UNROLL
      for (int half = 0; half < 2; half++) {
        const uint32_t at = (uint32_t)(i * 16 + half * 8) * TILE_PITCH + (uint32_t)j * 8;
        to[at] = acc[i][j][2 * half];
        to[at + 1] = acc[i][j][2 * half + 1];
      }
    }
  }
}

template <bool kAligned>
__global__ void __launch_bounds__(THREADS, 2) logits_bf16(const Launch a) {
  const uint32_t row = blockIdx.x * ROWS, v0 = blockIdx.y * COLUMNS;
  const uint32_t lane = (uint32_t)sp_lane(), warp = (uint32_t)sp_warp();
  const uint32_t steps = (a.d + DEPTH - 1) / DEPTH;
  SharedPtr<sp_bf16> ring = sp_shared<sp_bf16>(0, STAGES * STAGE);
  SharedPtr<uint32_t> notes = sp_shared<uint32_t>(STAGES * STAGE * sizeof(sp_bf16), NOTES);
  for (uint32_t step = 0; step < STAGES - 1; step++) {
    if (step < steps) {
      load_step<kAligned>(a, row, v0, step * DEPTH, ring + step * STAGE);
    }
    sp_cp_async_commit();
  }
  note_targets(a, a.row0 + row, ROWS, notes);
  Tile acc;
  SP_UNROLL
  for (int i = 0; i < 4 * 8 * 4; i++) {
    acc[i / 32][i / 4 % 8][i % 4] = 0.0f;
  }
  for (uint32_t step = 0; step < steps; step++) {
    sp_cp_async_wait<STAGES - 2>();
    sp_sync_threads(); /* this step is there; the last one's place is free */
    const uint32_t next = step + STAGES - 1;
    if (next < steps) {
      load_step<kAligned>(a, row, v0, next * DEPTH, ring + next % STAGES * STAGE);
    }
    sp_cp_async_commit();
    multiply_step(ring + step % STAGES * STAGE, acc);
  }
  add_bias(a, v0 + warp % 2 * 64 + lane % 4 * 2, acc);
  leave_partials(a, blockIdx.y * 2 + warp % 2, row + warp / 2 * 64 + lane / 4, acc);
  sp_cp_async_wait<0>();
  if (has_targets(a, v0, COLUMNS, notes)) {
    SharedPtr<float> tile = sp_shared_cast<float>(ring);
    store_tile(acc, tile);
    sp_sync_threads();
    pick_targets(a, a.row0 + row, v0, COLUMNS, tile, TILE_PITCH, notes);
  }
}

/* ---- f32 ---- */

/* Elements [at, at + F32_DEPTH) of 64 rows of `from`; zeros past its ends. */
SP_DEVICE void load_f32(const float *from, uint32_t row, uint32_t rows, uint32_t d, uint32_t at,
                        SharedPtr<float> to) {
  const uint32_t k = threadIdx.x % F32_DEPTH;
  for (uint32_t r = threadIdx.x / F32_DEPTH; r < F32_TILE; r += F32_THREADS / F32_DEPTH) {
    const bool inside = row + r < rows && at + k < d;
    to[r * F32_PITCH + k] = inside ? from[(size_t)(row + r) * d + at + k] : 0.0f;
  }
}

/* A thread's logits: rows y + 16 i, columns x + 16 j of the block's tile. */
SP_DEVICE void finish_f32(const Launch &a, uint32_t slot, uint32_t row, float acc[4][4],
                          SharedPtr<float> tile) {
  const uint32_t x = threadIdx.x % 16, y = threadIdx.x / 16;
  for (uint32_t i = 0; i < 4; i++) {
    float top = -INFINITY, sum = 0.0f;
    for (uint32_t j = 0; j < 4; j++) {
      const uint32_t v = slot * SLOT + x + 16 * j;
      acc[i][j] = v < a.v ? acc[i][j] + a.bias[v] : -INFINITY;
      top = fmaxf(top, acc[i][j]);
      tile[(y + 16 * i) * F32_TILE_PITCH + x + 16 * j] = acc[i][j];
    }
    for (int step = 8; step > 0; step /= 2) {
      top = fmaxf(top, sp_shfl_xor(top, step));
    }
    for (uint32_t j = 0; j < 4; j++) {
      sum += share_of(acc[i][j], top);
    }
    for (int step = 8; step > 0; step /= 2) {
      sum += sp_shfl_xor(sum, step);
    }
    if (x == 0) {
      a.partials[(size_t)slot * a.partial_rows + row + y + 16 * i] = make_float2(top, sum);
    }
  }
}

__global__ void __launch_bounds__(F32_THREADS) logits_f32(const Launch a) {
  const uint32_t row = blockIdx.x * F32_TILE, v0 = blockIdx.y * SLOT;
  const uint32_t x = threadIdx.x % 16, y = threadIdx.x / 16;
  SharedPtr<float> h = sp_shared<float>(0, F32_SHARED), weight = h + F32_TILE * F32_PITCH;
  SharedPtr<float> tile = weight + F32_TILE * F32_PITCH;
  SharedPtr<uint32_t> notes = sp_shared<uint32_t>(F32_SHARED * sizeof(float), NOTES);
  float acc[4][4] = {{0.0f}};
  note_targets(a, a.row0 + row, F32_TILE, notes);
  for (uint32_t at = 0; at < a.d; at += F32_DEPTH) {
    sp_sync_threads();
    load_f32(static_cast<const float *>(a.h), row, a.rows, a.d, at, h);
    load_f32(static_cast<const float *>(a.weight), v0, a.v, a.d, at, weight);
    sp_sync_threads();
    for (uint32_t k = 0; k < F32_DEPTH; k++) {
      for (uint32_t i = 0; i < 4; i++) {
        for (uint32_t j = 0; j < 4; j++) {
          acc[i][j] = fmaf(h[(y + 16 * i) * F32_PITCH + k], weight[(x + 16 * j) * F32_PITCH + k],
                           acc[i][j]);
        }
      }
    }
  }
  finish_f32(a, blockIdx.y, row, acc, tile);
  if (has_targets(a, v0, SLOT, notes)) {
    pick_targets(a, a.row0 + row, v0, SLOT, tile, F32_TILE_PITCH, notes);
  }
}

/* ---- the slots of 32 rows, a lane each ---- */

__global__ void __launch_bounds__(32 * JOIN_WARPS) join_slots(const Launch a) {
  const uint32_t lane = (uint32_t)sp_lane(), warp = (uint32_t)sp_warp();
  const uint32_t first_row = blockIdx.x * JOIN_ROWS;
  const uint32_t part = (a.slots + JOIN_WARPS - 1) / JOIN_WARPS;
  const uint32_t first = least(warp * part, a.slots), end = least(first + part, a.slots);
  const float2 *column = a.partials + first_row + lane;
  SharedPtr<double> sums = sp_shared<double>(0, JOIN_WARPS * JOIN_ROWS);
  SharedPtr<float> tops = sp_shared<float>(JOIN_TOPS_AT, JOIN_WARPS * JOIN_ROWS);
  SharedPtr<uint32_t> notes = sp_shared<uint32_t>(JOIN_NOTES_AT, NOTES);
  float top = -INFINITY;
  SP_UNROLL_BY(8)
  for (uint32_t s = first; s < end; s++) {
    top = fmaxf(top, column[(size_t)s * a.partial_rows].x);
  }
  tops[threadIdx.x] = top;
  note_targets(a, a.row0 + first_row, JOIN_ROWS, notes);
  sp_sync_threads();
  for (uint32_t w = 0; w < JOIN_WARPS; w++) {
    top = fmaxf(top, tops[w * JOIN_ROWS + lane]);
  }
  double sum = 0.0;
  SP_UNROLL_BY(8)
  for (uint32_t s = first; s < end; s++) {
    const float2 p = column[(size_t)s * a.partial_rows];
    sum += (double)p.y * (double)sp_exp(p.x - top);
  }
  sums[threadIdx.x] = sum;
  sp_sync_threads();
  if (warp == 0) {
    for (uint32_t w = 1; w < JOIN_WARPS; w++) {
      sum += sums[w * JOIN_ROWS + lane];
    }
    sums[lane] = (double)top + log(sum); /* only this lane has read it */
  }
  sp_sync_threads();
  const uint32_t last = notes[1];
  for (uint32_t t = notes[0] + threadIdx.x; t < last; t += 32 * JOIN_WARPS) {
    const uint32_t row = a.target_row[t] - a.row0 - first_row;
    a.logp[t] = (float)((double)a.logp[t] - sums[row]);
  }
}

/* ---- launches ---- */

size_t slots_of(size_t v) {
  return (v + COLUMNS - 1) / COLUMNS * (COLUMNS / SLOT);
}

cudaError_t launch_logits(cudaStream_t stream, bool bf16, const Launch &a) {
  if (!bf16) {
    return SP_LAUNCH(logits_f32, dim3(a.partial_rows / F32_TILE, a.slots), dim3(F32_THREADS),
                     F32_SHARED * sizeof(float) + NOTES * sizeof(uint32_t), stream, a);
  }
  const dim3 grid(a.partial_rows / ROWS, a.slots / 2);
  const size_t shared = STAGES * STAGE * sizeof(sp_bf16) + NOTES * sizeof(uint32_t);
  return a.d % 8 == 0 ? SP_LAUNCH(logits_bf16<true>, grid, dim3(THREADS), shared, stream, a)
                      : SP_LAUNCH(logits_bf16<false>, grid, dim3(THREADS), shared, stream, a);
}

/* Rows of one pass through the vocabulary. */
cudaError_t launch_pass(cudaStream_t stream, bool bf16, const Launch &a) {
  cudaError_t error = launch_logits(stream, bf16, a);
  if (error != cudaSuccess) {
    return error;
  }
  return SP_LAUNCH(join_slots, dim3((a.rows + JOIN_ROWS - 1) / JOIN_ROWS), dim3(32 * JOIN_WARPS),
                   JOIN_NOTES_AT + NOTES * sizeof(uint32_t), stream, a);
}

bool in_limits(const sp_cuda_vocab &vocab, size_t rows, size_t targets, size_t scratch_rows) {
  const size_t most = 0x7fffffff;
  return vocab.v > 0 && slots_of(vocab.v) <= 65535 && vocab.d > 0 && vocab.d <= most &&
         rows <= most && targets <= most && scratch_rows > 0 && scratch_rows % ROWS == 0;
}

}  // namespace

size_t sp_cuda_vocab_logp_scratch_bytes(size_t v, size_t scratch_rows) {
  return slots_of(v) * scratch_rows * sizeof(float2);
}

cudaError_t sp_cuda_vocab_logp(cudaStream_t stream, bool bf16, const sp_cuda_vocab *vocab,
                               const void *h, size_t rows, const uint32_t *target_row,
                               const int32_t *target_id, size_t targets, float *logp, void *scratch,
                               size_t scratch_rows) {
  if (!in_limits(*vocab, rows, targets, scratch_rows)) {
    return cudaErrorInvalidValue;
  }
  const size_t row_bytes = vocab->d * (bf16 ? sizeof(sp_bf16) : sizeof(float));
  for (size_t first = 0; first < rows && targets > 0; first += scratch_rows) {
    const size_t now = rows - first < scratch_rows ? rows - first : scratch_rows;
    Launch a = {};
    a.h = static_cast<const char *>(h) + first * row_bytes;
    a.weight = vocab->weight;
    a.bias = vocab->bias;
    a.rows = (uint32_t)now;
    a.v = (uint32_t)vocab->v;
    a.d = (uint32_t)vocab->d;
    a.row0 = (uint32_t)first;
    a.partial_rows = (uint32_t)((now + ROWS - 1) / ROWS * ROWS);
    a.slots = (uint32_t)slots_of(vocab->v);
    a.partials = static_cast<float2 *>(scratch);
    a.target_row = target_row;
    a.target_id = target_id;
    a.targets = (uint32_t)targets;
    a.logp = logp;
    cudaError_t error = launch_pass(stream, bf16, a);
    if (error != cudaSuccess) {
      return error;
    }
  }
  return cudaSuccess;
}
