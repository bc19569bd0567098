/* attention_f32.cuh - attention in f32, for parity rather than speed; attention.cu is its home.
 *
 * Parallel  a block of 4 warps takes one sequence, one head and every gridDim.z-th group of 4 query
 *           rows, a row a warp; lanes are keys in the scores and dimensions in the output
 * Numerics  as the bf16 kernel: running maximum and sum over tiles of 64 keys in order, all in f32
 * Bound     shared memory reads: a score or output term each */
#ifndef SP_CUDA_ATTENTION_F32_CUH
#define SP_CUDA_ATTENTION_F32_CUH

#include "attention_tile.cuh"
#include "ops.h"

enum : uint32_t {
  SP_F32_WARPS = 4,
  SP_F32_THREADS = 32 * SP_F32_WARPS,
  SP_F32_KEYS = SP_ATTENTION_KEYS,
  SP_F32_LANE_DIMS = 4 /* dimensions of a lane: 128 / 32 */
};

struct sp_attention_f32_launch {
  const float *q, *k, *v;
  float *out;
  const uint32_t *row_start, *q_row, *key_start, *key_len, *key_row, *key_split, *key_own;
  const uint64_t *mask, *mask_start;
  size_t q_stride, kv_stride;
  uint32_t heads, head_dim;
  float scale; /* 1 / sqrt(head_dim) */
};

/* A head's elements and one of distance where they are even: lanes at one column of following rows
 * meet no bank twice. */
__host__ __device__ constexpr uint32_t sp_f32_pitch(uint32_t head_dim) {
  return head_dim | 1;
}

__host__ __device__ constexpr size_t sp_f32_shared_floats(uint32_t head_dim) {
  return 2 * SP_F32_KEYS * sp_f32_pitch(head_dim) + SP_F32_WARPS * (head_dim + SP_F32_KEYS);
}

/* One row's running state; a lane holds dimensions lane, lane + 32, .. */
struct sp_f32_row {
  float out[SP_F32_LANE_DIMS];
  float top, sum; /* sum: the lane's part */
};

/* One tile of keys for the warp's row; q and weight are the warp's; bias(key) is added to a score. */
template <typename Bias>
SP_DEVICE void sp_f32_add_keys(sp_f32_row *r, SharedPtr<float> q, SharedPtr<float> weight,
                               SharedPtr<float> k, SharedPtr<float> v, uint32_t head_dim,
                               uint32_t keys, uint64_t seen, Bias bias) {
  const uint32_t lane = (uint32_t)sp_lane(), pitch = sp_f32_pitch(head_dim);
  float score[2];
  for (uint32_t half = 0; half < 2; half++) {
    const uint32_t key = half * 32 + lane;
    score[half] = -INFINITY;
    if (key < keys && (seen >> key & 1)) {
      float dot = 0.0f;
      for (uint32_t d = 0; d < head_dim; d++) {
        dot = fmaf(q[d], k[key * pitch + d], dot);
      }
      score[half] = dot + bias(key);
    }
  }
  const float before = r->top;
  r->top = fmaxf(before, sp_warp_max(fmaxf(score[0], score[1])));
  const float center = r->top == -INFINITY ? 0.0f : r->top;
  const float factor = sp_exp(before - center);
  const float w[2] = {sp_exp(score[0] - center), sp_exp(score[1] - center)};
  r->sum = r->sum * factor + (w[0] + w[1]);
  sp_sync_warp(); /* the last tile's weights are read */
  weight[lane] = w[0];
  weight[32 + lane] = w[1];
  sp_sync_warp();
  for (uint32_t i = 0; i < SP_F32_LANE_DIMS && i * 32 + lane < head_dim; i++) {
    float x = r->out[i] * factor;
    for (uint32_t key = 0; key < keys; key++) {
      x = fmaf(weight[key], v[key * pitch + i * 32 + lane], x);
    }
    r->out[i] = x;
  }
}

/* Up to 64 keys from slot `first` on and their values into shared memory. */
template <typename Launch>
SP_DEVICE void sp_f32_load_keys(const Launch &a, const sp_slots &slots, uint32_t first,
                                uint32_t keys, uint32_t head, SharedPtr<float> k,
                                SharedPtr<float> v) {
  const uint32_t pitch = sp_f32_pitch(a.head_dim);
  for (uint32_t i = threadIdx.x; i < keys * a.head_dim; i += SP_F32_THREADS) {
    const uint32_t key = i / a.head_dim, d = i % a.head_dim;
    const size_t at = sp_slot_row(slots, first + key) * a.kv_stride + head * a.head_dim + d;
    k[key * pitch + d] = a.k[at];
    v[key * pitch + d] = a.v[at];
  }
}

template <typename Launch>
SP_DEVICE void sp_f32_store(const Launch &a, const sp_f32_row &r, size_t row, uint32_t head) {
  const float total = sp_warp_sum(r.sum);
  for (uint32_t i = 0; i < SP_F32_LANE_DIMS; i++) {
    const uint32_t d = i * 32 + (uint32_t)sp_lane();
    if (d < a.head_dim) { /* NaN goes on */
      a.out[(row * a.heads + head) * a.head_dim + d] = total == 0.0f ? 0.0f : r.out[i] / total;
    }
  }
}

__global__ static void __launch_bounds__(SP_F32_THREADS)
    sp_attention_f32_kernel(const sp_attention_f32_launch a) {
  const uint32_t s = blockIdx.x, head = blockIdx.y, warp = (uint32_t)sp_warp();
  const uint32_t lane = (uint32_t)sp_lane(), dim = a.head_dim;
  const uint32_t row0 = a.row_start[s], rows = a.row_start[s + 1] - row0;
  const uint32_t keys = a.key_len[s];
  const sp_slots q_slots = sp_query_slots(a, row0), kv_slots = sp_key_slots(a, s, a.key_start[s]);
  const uint32_t tiles = keys == 0 ? 1 : (keys + SP_F32_KEYS - 1) / SP_F32_KEYS;
  const uint32_t block = SP_F32_KEYS * sp_f32_pitch(dim);
  SharedPtr<float> k = sp_shared<float>(0, sp_f32_shared_floats(dim)), v = k + block;
  SharedPtr<float> q = v + block + warp * dim;
  SharedPtr<float> weight = v + block + SP_F32_WARPS * dim + warp * SP_F32_KEYS;
  for (uint32_t at = blockIdx.z * SP_F32_WARPS; at < rows; at += gridDim.z * SP_F32_WARPS) {
    const uint32_t row = at + warp;
    const bool present = row < rows;
    sp_sync_warp(); /* the last row is read */
    for (uint32_t d = lane; d < dim && present; d += 32) {
      q[d] = a.q[sp_slot_row(q_slots, row) * a.q_stride + head * dim + d] * a.scale;
    }
    sp_sync_warp();
    sp_f32_row r = {{0.0f}, -INFINITY, 0.0f};
    for (uint32_t tile = 0; tile < tiles; tile++) {
      const uint32_t first = tile * SP_F32_KEYS, now = sp_least(keys - first, SP_F32_KEYS);
      if (tiles > 1 || at == blockIdx.z * SP_F32_WARPS) { /* else they are there */
        sp_sync_threads();
        sp_f32_load_keys(a, kv_slots, first, now, head, k, v);
        sp_sync_threads();
      }
      if (present) {
        uint64_t seen = sp_seen_word(a, s, row0 + row, keys, tile);
        sp_f32_add_keys(&r, q, weight, k, v, dim, now, seen, [](uint32_t) { return 0.0f; });
      }
    }
    if (present) {
      sp_f32_store(a, r, row0 + row, head);
    }
  }
}

static inline cudaError_t sp_attention_f32(cudaStream_t stream, const sp_attention_args &args) {
  sp_attention_f32_launch a = {};
  a.q = static_cast<const float *>(args.q);
  a.k = static_cast<const float *>(args.k);
  a.v = static_cast<const float *>(args.v);
  a.out = static_cast<float *>(args.out);
  a.row_start = args.row_start;
  a.q_row = args.q_row;
  a.key_start = args.key_start;
  a.key_len = args.key_len;
  a.key_row = args.key_row;
  a.key_split = args.key_split;
  a.key_own = args.key_own;
  a.mask = args.mask;
  a.mask_start = args.mask_start;
  a.q_stride = args.q_stride;
  a.kv_stride = args.kv_stride;
  a.heads = (uint32_t)args.heads;
  a.head_dim = (uint32_t)args.head_dim;
  a.scale = (float)(1.0 / sqrt((double)args.head_dim));
  const unsigned parts = args.sequences < 64 ? 16 : 2;
  return SP_LAUNCH(
      sp_attention_f32_kernel, dim3((unsigned)args.sequences, (unsigned)args.heads, parts),
      dim3(SP_F32_THREADS), sp_f32_shared_floats(a.head_dim) * sizeof(float), stream, a);
}

#endif
