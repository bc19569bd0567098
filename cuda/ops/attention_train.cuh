/* attention_train.cuh - what the kernels of training's attention, forward and backward, share: their
 * arguments, the soft mask, and tiles of rows in shared memory. */
#ifndef SP_CUDA_ATTENTION_TRAIN_CUH
#define SP_CUDA_ATTENTION_TRAIN_CUH

#include "attention_tile.cuh"
#include "train_ops.h"
#include "wide.cuh"

enum : uint32_t {
  SP_TRAIN_TILE = SP_ATTENTION_KEYS, /* rows of a tile of queries or keys */
  SP_TRAIN_WARPS = 4,                /* of a block: 16 rows of its tile each */
  SP_TRAIN_THREADS = 32 * SP_TRAIN_WARPS
};

/* The contract's arguments as kernels take them; T is act. */
template <typename T>
struct sp_train_attention_launch {
  const T *q, *k, *v;
  T *out;
  float *lse;
  const uint32_t *row_start, *key_start, *row_position;
  const uint64_t *mask, *mask_start;
  const float *bias;
  uint32_t q_stride, kv_stride, heads, head_dim, reach;
  uint32_t width; /* elements of a load or store: 8, 2 or 1 */
  float scale;    /* 1 / sqrt(head_dim) */
};

constexpr float SP_LOG2_E = 1.4426950408889634f, SP_LN_2 = 0.6931471805599453f;

/* What is added to the logit that row `row`, of position p, has for key `key` of its sequence: the log
 * of the soft mask in the `reach` keys after p. */
template <typename Launch>
SP_DEVICE float sp_soft_mask(const Launch &a, size_t row, uint32_t p, uint32_t key) {
  const uint32_t ahead = key - p - 1;
  return ahead < a.reach ? a.bias[row * a.reach + ahead] : 0.0f;
}

/* `count` rows of a head from `from` on, `stride` apart, into rows of 16 kSteps elements: zeros behind
 * head_dim and, up to a multiple of 16, behind the last row.  Where kWide is set the caller commits
 * and waits. */
template <int kSteps, bool kWide>
SP_DEVICE void sp_load_tile(const sp_bf16 *from, size_t stride, uint32_t count, uint32_t head_dim,
                            uint32_t width, SharedPtr<sp_bf16> to) {
  constexpr uint32_t kPitch = sp_attention_pitch<kSteps>, kEach = kWide ? 8 : 2;
  constexpr uint32_t kPerRow = 16 * kSteps / kEach;
  const uint32_t places = (count + 15) / 16 * 16 * kPerRow;
  SP_UNROLL_BY(4)
  for (uint32_t i = threadIdx.x; i < places; i += SP_TRAIN_THREADS) {
    const uint32_t row = i / kPerRow, at = i % kPerRow * kEach;
    const bool inside = row < count && at < head_dim;
    const sp_bf16 *source = inside ? from + row * stride + at : from;
    SharedPtr<sp_bf16> place = to + (row * kPitch + at);
    if constexpr (kWide) {
      sp_cp_async16(place, source, inside);
    } else {
      uint32_t pair = 0;
      if (inside && width == 2) {
        pair = sp_load4(source);
      } else if (inside) {
        pair = source[0].bits | (at + 1 < head_dim ? (uint32_t)source[1].bits << 16 : 0);
      }
      sp_store4(place, pair);
    }
  }
}

/* ---- for launchers ---- */

/* Elements of a load: what rows of every head keep aligned that begin at `places`. */
static inline uint32_t sp_train_width(size_t steps, uintptr_t places) {
  for (uint32_t width : {8u, 2u}) {
    if (places % (2 * width) == 0 && steps % width == 0) {
      return width;
    }
  }
  return 1;
}

template <typename T>
static inline sp_train_attention_launch<T> sp_make_train_attention(
    const sp_train_attention_args &args) {
  sp_train_attention_launch<T> a = {};
  a.q = static_cast<const T *>(args.q);
  a.k = static_cast<const T *>(args.k);
  a.v = static_cast<const T *>(args.v);
  a.out = static_cast<T *>(args.out);
  a.lse = args.lse;
  a.row_start = args.row_start;
  a.key_start = args.key_start;
  a.row_position = args.row_position;
  a.mask = args.mask;
  a.mask_start = args.mask_start;
  a.bias = args.reach > 0 ? args.bias : nullptr;
  a.q_stride = (uint32_t)args.q_stride;
  a.kv_stride = (uint32_t)args.kv_stride;
  a.heads = (uint32_t)args.heads;
  a.head_dim = (uint32_t)args.head_dim;
  a.reach = (uint32_t)args.reach;
  a.width = sp_train_width(
      args.head_dim | args.q_stride | args.kv_stride,
      reinterpret_cast<uintptr_t>(args.q) | reinterpret_cast<uintptr_t>(args.k) |
          reinterpret_cast<uintptr_t>(args.v) | reinterpret_cast<uintptr_t>(args.out));
  a.scale = (float)(1.0 / sqrt((double)args.head_dim));
  return a;
}

static inline bool sp_train_attention_in_limits(const sp_train_attention_args &args) {
  const size_t most = 0x7fffffff;
  return args.head_dim > 0 && args.head_dim <= SP_CUDA_MAX_HEAD_DIM && args.heads > 0 &&
         args.heads <= 65535 && args.sequences <= most && args.rows <= most && args.keys <= most &&
         args.q_stride <= most && args.kv_stride <= most && args.reach <= most;
}

/* A block for a sequence, a head and every z-th of its tiles of `per_tile` rows, `rows` in all: as
 * many as there are on average.  No bit depends on it. */
static inline dim3 sp_train_grid(const sp_train_attention_args &args, size_t rows,
                                 size_t per_tile) {
  const size_t mean = rows / args.sequences, tiles = (mean + per_tile - 1) / per_tile;
  const size_t z = tiles == 0 ? 1 : tiles < 64 ? tiles : 64;
  return dim3((unsigned)args.sequences, (unsigned)args.heads, (unsigned)z);
}

#endif
