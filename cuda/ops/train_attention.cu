/* train_attention.cu - attention with a soft mask, and the logarithm of each row's denominator.
 *                                                         twin: host/backend/cpu/train_attention.c
 *
 * Maths     s_j = q k_j / sqrt(head_dim) + b_j, lse = log sum_j e^(s_j), out = sum_j e^(s_j - lse) v_j
 * Shapes    see struct sp_train_attention_args; head_dim <= SP_CUDA_MAX_HEAD_DIM
 * Parallel  bf16: a block of 4 warps takes a sequence, a head and 64 query rows, 16 a warp, and goes
 *           through the keys 64 at a time (attention_tile.cuh).  f32: attention_f32.cuh's rows
 * Numerics  as attention.cu, but that weights are summed before they are rounded: lse belongs to the
 *           f32 weights, which the way back computes again.  A row that sees nothing has out 0 and
 *           lse -inf
 * Bound     memory: q, k, v and out once a tile of 64 queries, 8 head_dim bytes a token and head at up
 *           to 64 tokens; behind that products of 4 head_dim operations a pair.  Some blocks a
 *           multiprocessor hide each other's loads.  Unconfirmed: no GPU has run it */
#include "attention_f32.cuh"
#include "attention_train.cuh"

namespace {

using Launch = sp_train_attention_launch<sp_bf16>;

/* ---- bf16 ---- */

/* Adds the soft mask to scores, which are before their scale: lane's rows l / 4 and l / 4 + 8 of the
 * warp's, score tile n's keys 8 n + 2 (l % 4) and the next. */
struct SoftMask {
  size_t row[2]; /* that do not exist are the last again: they are not stored */
  uint32_t position[2], key;
  float factor; /* sqrt(head_dim) */
  SP_DEVICE_MEMBER void add(const Launch &a, float score[8][4]) const {
    SP_UNROLL
    for (uint32_t n = 0; n < 8; n++) {
      SP_UNROLL
      for (uint32_t i = 0; i < 4; i++) {
        const float b = sp_soft_mask(a, row[i / 2], position[i / 2], key + n * 8 + i % 2);
        score[n][i] = fmaf(b, factor, score[n][i]);
      }
    }
  }
};

/* The warp's rows, [row0, row0 + rows). */
SP_DEVICE SoftMask soft_mask_of(const Launch &a, uint32_t row0, uint32_t rows) {
  SoftMask soft = {{0, 0}, {0, 0}, 0, sqrtf((float)a.head_dim)};
  SP_UNROLL
  for (uint32_t half = 0; half < 2; half++) {
    const uint32_t row = sp_least(half * 8 + (uint32_t)sp_lane() / 4, rows - 1);
    soft.row[half] = row0 + row;
    soft.position[half] = a.row_position[row0 + row];
  }
  return soft;
}

template <int kSteps>
SP_DEVICE void store_lse(const Launch &a, const sp_attention_tile<kSteps> &t, uint32_t row0,
                         uint32_t head) {
  SP_UNROLL
  for (int half = 0; half < 2; half++) {
    float total = t.sum[half] + sp_shfl_xor(t.sum[half], 1);
    total += sp_shfl_xor(total, 2);
    const uint32_t row = (uint32_t)half * 8 + (uint32_t)sp_lane() / 4;
    if (sp_lane() % 4 == 0 && row < t.rows) {
      a.lse[((size_t)row0 + row) * a.heads + head] = fmaf(t.center(half), a.scale, sp_log(total));
    }
  }
}

/* What a block works on: rows [row0, row0 + rows) of sequence s, at most 64 of them. */
struct Work {
  uint32_t s, head, row0, rows;
};

template <int kSteps, bool kWide, bool kSoft>
SP_DEVICE void attend_tile(const Launch &a, const Work &w, SharedPtr<sp_bf16> shared) {
  constexpr uint32_t kTile = SP_TRAIN_TILE * sp_attention_pitch<kSteps>;
  const uint32_t mine = (uint32_t)sp_warp() * SP_ATTENTION_ROWS;
  const uint32_t key0 = a.key_start[w.s], keys = a.key_start[w.s + 1] - key0;
  const size_t column = (size_t)w.head * a.head_dim;
  SharedPtr<sp_bf16> q = shared, k = q + kTile, v = k + kTile, zeros = v + kTile;
  sp_attention_tile<kSteps> t;
  t.begin(q + sp_least(mine, w.rows) * t.kPitch, w.rows - sp_least(mine, w.rows), zeros);
  sp_sync_threads(); /* the zeros are there; the last tile is stored */
  sp_load_tile<kSteps, kWide>(a.q + (size_t)w.row0 * a.q_stride + column, a.q_stride, w.rows,
                              a.head_dim, a.width, q);
  SoftMask soft = {};
  if (kSoft && mine < w.rows) {
    soft = soft_mask_of(a, w.row0 + mine, w.rows - mine);
  }
  for (uint32_t at = 0; at == 0 || at < keys; at += SP_ATTENTION_KEYS) {
    const uint32_t now = sp_least(keys - at, SP_ATTENTION_KEYS);
    const size_t from = ((size_t)key0 + at) * a.kv_stride + column;
    sp_load_tile<kSteps, kWide>(a.k + from, a.kv_stride, now, a.head_dim, a.width, k);
    sp_load_tile<kSteps, kWide>(a.v + from, a.kv_stride, now, a.head_dim, a.width, v);
    sp_cp_async_commit();
    sp_cp_async_wait<0>();
    sp_sync_threads();
    if (mine < w.rows) {
      const sp_seen seen =
          sp_seen_words(a, w.s, w.row0, w.rows, (uint32_t)sp_warp(), keys, at / SP_ATTENTION_KEYS);
      const float scale = a.scale * SP_LOG2_E;
      soft.key = at + (uint32_t)sp_lane() % 4 * 2;
      t.template add_keys_adjusted<true>(k, v, now, seen, scale, at == 0, [&](float score[8][4]) {
        if constexpr (kSoft) {
          soft.add(a, score);
        }
      });
    }
    sp_sync_threads(); /* the keys are read; the next go there */
  }
  if (mine < w.rows) {
    store_lse(a, t, w.row0 + mine, w.head);
    t.template store<kWide>(a, w.row0 + mine, w.head);
  }
}

/* Adding a soft mask holds many of its cells at once. */
template <int kSteps, bool kWide, bool kSoft>
__global__ void __launch_bounds__(SP_TRAIN_THREADS, kSoft || kSteps > 4 ? 2 : 3)
    train_attention(const Launch a) {
  constexpr uint32_t kPitch = sp_attention_pitch<kSteps>;
  const uint32_t begin = a.row_start[blockIdx.x], rows = a.row_start[blockIdx.x + 1] - begin;
  SharedPtr<sp_bf16> shared = sp_shared<sp_bf16>(0, (3 * SP_TRAIN_TILE + 1) * kPitch);
  for (uint32_t i = threadIdx.x; i < kPitch; i += SP_TRAIN_THREADS) {
    shared[3 * SP_TRAIN_TILE * kPitch + i] = sp_bf16{0};
  }
  for (uint32_t first = blockIdx.z * SP_TRAIN_TILE; first < rows;
       first += gridDim.z * SP_TRAIN_TILE) {
    const Work w = {blockIdx.x, blockIdx.y, begin + first, sp_least(rows - first, SP_TRAIN_TILE)};
    attend_tile<kSteps, kWide, kSoft>(a, w, shared);
  }
}

template <int kSteps>
cudaError_t launch(cudaStream_t stream, const Launch &a, dim3 grid) {
  const size_t shared = (3 * SP_TRAIN_TILE + 1) * sp_attention_pitch<kSteps> * sizeof(sp_bf16);
  auto kernel =
      a.width == 8
          ? (a.bias ? train_attention<kSteps, true, true> : train_attention<kSteps, true, false>)
          : (a.bias ? train_attention<kSteps, false, true> : train_attention<kSteps, false, false>);
  return SP_LAUNCH(kernel, grid, dim3(SP_TRAIN_THREADS), shared, stream, a);
}

cudaError_t launch_bf16(cudaStream_t stream, const sp_train_attention_args &args) {
  const Launch a = sp_make_train_attention<sp_bf16>(args);
  const dim3 grid = sp_train_grid(args, args.rows, SP_TRAIN_TILE);
  switch ((args.head_dim + 31) / 32) {
    case 1:
      return launch<2>(stream, a, grid);
    case 2:
      return launch<4>(stream, a, grid);
    case 3:
      return launch<6>(stream, a, grid);
    default:
      return launch<8>(stream, a, grid);
  }
}

/* ---- f32: a row a warp ---- */

using LaunchF32 = sp_train_attention_launch<float>;

SP_DEVICE void store_row(const LaunchF32 &a, const sp_f32_row &r, size_t row, uint32_t head) {
  const float total = sp_warp_sum(r.sum);
  if (sp_lane() == 0) {
    a.lse[row * a.heads + head] = (r.top == -INFINITY ? 0.0f : r.top) + sp_log(total);
  }
  sp_f32_store(a, r, row, head);
}

__global__ void __launch_bounds__(SP_F32_THREADS) train_attention_f32(const LaunchF32 a) {
  const uint32_t s = blockIdx.x, head = blockIdx.y, warp = (uint32_t)sp_warp(), dim = a.head_dim;
  const uint32_t row0 = a.row_start[s], rows = a.row_start[s + 1] - row0;
  const uint32_t key0 = a.key_start[s], keys = a.key_start[s + 1] - key0;
  const uint32_t block = SP_F32_KEYS * sp_f32_pitch(dim);
  SharedPtr<float> k = sp_shared<float>(0, sp_f32_shared_floats(dim)), v = k + block;
  SharedPtr<float> q = v + block + warp * dim;
  SharedPtr<float> weight = v + block + SP_F32_WARPS * dim + warp * SP_F32_KEYS;
  for (uint32_t at = blockIdx.z * SP_F32_WARPS; at < rows; at += gridDim.z * SP_F32_WARPS) {
    const bool present = at + warp < rows;
    const size_t row = (size_t)row0 + (present ? at + warp : at);
    const uint32_t position = a.bias ? a.row_position[row] : 0;
    sp_sync_warp(); /* the last row is read */
    for (uint32_t d = (uint32_t)sp_lane(); d < dim; d += 32) {
      q[d] = a.q[row * a.q_stride + head * dim + d] * a.scale;
    }
    sp_sync_warp();
    sp_f32_row r = {{0.0f}, -INFINITY, 0.0f};
    for (uint32_t first = 0; first < keys; first += SP_F32_KEYS) {
      const uint32_t now = sp_least(keys - first, SP_F32_KEYS);
      sp_sync_threads(); /* the last keys are read */
      sp_f32_load_keys(a, sp_slots{nullptr, nullptr, key0, 0}, first, now, head, k, v);
      sp_sync_threads();
      const uint64_t seen = sp_seen_word(a, s, (uint32_t)row, keys, first / SP_F32_KEYS);
      sp_f32_add_keys(&r, q, weight, k, v, dim, now, seen, [&](uint32_t key) {
        return a.bias ? sp_soft_mask(a, row, position, first + key) : 0.0f;
      });
    }
    if (present) {
      store_row(a, r, row, head);
    }
  }
}

cudaError_t launch_f32(cudaStream_t stream, const sp_train_attention_args &args) {
  const LaunchF32 a = sp_make_train_attention<float>(args);
  return SP_LAUNCH(train_attention_f32, sp_train_grid(args, args.rows, 4 * SP_F32_WARPS),
                   dim3(SP_F32_THREADS), sp_f32_shared_floats(a.head_dim) * sizeof(float), stream,
                   a);
}

}  // namespace

cudaError_t sp_cuda_train_attention(cudaStream_t stream, bool bf16,
                                    const sp_train_attention_args *args) {
  if (!sp_train_attention_in_limits(*args)) {
    return cudaErrorInvalidValue;
  }
  if (args->sequences == 0 || args->rows == 0) {
    return cudaSuccess;
  }
  return bf16 ? launch_bf16(stream, *args) : launch_f32(stream, *args);
}
