/* attention_tile.cuh - one warp's 16 query rows of one head against key tiles in shared memory.
 *
 * attention.cu says what is computed and how; here is the arithmetic, which knows nothing of how
 * the rows came to lie together. */
#ifndef SP_CUDA_ATTENTION_TILE_CUH
#define SP_CUDA_ATTENTION_TILE_CUH

#include "simt.cuh"

enum : uint32_t {
  SP_ATTENTION_ROWS = 16, /* query rows of a tile */
  SP_ATTENTION_KEYS = 64  /* keys of a tile: a word of the mask */
};

/* The contract's arguments as kernels take them. */
struct sp_attention_launch {
  const sp_bf16 *q, *k, *v;
  sp_bf16 *out;
  const uint32_t *row_start, *q_row, *key_start, *key_len, *key_row, *key_split, *key_own;
  const uint64_t *mask, *mask_start;
  uint32_t q_stride, kv_stride, heads, head_dim;
  uint32_t block_heads; /* heads of a block */
  uint32_t width;       /* elements of a load or store: 8, 2 or 1 */
  float scale;          /* log2(e) / sqrt(head_dim) */
};

SP_DEVICE uint32_t sp_least(uint32_t a, uint32_t b) {
  return a < b ? a : b;
}

/* Rows of a matrix in the order of a sequence's slots: one after the other from `first` on, or where
 * `named` is not NULL named[j] below slot `split` and own[j - split] from there on. */
struct sp_slots {
  const uint32_t *named, *own;
  uint32_t first, split;
};

SP_DEVICE size_t sp_slot_row(const sp_slots &slots, uint32_t j) {
  return slots.named == nullptr ? (size_t)slots.first + j
         : j < slots.split      ? slots.named[j]
                                : slots.own[j - slots.split];
}

/* Either kernel's launch; row0: the first query row, key0: the sequence's key_start. */
template <typename Launch>
SP_DEVICE sp_slots sp_query_slots(const Launch &a, uint32_t row0) {
  return sp_slots{a.q_row == nullptr ? nullptr : a.q_row + row0, nullptr, row0, UINT32_MAX};
}
template <typename Launch>
SP_DEVICE sp_slots sp_key_slots(const Launch &a, uint32_t s, uint32_t key0) {
  if (a.key_row == nullptr) {
    return sp_slots{nullptr, nullptr, key0, 0};
  }
  return sp_slots{a.key_row + key0, a.key_row + a.key_own[s], 0, a.key_split[s]};
}

/* Elements between shared rows: with 8 more than a multiple of 16, eight rows meet 32 banks. */
template <int kSteps>
constexpr uint32_t sp_attention_pitch = 16 * kSteps + 8;

/* Division by a number known only at run time, for products i * by < 2^32. */
struct sp_divider {
  uint32_t by, magic;
};

SP_DEVICE sp_divider sp_divider_of(uint32_t by) {
  return sp_divider{by, 0xffffffffu / by + 1};
}

SP_DEVICE uint32_t sp_divide(uint32_t i, sp_divider d) {
  return d.by == 1 ? i : (uint32_t)(((uint64_t)i * d.magic) >> 32);
}

/* Pair of elements i of `count` from source(i) to place(i), by all `kThreads` threads of the block;
 * several loads are under way before the first is stored. */
template <int kThreads, typename Source, typename Place>
SP_DEVICE void sp_copy_pairs(uint32_t count, Source source, Place place) {
  constexpr uint32_t kHeld = 8;
  for (uint32_t first = threadIdx.x; first < count; first += kHeld * kThreads) {
    uint32_t held[kHeld];
    SP_UNROLL
    for (uint32_t u = 0; u < kHeld; u++) {
      const uint32_t i = sp_least(first + u * kThreads, count - 1);
      held[u] = sp_load4(source(i));
    }
    SP_UNROLL
    for (uint32_t u = 0; u < kHeld; u++) {
      const uint32_t i = first + u * kThreads;
      if (i < count) {
        sp_store4(place(i), held[u]);
      }
    }
  }
}

/* Bits of one key tile for the lane's two rows, l / 4 and l / 4 + 8, moved so that bits 8 n and
 * 8 n + 1 are the lane's two columns of score tile n, 2 (l % 4) and the next. */
struct sp_seen {
  uint32_t low[2], high[2]; /* score tiles 0 to 3, 4 to 7 */
};

/* Row `row` of sequence s against key tile `tile`; either kernel's launch. */
template <typename Launch>
SP_DEVICE uint64_t sp_seen_word(const Launch &a, uint32_t s, uint32_t row, uint32_t keys,
                                uint32_t tile) {
  const uint32_t left = keys - tile * SP_ATTENTION_KEYS;
  const uint64_t inside = left >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << left) - 1;
  if (a.mask == nullptr) {
    return inside;
  }
  const size_t words = (keys + 63) / 64;
  const size_t at = a.mask_start[s] + (row - a.row_start[s]) * words + tile;
  return left == 0 ? 0 : a.mask[at] & inside;
}

/* Query tile `rows_tile` of the `rows` rows that start at row0. */
template <typename Launch>
SP_DEVICE sp_seen sp_seen_words(const Launch &a, uint32_t s, uint32_t row0, uint32_t rows,
                                uint32_t rows_tile, uint32_t keys, uint32_t tile) {
  const uint32_t lane = (uint32_t)sp_lane();
  sp_seen seen;
  SP_UNROLL
  for (uint32_t half = 0; half < 2; half++) {
    const uint32_t row = rows_tile * SP_ATTENTION_ROWS + half * 8 + lane / 4;
    uint64_t word = row < rows ? sp_seen_word(a, s, row0 + row, keys, tile) : 0;
    seen.low[half] = (uint32_t)word >> lane % 4 * 2;
    seen.high[half] = (uint32_t)(word >> 32) >> lane % 4 * 2;
  }
  return seen;
}

/* The two rows' scores of score tile n, those that are not seen as -inf. */
SP_DEVICE void sp_hide(float score[4], const sp_seen &seen, int n) {
  SP_UNROLL
  for (int half = 0; half < 2; half++) {
    const uint32_t bits = (n < 4 ? seen.low[half] : seen.high[half]) >> n % 4 * 8;
    score[2 * half] = bits & 1 ? score[2 * half] : -INFINITY;
    score[2 * half + 1] = bits & 2 ? score[2 * half + 1] : -INFINITY;
  }
}

/* Fragments as sp_mma_bf16 has them: [0] and [1] of a score or output tile belong to the lane's
 * first row, [2] and [3] to its second. */
template <int kSteps>
struct sp_attention_tile {
  static constexpr uint32_t kPitch = sp_attention_pitch<kSteps>;

  SharedPtr<sp_bf16> q, zeros; /* the tile's first row; a row of zeros */
  uint32_t rows;               /* of the tile, at most 16 */
  float out[2 * kSteps][4];    /* sums of weights times values, relative to top */
  float top[2], sum[2];        /* the rows' maximum; the lane's part of their sum */

  __device__ __forceinline__ void begin(SharedPtr<sp_bf16> first, uint32_t left,
                                        SharedPtr<sp_bf16> zero_row) {
    q = first;
    rows = sp_least(left, SP_ATTENTION_ROWS);
    zeros = zero_row;
    top[0] = top[1] = -INFINITY;
    sum[0] = sum[1] = 0.0f;
    SP_UNROLL
    for (int n = 0; n < 2 * kSteps; n++) {
      SP_UNROLL
      for (int i = 0; i < 4; i++) {
        out[n][i] = 0.0f;
      }
    }
  }

  /* A row of a block of `count` rows, or zeros. */
  __device__ __forceinline__ SharedPtr<sp_bf16> row_of(SharedPtr<sp_bf16> block, uint32_t row,
                                                       uint32_t count) const {
    return row < count ? block + row * kPitch : zeros;
  }

  /* score = q k^T for the pairs of score tiles that have keys; steps outside, so that products that
   * follow each other are of different tiles. */
  __device__ __forceinline__ void score_keys(SharedPtr<sp_bf16> k, uint32_t keys,
                                             float score[8][4]) const {
    const uint32_t lane = (uint32_t)sp_lane();
    SharedPtr<sp_bf16> q_row = row_of(q, lane % 16, rows) + lane / 16 * 8;
    SharedPtr<sp_bf16> k_row[4];
    SP_UNROLL
    for (int pair = 0; pair < 4; pair++) {
      k_row[pair] = row_of(k, pair * 16 + lane / 16 * 8 + lane % 8, keys) + lane / 8 % 2 * 8;
      SP_UNROLL
      for (int i = 0; i < 4; i++) {
        score[2 * pair][i] = score[2 * pair + 1][i] = 0.0f;
      }
    }
    SP_UNROLL
    for (int step = 0; step < kSteps; step++) {
      uint32_t a[4];
      sp_ldmatrix_x4(a, q_row + step * 16);
      SP_UNROLL
      for (int pair = 0; pair < 4; pair++) {
        if (pair * 16u < keys) {
          uint32_t b[4];
          sp_ldmatrix_x4(b, k_row[pair] + step * 16);
          sp_mma_bf16(score[2 * pair], a, b);
          sp_mma_bf16(score[2 * pair + 1], a, b + 2);
        }
      }
    }
  }

  /* Hides what is not seen, moves the maximum and what was summed so far. */
  __device__ __forceinline__ void move_top(float score[8][4], uint32_t keys, const sp_seen &seen,
                                           float scale, bool first_tile) {
    float before[2] = {top[0], top[1]};
    SP_UNROLL
    for (int n = 0; n < 8; n++) {
      if (n / 2 * 16u < keys) {
        sp_hide(score[n], seen, n);
        top[0] = fmaxf(top[0], fmaxf(score[n][0], score[n][1]));
        top[1] = fmaxf(top[1], fmaxf(score[n][2], score[n][3]));
      }
    }
    SP_UNROLL
    for (int half = 0; half < 2; half++) {
      top[half] = fmaxf(top[half], sp_shfl_xor(top[half], 1));
      top[half] = fmaxf(top[half], sp_shfl_xor(top[half], 2));
    }
    if (first_tile) {
      return;
    }
    SP_UNROLL
    for (int half = 0; half < 2; half++) {
      float factor = sp_exp2((before[half] - center(half)) * scale);
      sum[half] *= factor;
      SP_UNROLL
      for (int n = 0; n < 2 * kSteps; n++) {
        out[n][2 * half] *= factor;
        out[n][2 * half + 1] *= factor;
      }
    }
  }

  __device__ __forceinline__ float center(int half) const { /* of a row that has seen nothing: 0 */
    return top[half] == -INFINITY ? 0.0f : top[half];
  }

  /* The weights of score tile n of a row, in bf16; summed as rounded, or where kExact as they were. */
  template <bool kExact>
  __device__ __forceinline__ uint32_t weigh(const float *score, int half, float scale,
                                            float scaled_center) {
    const float low = sp_exp2(fmaf(score[0], scale, -scaled_center));
    const float high = sp_exp2(fmaf(score[1], scale, -scaled_center));
    const uint32_t pair = sp_pack_bf16(low, high);
    sum[half] += kExact ? low + high : sp_bf16_low(pair) + sp_bf16_high(pair);
    return pair;
  }

  /* Keys of one tile, `keys` of them at k and v. */
  __device__ __forceinline__ void add_keys(SharedPtr<sp_bf16> k, SharedPtr<sp_bf16> v,
                                           uint32_t keys, const sp_seen &seen, float scale,
                                           bool first_tile) {
    add_keys_adjusted<false>(k, v, keys, seen, scale, first_tile, [](float[8][4]) {});
  }

  /* adjust(score) comes between the scores and what is made of them. */
  template <bool kExact, typename Adjust>
  __device__ __forceinline__ void add_keys_adjusted(SharedPtr<sp_bf16> k, SharedPtr<sp_bf16> v,
                                                    uint32_t keys, const sp_seen &seen, float scale,
                                                    bool first_tile, Adjust adjust) {
    const uint32_t lane = (uint32_t)sp_lane();
    float score[8][4];
    score_keys(k, keys, score);
    adjust(score);
    move_top(score, keys, seen, scale, first_tile);
    const float shift[2] = {center(0) * scale, center(1) * scale};
    SP_UNROLL
    for (int pair = 0; pair < 4; pair++) {
      if (pair * 16u < keys) {
        uint32_t a[4];
        SP_UNROLL
        for (int i = 0; i < 4; i++) { /* in the order of an a fragment */
          a[i] = weigh<kExact>(score[2 * pair + i / 2] + i % 2 * 2, i % 2, scale, shift[i % 2]);
        }
        SharedPtr<sp_bf16> v_row = row_of(v, pair * 16 + lane % 16, keys) + lane / 16 * 8;
        SP_UNROLL
        for (int step = 0; step < kSteps; step++) {
          uint32_t b[4];
          sp_ldmatrix_x4_trans(b, v_row + step * 16);
          sp_mma_bf16(out[2 * step], a, b);
          sp_mma_bf16(out[2 * step + 1], a, b + 2);
        }
      }
    }
  }

  /* Divides and writes the tile over its queries in shared memory, then as whole rows to row0. */
  template <bool kWide, typename Launch>
  __device__ __forceinline__ void store(const Launch &a, uint32_t row0, uint32_t head) {
    const uint32_t lane = (uint32_t)sp_lane();
    sp_sync_warp(); /* the queries are read */
    SP_UNROLL
    for (int half = 0; half < 2; half++) {
      float total = sum[half] + sp_shfl_xor(sum[half], 1);
      total += sp_shfl_xor(total, 2);
      const bool sees = !(total == 0.0f); /* NaN goes on */
      const float factor = sp_rcp(total);
      const uint32_t row = (uint32_t)half * 8 + lane / 4;
      if (row < rows) {
        SharedPtr<sp_bf16> to = q + (row * kPitch + lane % 4 * 2);
        SP_UNROLL
        for (int n = 0; n < 2 * kSteps; n++) {
          const float x = sees ? out[n][2 * half] * factor : 0.0f;
          const float y = sees ? out[n][2 * half + 1] * factor : 0.0f;
          sp_store4(to + n * 8, sp_pack_bf16(x, y));
        }
      }
    }
    sp_sync_warp();
    const uint32_t width = kWide ? 8 : a.width, per_row = a.head_dim / width;
    const sp_divider by_row = sp_divider_of(per_row);
    const size_t stride = (size_t)a.heads * a.head_dim;
    sp_bf16 *to = a.out + row0 * stride + head * a.head_dim;
    for (uint32_t i = lane; i < rows * per_row; i += 32) {
      const uint32_t row = sp_divide(i, by_row), at = (i - row * per_row) * width;
      SharedPtr<sp_bf16> from = q + (row * kPitch + at);
      sp_bf16 *place = to + row * stride + at;
      if constexpr (kWide) {
        sp_store16(place, sp_load16(from));
      } else if (width == 2) {
        sp_store4(place, sp_load4(from));
      } else {
        *place = from[0];
      }
    }
  }
};

#endif
