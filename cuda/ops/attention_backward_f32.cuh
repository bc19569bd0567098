/* attention_backward_f32.cuh - attention's way back in f32, for parity rather than speed.
 *
 * Parallel  a block of 4 warps takes a sequence, a head and every gridDim.z-th group of 4 own rows, a
 *           row a warp; lanes are the other side's rows in the weights, dimensions in the sums
 * Numerics  f32; a sum goes through the other side's rows in order */
#ifndef SP_CUDA_ATTENTION_BACKWARD_F32_CUH
#define SP_CUDA_ATTENTION_BACKWARD_F32_CUH

#include "attention_backward.cuh"
#include "attention_f32.cuh"

using sp_backward_f32_launch = sp_attention_backward_launch<float>;

__host__ __device__ constexpr size_t sp_backward_f32_floats(uint32_t head_dim) {
  return 2 * SP_F32_KEYS * sp_f32_pitch(head_dim) + SP_F32_WARPS * 2 * (head_dim + SP_F32_KEYS);
}

/* A warp's places in shared memory. */
struct sp_backward_f32_places {
  SharedPtr<float> y0, y1;         /* the other side's tile */
  SharedPtr<float> x0, x1, p, d_s; /* the row's own, and its weights for the tile */
};

SP_DEVICE sp_backward_f32_places sp_backward_f32_places_of(uint32_t dim) {
  const uint32_t block = SP_F32_KEYS * sp_f32_pitch(dim), warp = (uint32_t)sp_warp();
  SharedPtr<float> y0 = sp_shared<float>(0, sp_backward_f32_floats(dim));
  SharedPtr<float> x0 = y0 + 2 * block + warp * 2 * (dim + SP_F32_KEYS);
  return {y0, y0 + block, x0, x0 + dim, x0 + 2 * dim, x0 + 2 * dim + SP_F32_KEYS};
}

SP_DEVICE float sp_f32_dot(SharedPtr<float> x, SharedPtr<float> y, uint32_t dim) {
  float dot = 0.0f;
  for (uint32_t d = 0; d < dim; d++) {
    dot = fmaf(x[d], y[d], dot);
  }
  return dot;
}

/* p and d_s of query `query` and key `key` of sequence s, which the places are in. */
SP_DEVICE void sp_f32_weigh(const sp_backward_f32_launch &b, uint32_t s, uint32_t head,
                            uint32_t query, uint32_t key, float *score, float *d_p) {
  const sp_train_attention_launch<float> &a = b.forward;
  const uint32_t row = a.row_start[s] + query;
  const uint32_t keys = a.key_start[s + 1] - a.key_start[s];
  const size_t at = (size_t)row * a.heads + head;
  const uint32_t position = a.bias ? a.row_position[row] : 0;
  if (!(sp_seen_word(a, s, row, keys, key / SP_TRAIN_TILE) >> key % SP_TRAIN_TILE & 1)) {
    *score = *d_p = 0.0f;
    return;
  }
  const float soft = a.bias ? sp_soft_mask(a, row, position, key) : 0.0f;
  *score = sp_exp(*score * a.scale + soft - sp_finite_lse(a.lse[at]));
  *d_p = *score * (*d_p - b.delta[at]);
}

/* The other side's rows [first, first + count). */
SP_DEVICE void sp_f32_load_side(const sp_side<float> &side, uint32_t first, uint32_t count,
                                uint32_t head, uint32_t dim, const sp_backward_f32_places &at) {
  for (uint32_t i = threadIdx.x; i < count * dim; i += SP_F32_THREADS) {
    const uint32_t row = i / dim, d = i % dim, to = row * sp_f32_pitch(dim) + d;
    const size_t from = (size_t)side.row0 + first + row, column = (size_t)head * dim + d;
    at.y0[to] = side.x0.data[from * side.x0.stride + column];
    at.y1[to] = side.x1.data[from * side.x1.stride + column];
  }
}

/* The row's sums; a lane holds dimensions lane, lane + 32, .. */
struct sp_f32_sums {
  float out0[SP_F32_LANE_DIMS], out1[SP_F32_LANE_DIMS];
};

/* Own row `own` against the tile's rows [first, first + count). */
template <bool kKeys>
SP_DEVICE void sp_f32_meet(const sp_backward_f32_launch &b, uint32_t s, uint32_t head, uint32_t own,
                           uint32_t first, uint32_t count, const sp_backward_f32_places &at,
                           sp_f32_sums *sums) {
  const uint32_t lane = (uint32_t)sp_lane(), dim = b.forward.head_dim, pitch = sp_f32_pitch(dim);
  sp_sync_warp(); /* the last tile's weights are read */
  for (uint32_t i = lane; i < count; i += 32) {
    const uint32_t query = kKeys ? first + i : own, key = kKeys ? own : first + i;
    float score = sp_f32_dot(at.x0, at.y0 + i * pitch, dim);
    float d_p = sp_f32_dot(at.x1, at.y1 + i * pitch, dim);
    sp_f32_weigh(b, s, head, query, key, &score, &d_p);
    at.p[i] = score;
    at.d_s[i] = d_p;
    if (!kKeys && b.forward.bias) {
      const size_t row = (size_t)b.forward.row_start[s] + query;
      float *place = sp_d_bias_place(b, head, row, b.forward.row_position[row], key);
      if (place) {
        *place = d_p;
      }
    }
  }
  sp_sync_warp();
  for (uint32_t i = 0; i < SP_F32_LANE_DIMS && i * 32 + lane < dim; i++) {
    const uint32_t d = i * 32 + lane;
    for (uint32_t y = 0; y < count; y++) {
      sums->out0[i] = fmaf(at.d_s[y], at.y0[y * pitch + d], sums->out0[i]);
      if (kKeys) {
        sums->out1[i] = fmaf(at.p[y], at.y1[y * pitch + d], sums->out1[i]);
      }
    }
  }
}

template <bool kKeys>
SP_DEVICE void sp_f32_store_sums(const sp_backward_f32_launch &b, const sp_f32_sums &sums,
                                 size_t row, uint32_t head) {
  const uint32_t dim = b.forward.head_dim;
  for (uint32_t i = 0; i < SP_F32_LANE_DIMS && i * 32 + (uint32_t)sp_lane() < dim; i++) {
    const size_t column = (size_t)head * dim + i * 32 + (uint32_t)sp_lane();
    if (kKeys) {
      b.d_k[row * b.d_kv_stride + column] = sums.out0[i] * b.forward.scale;
      b.d_v[row * b.d_kv_stride + column] = sums.out1[i];
    } else {
      b.d_q[row * b.d_q_stride + column] = sums.out0[i] * b.forward.scale;
    }
  }
}

template <bool kKeys>
__global__ static void __launch_bounds__(SP_F32_THREADS, 4)
    sp_attention_backward_f32(const sp_backward_f32_launch b) {
  const uint32_t s = blockIdx.x, head = blockIdx.y, dim = b.forward.head_dim;
  const sp_side<float> own = kKeys ? sp_key_side(b, s) : sp_query_side(b, s);
  const sp_side<float> other = kKeys ? sp_query_side(b, s) : sp_key_side(b, s);
  const sp_backward_f32_places at = sp_backward_f32_places_of(dim);
  const uint32_t step = gridDim.z * SP_F32_WARPS;
  for (uint32_t group = blockIdx.z * SP_F32_WARPS; group < own.rows; group += step) {
    const bool present = group + (uint32_t)sp_warp() < own.rows;
    const uint32_t mine = present ? group + (uint32_t)sp_warp() : group;
    const size_t row = (size_t)own.row0 + mine;
    if (!kKeys && b.forward.bias) {
      sp_clear_d_bias(b, head, own.row0 + group, sp_least(own.rows - group, SP_F32_WARPS));
    }
    sp_sync_warp(); /* the last row is read */
    for (uint32_t d = (uint32_t)sp_lane(); d < dim; d += 32) {
      at.x0[d] = own.x0.data[row * own.x0.stride + head * dim + d];
      at.x1[d] = own.x1.data[row * own.x1.stride + head * dim + d];
    }
    sp_f32_sums sums = {{0.0f}, {0.0f}};
    for (uint32_t first = 0; first < other.rows; first += SP_F32_KEYS) {
      const uint32_t count = sp_least(other.rows - first, SP_F32_KEYS);
      sp_sync_threads(); /* the last tile is read; cells are cleared */
      sp_f32_load_side(other, first, count, head, dim, at);
      sp_sync_threads();
      if (present) {
        sp_f32_meet<kKeys>(b, s, head, mine, first, count, at, &sums);
      }
    }
    if (present) {
      sp_f32_store_sums<kKeys>(b, sums, row, head);
    }
  }
}

#endif
