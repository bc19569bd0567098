/* attention_backward.cuh - the arguments of attention's way back, and one warp's 16 rows of it.
 *
 * Queries' and keys' gradients are one algorithm seen from two sides.  A side owns 16 rows of two
 * matrices x0, x1 and meets tiles of 64 rows of the other side's y0, y1:
 *     own queries:  x = (q, d_out), y = (k, v);  own keys:  x = (k, v), y = (q, d_out)
 * Either way  s = x0 y0^T,  d_p = x1 y1^T,  p = e^(s scale + b - lse),  d_s = p (d_p - delta),
 *     out0 = d_s y0 (d_q or d_k, before their scale)  and for keys  out1 = p y1 (d_v). */
#ifndef SP_CUDA_ATTENTION_BACKWARD_CUH
#define SP_CUDA_ATTENTION_BACKWARD_CUH

#include "attention_train.cuh"

/* T is act. */
template <typename T>
struct sp_attention_backward_launch {
  sp_train_attention_launch<T> forward;
  const T *d_out;
  T *d_q, *d_k, *d_v;
  uint32_t d_q_stride, d_kv_stride;
  uint32_t d_width;   /* elements of a store: 2 or 1 */
  uint32_t rows;      /* R */
  float *delta;       /* (R, H) sum of d_out out */
  float *head_d_bias; /* (H, R, reach); with bias */
};

/* A matrix of rows, a head's elements of which are read or written. */
template <typename T>
struct sp_side_matrix {
  T *data;
  size_t stride;
};

/* One side of sequence s: where its rows are and what lies there. */
template <typename T>
struct sp_side {
  uint32_t row0, rows;
  sp_side_matrix<const T> x0, x1;
};

template <typename T>
SP_DEVICE sp_side<T> sp_query_side(const sp_attention_backward_launch<T> &b, uint32_t s) {
  const sp_train_attention_launch<T> &a = b.forward;
  const uint32_t row0 = a.row_start[s];
  return sp_side<T>{
      row0, a.row_start[s + 1] - row0, {a.q, a.q_stride}, {b.d_out, (size_t)a.heads * a.head_dim}};
}
template <typename T>
SP_DEVICE sp_side<T> sp_key_side(const sp_attention_backward_launch<T> &b, uint32_t s) {
  const sp_train_attention_launch<T> &a = b.forward;
  const uint32_t row0 = a.key_start[s];
  return sp_side<T>{row0, a.key_start[s + 1] - row0, {a.k, a.kv_stride}, {a.v, a.kv_stride}};
}

/* lse of a row that sees nothing counts as 0: its scores are all -inf. */
SP_DEVICE float sp_finite_lse(float lse) {
  return lse == -INFINITY ? 0.0f : lse;
}

/* Where d_s of (row, key) goes, or NULL: only cells of the soft mask have a place. */
template <typename T>
SP_DEVICE float *sp_d_bias_place(const sp_attention_backward_launch<T> &b, uint32_t head,
                                 size_t row, uint32_t position, uint32_t key) {
  const uint32_t reach = b.forward.reach, ahead = key - position - 1;
  return ahead < reach ? b.head_d_bias + (((size_t)head * b.rows + row) * reach + ahead) : nullptr;
}

/* Cells of rows [row, row + rows) that no key has are 0.  The caller synchronizes. */
template <typename T>
SP_DEVICE void sp_clear_d_bias(const sp_attention_backward_launch<T> &b, uint32_t head, size_t row,
                               uint32_t rows) {
  const size_t reach = b.forward.reach;
  float *to = b.head_d_bias + ((size_t)head * b.rows + row) * reach;
  for (size_t i = threadIdx.x; i < rows * reach; i += blockDim.x) {
    to[i] = 0.0f;
  }
}

/* ---- tensor cores ---- */

/* What the warps know of 64 query rows and a tile of keys. */
struct sp_query_facts {
  SharedPtr<float> lse, delta;  /* lse: times log2(e) */
  SharedPtr<uint64_t> seen;     /* bits of the key tile */
  SharedPtr<uint32_t> position; /* with a soft mask */
};

/* Of one query row. */
struct sp_query_fact {
  float lse, delta;
  uint64_t seen;
  uint32_t position;
};

template <bool kSoft>
SP_DEVICE sp_query_fact sp_fact_of(const sp_query_facts &f, uint32_t query) {
  return sp_query_fact{f.lse[query], f.delta[query], f.seen[query],
                       kSoft ? (uint32_t)f.position[query] : 0};
}

/* A fragments of 16 rows in shared memory: in registers where there is room for them. */
template <int kSteps>
struct sp_own_rows {
  static constexpr bool kKept = kSteps <= 4;
  SharedPtr<sp_bf16> row;
  uint32_t kept[kKept ? kSteps : 1][4];

  SP_DEVICE_MEMBER void begin(SharedPtr<sp_bf16> first) {
    const uint32_t lane = (uint32_t)sp_lane();
    row = first + (lane % 16 * sp_attention_pitch<kSteps> + lane / 16 * 8);
    if constexpr (kKept) {
      SP_UNROLL
      for (int step = 0; step < kSteps; step++) {
        sp_ldmatrix_x4(kept[step], row + step * 16);
      }
    }
  }
  SP_DEVICE_MEMBER void get(int step, uint32_t a[4]) const {
    if constexpr (kKept) {
      SP_UNROLL
      for (int i = 0; i < 4; i++) {
        a[i] = kept[step][i];
      }
    } else {
      sp_ldmatrix_x4(a, row + step * 16);
    }
  }
};

/* Where 16 own rows and 64 of the other side meet. */
struct sp_meeting {
  uint32_t head, own, other; /* the first rows' places in the sequence */
  uint32_t others;           /* rows of the tile */
  uint32_t query0;           /* row of the sequence's first query */
};

template <int kSteps, bool kKeys, bool kSoft>
struct sp_backward_tile {
  static constexpr uint32_t kPitch = sp_attention_pitch<kSteps>;
  using Launch = sp_attention_backward_launch<sp_bf16>;

  sp_own_rows<kSteps> x0, x1;
  float out0[2 * kSteps][4], out1[kKeys ? 2 * kSteps : 1][4];

  SP_DEVICE_MEMBER void clear() {
    SP_UNROLL
    for (int i = 0; i < 2 * kSteps * 4; i++) {
      out0[i / 4][i % 4] = 0.0f;
      if constexpr (kKeys) {
        out1[i / 4][i % 4] = 0.0f;
      }
    }
  }

  /* to[0], to[1] = own rows times 16 rows of the other side from `rows` on. */
  SP_DEVICE_MEMBER void multiply(const sp_own_rows<kSteps> &own, SharedPtr<sp_bf16> rows,
                                 float to[2][4]) const {
    const uint32_t lane = (uint32_t)sp_lane();
    SharedPtr<sp_bf16> row = rows + ((lane / 16 * 8 + lane % 8) * kPitch + lane / 8 % 2 * 8);
    SP_UNROLL
    for (int i = 0; i < 8; i++) {
      to[i / 4][i % 4] = 0.0f;
    }
    SP_UNROLL
    for (int step = 0; step < kSteps; step++) {
      uint32_t a[4], b[4];
      own.get(step, a);
      sp_ldmatrix_x4(b, row + step * 16);
      sp_mma_bf16(to[0], a, b);
      sp_mma_bf16(to[1], a, b + 2);
    }
  }

  /* out += weights (16, 16), rounded to bf16, times 16 rows of the other side. */
  SP_DEVICE_MEMBER void gather(const float weights[2][4], SharedPtr<sp_bf16> rows,
                               float out[][4]) const {
    const uint32_t lane = (uint32_t)sp_lane();
    SharedPtr<sp_bf16> row = rows + (lane % 16 * kPitch + lane / 16 * 8);
    uint32_t a[4];
    SP_UNROLL
    for (int i = 0; i < 4; i++) { /* in the order of an a fragment */
      a[i] = sp_pack_bf16(weights[i / 2][i % 2 * 2], weights[i / 2][i % 2 * 2 + 1]);
    }
    SP_UNROLL
    for (int step = 0; step < kSteps; step++) {
      uint32_t b[4];
      sp_ldmatrix_x4_trans(b, row + step * 16);
      sp_mma_bf16(out[2 * step], a, b);
      sp_mma_bf16(out[2 * step + 1], a, b + 2);
    }
  }

  /* score becomes p and d_p becomes d_s, of one pair of a row and a key.  row, key: places in the
   * sequence; bit: the key's in its tile. */
  SP_DEVICE_MEMBER void weigh(const Launch &b, const sp_meeting &m, const sp_query_fact &fact,
                              uint32_t query, uint32_t key, float *score, float *d_p) const {
    const sp_train_attention_launch<sp_bf16> &a = b.forward;
    const bool seen = fact.seen >> key % SP_TRAIN_TILE & 1;
    const size_t row = (size_t)m.query0 + query;
    float logit = fmaf(*score, a.scale * SP_LOG2_E, -fact.lse);
    if (kSoft && seen) {
      logit = fmaf(sp_soft_mask(a, row, fact.position, key), SP_LOG2_E, logit);
    }
    *score = seen ? sp_exp2(logit) : 0.0f;
    *d_p = *score * (*d_p - fact.delta);
    if constexpr (kSoft && !kKeys) {
      float *place = seen ? sp_d_bias_place(b, m.head, row, fact.position, key) : nullptr;
      if (place) {
        *place = *d_p;
      }
    }
  }

  /* A tile of the other side's rows at y0 and y1. */
  SP_DEVICE_MEMBER void meet(const Launch &b, const sp_meeting &m, const sp_query_facts &facts,
                             SharedPtr<sp_bf16> y0, SharedPtr<sp_bf16> y1) {
    const uint32_t lane = (uint32_t)sp_lane();
    const uint32_t own = m.own + lane / 4;
    sp_query_fact mine[2];
    if constexpr (!kKeys) {
      mine[0] = sp_fact_of<kSoft>(facts, own % SP_TRAIN_TILE);
      mine[1] = sp_fact_of<kSoft>(facts, own % SP_TRAIN_TILE + 8);
    }
    SP_UNROLL_BY(1)
    for (uint32_t at = 0; at < m.others; at += 16) {
      float score[2][4], d_p[2][4];
      multiply(x0, y0 + at * kPitch, score);
      multiply(x1, y1 + at * kPitch, d_p);
      SP_UNROLL
      for (uint32_t n = 0; n < 2; n++) {
        const uint32_t other = at + n * 8 + lane % 4 * 2;
        if constexpr (kKeys) {
          mine[0] = sp_fact_of<kSoft>(facts, other);
          mine[1] = sp_fact_of<kSoft>(facts, other + 1);
        }
        SP_UNROLL
        for (uint32_t i = 0; i < 4; i++) {
          const uint32_t x = own + i / 2 * 8, y = m.other + other + i % 2;
          weigh(b, m, mine[kKeys ? i % 2 : i / 2], kKeys ? y : x, kKeys ? x : y, &score[n][i],
                &d_p[n][i]);
        }
      }
      gather(d_p, y0 + at * kPitch, out0);
      if constexpr (kKeys) {
        gather(score, y1 + at * kPitch, out1);
      }
    }
  }
};

/* The warp's sums, times `factor`, to `count` rows from `to` on. */
template <int kSteps>
SP_DEVICE void sp_store_sums(const float sums[][4], float factor, sp_bf16 *to, size_t stride,
                             uint32_t count, uint32_t head_dim, uint32_t width) {
  const uint32_t lane = (uint32_t)sp_lane();
  SP_UNROLL
  for (uint32_t i = 0; i < 2; i++) {
    const uint32_t row = lane / 4 + i * 8;
    if (row >= count) {
      continue;
    }
    SP_UNROLL
    for (uint32_t n = 0; n < 2 * kSteps; n++) {
      const uint32_t column = n * 8 + lane % 4 * 2;
      const float x = sums[n][2 * i] * factor, y = sums[n][2 * i + 1] * factor;
      sp_bf16 *place = to + row * stride + column;
      if (width > 1 && column < head_dim) {
        sp_store4(place, sp_pack_bf16(x, y));
      } else if (column < head_dim) {
        place[0] = sp_to_bf16(x);
        if (column + 1 < head_dim) {
          place[1] = sp_to_bf16(y);
        }
      }
    }
  }
}

#endif
