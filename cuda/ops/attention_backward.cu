/* attention_backward.cu - the gradients of attention with a soft mask.
 *                                                      twin: host/backend/cpu/attention_backward.c
 *
 * Maths     p_rj = e^(s_rj - lse_r), computed again; d_p_rj = d_out_r v_j; delta_r = d_out_r out_r;
 *           d_s = p (d_p - delta); d_q = sum_j d_s k_j / sqrt(head_dim), d_k = sum_r d_s q_r /
 *           sqrt(head_dim), d_v = sum_r p d_out_r, d_b = d_s summed over heads (Dao et al. 2022)
 * Shapes    see struct sp_train_attention_backward_args; head_dim <= SP_CUDA_MAX_HEAD_DIM
 * Parallel  four launches: delta, a warp a row and head; d_q, a block of 4 warps for a sequence, a
 *           head and 64 queries; d_k and d_v, the same for 64 keys (attention_backward.cuh); d_bias,
 *           which adds what the heads' blocks of d_q left, heads in order.  f32:
 *           attention_backward_f32.cuh
 * Order     a sum goes through the other side's rows in order, 16 at a time; no block adds to what
 *           another wrote, so that equal calls give equal bits whatever the grid
 * Numerics  products on tensor cores from bf16 into fp32; p and d_s in fp32, rounded to bf16 as
 *           factors of a product.  What a row does not see has p 0 exactly
 * Bound     tensor cores and shared memory: 7 products where forward has 2, for scores are made twice,
 *           which saves the float atomics or the (R, T) memory of one pass.  Unconfirmed: no GPU has
 *           run it */
#include "attention_backward_f32.cuh"

namespace {

enum : uint32_t { DELTA_WARPS = 4, SUM_THREADS = 256 };

/* ---- delta, d_bias ---- */

template <typename T>
__global__ void __launch_bounds__(32 * DELTA_WARPS)
    row_deltas(const sp_attention_backward_launch<T> b) {
  const sp_train_attention_launch<T> &a = b.forward;
  const size_t at = (size_t)blockIdx.x * DELTA_WARPS + (size_t)sp_warp(); /* row, then head */
  if (at >= (size_t)b.rows * a.heads) {
    return;
  }
  float sum = 0.0f;
  for (uint32_t d = (uint32_t)sp_lane(); d < a.head_dim; d += 32) {
    const size_t i = at * a.head_dim + d;
    sum = fmaf(sp_to_f32(b.d_out[i]), sp_to_f32(a.out[i]), sum);
  }
  sum = sp_warp_sum(sum);
  if (sp_lane() == 0) {
    b.delta[at] = sum;
  }
}

__global__ void __launch_bounds__(SUM_THREADS)
    sum_heads(const float *head_d_bias, size_t cells, uint32_t heads, float *d_bias) {
  const size_t i = (size_t)blockIdx.x * SUM_THREADS + threadIdx.x;
  if (i >= cells) {
    return;
  }
  float sum = head_d_bias[i];
  for (uint32_t head = 1; head < heads; head++) {
    sum += head_d_bias[head * cells + i];
  }
  d_bias[i] = sum;
}

/* ---- bf16 ---- */

using Launch = sp_attention_backward_launch<sp_bf16>;

constexpr size_t FACTS_BYTES = SP_TRAIN_TILE * (2 * sizeof(float) + sizeof(uint64_t) + 4);

SP_DEVICE sp_query_facts facts_at(size_t byte) {
  sp_query_facts f;
  f.seen = sp_shared<uint64_t>(byte, SP_TRAIN_TILE);
  f.lse = sp_shared<float>(byte + 8 * SP_TRAIN_TILE, SP_TRAIN_TILE);
  f.delta = sp_shared<float>(byte + 12 * SP_TRAIN_TILE, SP_TRAIN_TILE);
  f.position = sp_shared<uint32_t>(byte + 16 * SP_TRAIN_TILE, SP_TRAIN_TILE);
  return f;
}

/* Queries [first, first + 64) of a sequence and its key tile from key `key` on; those that do not exist
 * see nothing. */
SP_DEVICE void load_facts(const Launch &b, uint32_t s, uint32_t head, uint32_t first, uint32_t key,
                          const sp_query_facts &to) {
  const sp_train_attention_launch<sp_bf16> &a = b.forward;
  const uint32_t i = threadIdx.x, row = a.row_start[s] + first + i;
  if (i >= SP_TRAIN_TILE) {
    return;
  }
  const bool present = row < a.row_start[s + 1];
  const uint32_t keys = a.key_start[s + 1] - a.key_start[s];
  const size_t at = (size_t)row * a.heads + head;
  to.lse[i] = present ? sp_finite_lse(a.lse[at]) * SP_LOG2_E : 0.0f;
  to.delta[i] = present ? b.delta[at] : 0.0f;
  to.seen[i] = present ? sp_seen_word(a, s, row, keys, key / SP_TRAIN_TILE) : 0;
  to.position[i] = present && a.bias ? a.row_position[row] : 0;
}

template <int kSteps, bool kWide>
SP_DEVICE void load_side(const sp_train_attention_launch<sp_bf16> &a, const sp_side<sp_bf16> &side,
                         uint32_t first, uint32_t head, SharedPtr<sp_bf16> to) {
  const uint32_t count = sp_least(side.rows - first, SP_TRAIN_TILE);
  const size_t row = (size_t)side.row0 + first, column = (size_t)head * a.head_dim;
  sp_load_tile<kSteps, kWide>(side.x0.data + row * side.x0.stride + column, side.x0.stride, count,
                              a.head_dim, a.width, to);
  sp_load_tile<kSteps, kWide>(side.x1.data + row * side.x1.stride + column, side.x1.stride, count,
                              a.head_dim, a.width, to + SP_TRAIN_TILE * sp_attention_pitch<kSteps>);
}

/* `count` of the warp's rows, `row` the first of them. */
template <int kSteps, bool kKeys, bool kSoft>
SP_DEVICE void store_tile(const Launch &b, const sp_backward_tile<kSteps, kKeys, kSoft> &t,
                          size_t row, uint32_t count, uint32_t head) {
  const sp_train_attention_launch<sp_bf16> &a = b.forward;
  const size_t column = (size_t)head * a.head_dim;
  const size_t stride = kKeys ? b.d_kv_stride : b.d_q_stride;
  const size_t at = row * stride + column;
  sp_store_sums<kSteps>(t.out0, a.scale, (kKeys ? b.d_k : b.d_q) + at, stride, count, a.head_dim,
                        b.d_width);
  if constexpr (kKeys) {
    sp_store_sums<kSteps>(t.out1, 1.0f, b.d_v + at, stride, count, a.head_dim, b.d_width);
  }
}

/* Own rows [first, first + 64) of sequence s. */
template <int kSteps, bool kWide, bool kKeys, bool kSoft>
SP_DEVICE void own_tile(const Launch &b, const sp_side<sp_bf16> &own, const sp_side<sp_bf16> &other,
                        uint32_t first, SharedPtr<sp_bf16> x, const sp_query_facts &facts) {
  constexpr uint32_t kTile = SP_TRAIN_TILE * sp_attention_pitch<kSteps>;
  const uint32_t s = blockIdx.x, head = blockIdx.y;
  const uint32_t mine = (uint32_t)sp_warp() * SP_ATTENTION_ROWS;
  const uint32_t count = sp_least(own.rows - first, SP_TRAIN_TILE);
  SharedPtr<sp_bf16> y = x + 2 * kTile;
  sp_backward_tile<kSteps, kKeys, kSoft> t;
  t.clear();
  if constexpr (kSoft && !kKeys) {
    sp_clear_d_bias(b, head, (size_t)own.row0 + first, count);
  }
  sp_sync_threads(); /* the last tile is read */
  load_side<kSteps, kWide>(b.forward, own, first, head, x);
  for (uint32_t at = 0; at < other.rows; at += SP_TRAIN_TILE) {
    load_side<kSteps, kWide>(b.forward, other, at, head, y);
    load_facts(b, s, head, kKeys ? at : first, kKeys ? first : at, facts);
    sp_cp_async_commit();
    sp_cp_async_wait<0>();
    sp_sync_threads();
    if (mine < count) {
      const sp_meeting m = {head, first + mine, at, sp_least(other.rows - at, SP_TRAIN_TILE),
                            kKeys ? other.row0 : own.row0};
      if (at == 0) {
        t.x0.begin(x + mine * t.kPitch);
        t.x1.begin(x + (kTile + mine * t.kPitch));
      }
      t.meet(b, m, facts, y, y + kTile);
    }
    sp_sync_threads(); /* the tile is read; the next goes there */
  }
  sp_cp_async_commit(); /* where there was nothing to meet */
  sp_cp_async_wait<0>();
  if (mine < count) {
    store_tile(b, t, (size_t)own.row0 + first + mine, sp_least(count - mine, SP_ATTENTION_ROWS),
               head);
  }
}

constexpr unsigned blocks_of(int steps) {
  return steps > 4 ? 2 : 3;
}

template <int kSteps, bool kWide, bool kKeys, bool kSoft>
__global__ void __launch_bounds__(SP_TRAIN_THREADS, blocks_of(kSteps))
    attention_backward(const Launch b) {
  constexpr size_t kRows = 4 * SP_TRAIN_TILE * sp_attention_pitch<kSteps>;
  SharedPtr<sp_bf16> rows = sp_shared<sp_bf16>(0, kRows);
  const sp_query_facts facts = facts_at(kRows * sizeof(sp_bf16));
  const uint32_t s = blockIdx.x;
  const sp_side<sp_bf16> own = kKeys ? sp_key_side(b, s) : sp_query_side(b, s);
  const sp_side<sp_bf16> other = kKeys ? sp_query_side(b, s) : sp_key_side(b, s);
  for (uint32_t first = blockIdx.z * SP_TRAIN_TILE; first < own.rows;
       first += gridDim.z * SP_TRAIN_TILE) {
    own_tile<kSteps, kWide, kKeys, kSoft>(b, own, other, first, rows, facts);
  }
}

/* ---- launches ---- */

template <int kSteps, bool kKeys>
cudaError_t launch_side(cudaStream_t stream, const Launch &b, dim3 grid) {
  const size_t shared =
      4 * SP_TRAIN_TILE * sp_attention_pitch<kSteps> * sizeof(sp_bf16) + FACTS_BYTES;
  const bool wide = b.forward.width == 8, soft = b.forward.bias != nullptr;
  auto kernel = wide ? (soft ? attention_backward<kSteps, true, kKeys, true>
                             : attention_backward<kSteps, true, kKeys, false>)
                     : (soft ? attention_backward<kSteps, false, kKeys, true>
                             : attention_backward<kSteps, false, kKeys, false>);
  return SP_LAUNCH(kernel, grid, dim3(SP_TRAIN_THREADS), shared, stream, b);
}

template <bool kKeys>
cudaError_t launch_bf16(cudaStream_t stream, const Launch &b, dim3 grid) {
  switch ((b.forward.head_dim + 31) / 32) {
    case 1:
      return launch_side<2, kKeys>(stream, b, grid);
    case 2:
      return launch_side<4, kKeys>(stream, b, grid);
    case 3:
      return launch_side<6, kKeys>(stream, b, grid);
    default:
      return launch_side<8, kKeys>(stream, b, grid);
  }
}

template <bool kKeys>
cudaError_t launch_any(cudaStream_t stream, const Launch &b, const sp_train_attention_args &args) {
  const size_t rows = kKeys ? args.keys : args.rows;
  return rows == 0 ? cudaSuccess
                   : launch_bf16<kKeys>(stream, b, sp_train_grid(args, rows, SP_TRAIN_TILE));
}
template <bool kKeys>
cudaError_t launch_any(cudaStream_t stream, const sp_backward_f32_launch &b,
                       const sp_train_attention_args &args) {
  const size_t rows = kKeys ? args.keys : args.rows;
  return rows == 0
             ? cudaSuccess
             : SP_LAUNCH(sp_attention_backward_f32<kKeys>,
                         sp_train_grid(args, rows, 4 * SP_F32_WARPS), dim3(SP_F32_THREADS),
                         sp_backward_f32_floats(b.forward.head_dim) * sizeof(float), stream, b);
}

template <typename T>
sp_attention_backward_launch<T> make_launch(const sp_train_attention_backward_args &args,
                                            void *scratch) {
  const sp_train_attention_args &forward = args.forward;
  sp_attention_backward_launch<T> b = {};
  b.forward = sp_make_train_attention<T>(forward);
  b.d_out = static_cast<const T *>(args.d_out);
  b.d_q = static_cast<T *>(args.d_q);
  b.d_k = static_cast<T *>(args.d_k);
  b.d_v = static_cast<T *>(args.d_v);
  b.d_q_stride = (uint32_t)args.d_q_stride;
  b.d_kv_stride = (uint32_t)args.d_kv_stride;
  b.rows = (uint32_t)forward.rows;
  b.delta = static_cast<float *>(scratch);
  b.head_d_bias = b.delta + forward.rows * forward.heads;
  const uint32_t d_out_width =
      sp_train_width(forward.head_dim, reinterpret_cast<uintptr_t>(args.d_out));
  b.forward.width = b.forward.width < d_out_width ? b.forward.width : d_out_width;
  b.d_width =
      sp_train_width(forward.head_dim | args.d_q_stride | args.d_kv_stride,
                     reinterpret_cast<uintptr_t>(args.d_q) | reinterpret_cast<uintptr_t>(args.d_k) |
                         reinterpret_cast<uintptr_t>(args.d_v));
  return b;
}

template <typename T>
cudaError_t launch(cudaStream_t stream, const sp_train_attention_backward_args &args,
                   void *scratch) {
  const sp_attention_backward_launch<T> b = make_launch<T>(args, scratch);
  const size_t rows = args.forward.rows, cells = rows * args.forward.reach;
  cudaError_t error = cudaSuccess;
  if (rows > 0) {
    error = SP_LAUNCH(row_deltas<T>, dim3(sp_blocks(rows * args.forward.heads, DELTA_WARPS)),
                      dim3(32 * DELTA_WARPS), 0, stream, b);
  }
  if (error == cudaSuccess) {
    error = launch_any<false>(stream, b, args.forward);
  }
  if (error == cudaSuccess) {
    error = launch_any<true>(stream, b, args.forward);
  }
  if (error != cudaSuccess || !b.forward.bias || !args.d_bias || rows == 0) {
    return error;
  }
  return SP_LAUNCH(sum_heads, dim3(sp_blocks(cells, SUM_THREADS)), dim3(SUM_THREADS), 0, stream,
                   b.head_d_bias, cells, b.forward.heads, args.d_bias);
}

}  // namespace

size_t sp_cuda_train_attention_backward_scratch_bytes(size_t rows, size_t heads, size_t reach) {
  return rows * heads * (1 + reach) * sizeof(float);
}

cudaError_t sp_cuda_train_attention_backward(cudaStream_t stream, bool bf16,
                                             const sp_train_attention_backward_args *args,
                                             void *scratch) {
  const size_t most = 0x7fffffff;
  if (!sp_train_attention_in_limits(args->forward) || args->d_q_stride > most ||
      args->d_kv_stride > most) {
    return cudaErrorInvalidValue;
  }
  if (args->forward.sequences == 0) {
    return cudaSuccess;
  }
  return bf16 ? launch<sp_bf16>(stream, *args, scratch) : launch<float>(stream, *args, scratch);
}
