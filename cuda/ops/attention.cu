/* attention.cu - out[r] = sum_j softmax_j(q[r] k[j] / sqrt(head_dim)) v[j] over the keys that row r
 * sees.                                                      twin: host/backend/cpu/attention.c
 *
 * Maths     s_j = q k_j, w_j = 2^((s_j - top) log2(e) / sqrt(head_dim)), out = sum w_j v_j / sum w
 * Shapes    see struct sp_attention_args; head_dim <= SP_CUDA_MAX_HEAD_DIM
 * Parallel  bf16: a block of WARPS warps takes one sequence and a few heads.  Where the sequence's
 *           rows fit in shared memory, q, k and v of as many heads as fit are brought in at once,
 *           and warps take (head, 16 query rows) in turn; longer ones go head by head, 64 query
 *           rows at a time, over a ring of two key tiles.  How it is cut decides no bit.  A scored
 *           row asks alone: its tile is mostly empty, which costs nothing, as keys are the bytes.
 *           f32: attention_f32.cuh
 * Layout    a shared row is one head's head_dim elements, zeros up to a multiple of 16, and 8 of
 *           distance, so that ldmatrix meets no bank twice.  Rows past the end are read from one
 *           row of zeros, so that any length is right without room for its last tile
 * Loads     16 bytes (asynchronous) where heads keep that alignment, else 4, else 2
 * Gather    queries and keys that are named are found where their rows are loaded, by a loop of
 *           its own: nothing else knows, and the plain loop pays nothing
 * Masks     key tiles have 64 keys from the sequence's first slot: one word a row and tile.
 *           Without a mask the word says where the sequence ends; the rest is the same code
 * Numerics  products on tensor cores from bf16 into fp32; fp32 running maximum and sum over key
 *           tiles in order.  Weights are rounded to bf16 for the second product and summed as
 *           rounded, so that they add up to one.  An absent key's weight is exactly 0 and a tile
 *           that a row does not see changes nothing: its factor is exactly 1
 * Bound     memory: q, k, v read once and out written once, 8 * heads * head_dim bytes a token
 *           (base: 6 KiB, 2 us a thousand tokens at 3 TB/s); for scored rows half of it, k and v.
 *           At 24 tokens of 64 dimensions a multiprocessor gets a head's bytes in 940 cycles, and
 *           its products need some 100; three blocks of 45 KiB keep far more under way than the 16
 *           KiB that the memory's latency asks for.  Unconfirmed: no GPU has run it yet */
#include "attention_f32.cuh"
#include "attention_tile.cuh"
#include "ops.h"
#include "simt.cuh"

namespace {

enum : uint32_t {
  WARPS = 4,
  THREADS = 32 * WARPS,
  PASS = WARPS * SP_ATTENTION_ROWS,      /* query rows of one pass over a long sequence */
  PLACES = PASS + 4 * SP_ATTENTION_KEYS, /* shared rows: queries and a ring of two key tiles */
  HEADS = 4,                             /* of a block, at most */
  PARTS = 8,                             /* that a sequence's rows are cut into, at most */
  ENOUGH_BLOCKS = 4 * 132                /* fewer are cut finer; any number would do */
};

using Launch = sp_attention_launch;

/* Slots [first, first + rows) of heads [head, head + heads) of `from`, which go to `to`: head h's
 * rows follow each other from shared row h * rows on. */
struct Rows {
  const sp_bf16 *from;
  uint32_t stride;
  sp_slots slots;
  uint32_t first, rows, head, heads;
  SharedPtr<sp_bf16> to;
};

/* Row `row` of `r` is row row_of(row) of the matrix, which is asked kHeld times before the answers
 * are used.  The caller commits, waits and synchronizes. */
template <int kSteps, bool kWide, uint32_t kHeld, typename RowOf>
SP_DEVICE void copy_rows(const Launch &a, const Rows &r, RowOf row_of) {
  const uint32_t width = kWide ? 8 : a.width;
  const uint32_t per_head = a.head_dim / width, per_row = r.heads * per_head;
  const uint32_t count = r.rows * per_row;
  const sp_divider by_row = sp_divider_of(per_row), by_head = sp_divider_of(per_head);
  const sp_bf16 *from = r.from + r.head * a.head_dim;
  auto source = [&](uint32_t i) {
    const uint32_t row = sp_divide(i, by_row);
    return from + (row_of(row) * r.stride + (i - row * per_row) * width);
  };
  auto place = [&](uint32_t i) {
    const uint32_t row = sp_divide(i, by_row), rest = i - row * per_row;
    const uint32_t h = sp_divide(rest, by_head);
    return r.to + ((h * r.rows + row) * sp_attention_pitch<kSteps> + (rest - h * per_head) * width);
  };
  if constexpr (kWide) {
    for (uint32_t at = threadIdx.x; at < count; at += kHeld * THREADS) {
      const sp_bf16 *held[kHeld];
      SP_UNROLL
      for (uint32_t u = 0; u < kHeld; u++) {
        held[u] = source(u == 0 ? at : sp_least(at + u * THREADS, count - 1));
      }
      SP_UNROLL
      for (uint32_t u = 0; u < kHeld; u++) {
        if (u == 0 || at + u * THREADS < count) {
          sp_cp_async16(place(at + u * THREADS), held[u], true);
        }
      }
    }
  } else if (width == 2) {
    sp_copy_pairs<THREADS>(count, source, place);
  } else {
    for (uint32_t i = threadIdx.x; i < count; i += THREADS) {
      place(i)[0] = *source(i);
    }
  }
}

template <int kSteps, bool kWide>
SP_DEVICE void load_rows(const Launch &a, const Rows &r) {
  if (r.slots.named == nullptr) {
    Rows plain = r;
    plain.from += ((size_t)r.slots.first + r.first) * r.stride;
    copy_rows<kSteps, kWide, 1>(a, plain, [](uint32_t row) { return (size_t)row; });
  } else {
    copy_rows<kSteps, kWide, 4>(a, r,
                                [&](uint32_t row) { return sp_slot_row(r.slots, r.first + row); });
  }
}

/* What a block works on: rows [row0, row0 + rows) of sequence s against its keys, some heads. */
struct Work {
  uint32_t s, row0, rows, key0, keys, head, heads;
};

SP_DEVICE Work work_of(const Launch &a) {
  Work w;
  w.s = blockIdx.x;
  w.head = blockIdx.y * a.block_heads;
  w.heads = sp_least(a.block_heads, a.heads - w.head);
  uint32_t begin = a.row_start[w.s], rows = a.row_start[w.s + 1] - begin;
  uint32_t part = (rows + gridDim.z - 1) / gridDim.z;
  part = (part + PASS - 1) / PASS * PASS;
  uint32_t at = sp_least(blockIdx.z * part, rows);
  w.row0 = begin + at;
  w.rows = sp_least(part, rows - at);
  w.key0 = a.key_start[w.s];
  w.keys = a.key_len[w.s];
  return w;
}

/* Everything in shared memory, as many heads at once as fit. */
template <int kSteps, bool kWide>
SP_DEVICE void attend_resident(const Launch &a, const Work &w, SharedPtr<sp_bf16> shared,
                               SharedPtr<sp_bf16> zeros) {
  constexpr uint32_t kPitch = sp_attention_pitch<kSteps>;
  const uint32_t tiles = (w.rows + SP_ATTENTION_ROWS - 1) / SP_ATTENTION_ROWS;
  const uint32_t fit = sp_least(w.heads, PLACES / (w.rows + 2 * w.keys));
  const uint32_t rounds = (w.heads + fit - 1) / fit, at_once = (w.heads + rounds - 1) / rounds;
  for (uint32_t done = 0; done < w.heads; done += at_once) {
    const uint32_t head = w.head + done, heads = sp_least(at_once, w.heads - done);
    const uint32_t units = heads * tiles;
    SharedPtr<sp_bf16> q = shared, k = q + heads * w.rows * kPitch;
    SharedPtr<sp_bf16> v = k + heads * w.keys * kPitch;
    sp_sync_threads(); /* the zeros are there; the last round is read */
    SP_UNROLL_BY(1)    /* one loop's code for the three */
    for (uint32_t part = 0; part < 3; part++) {
      const uint32_t stride = part == 0 ? a.q_stride : a.kv_stride;
      load_rows<kSteps, kWide>(
          a, Rows{part == 0   ? a.q
                  : part == 1 ? a.k
                              : a.v,
                  stride, part == 0 ? sp_query_slots(a, w.row0) : sp_key_slots(a, w.s, w.key0), 0,
                  part == 0 ? w.rows : w.keys, head, heads,
                  part == 0   ? q
                  : part == 1 ? k
                              : v});
    }
    sp_cp_async_commit();
    /* Words of the mask come while rows do, and the next tile's while one is stored. */
    uint32_t unit = (uint32_t)sp_warp();
    sp_seen seen = {};
    if (unit < units) {
      seen = sp_seen_words(a, w.s, w.row0, w.rows, unit % tiles, w.keys, 0);
    }
    sp_cp_async_wait<0>();
    sp_sync_threads();
    for (; unit < units; unit += WARPS) {
      const uint32_t h = unit / tiles, tile = unit % tiles, first = tile * SP_ATTENTION_ROWS;
      sp_attention_tile<kSteps> t;
      t.begin(q + (h * w.rows + first) * kPitch, w.rows - first, zeros);
      for (uint32_t key = 0;;) {
        SharedPtr<sp_bf16> at = k + (h * w.keys + key) * kPitch;
        t.add_keys(at, at + heads * w.keys * kPitch, sp_least(w.keys - key, SP_ATTENTION_KEYS),
                   seen, a.scale, key == 0);
        key += SP_ATTENTION_KEYS;
        if (key >= w.keys) {
          break;
        }
        seen = sp_seen_words(a, w.s, w.row0, w.rows, tile, w.keys, key / SP_ATTENTION_KEYS);
      }
      if (unit + WARPS < units) {
        seen = sp_seen_words(a, w.s, w.row0, w.rows, (unit + WARPS) % tiles, w.keys, 0);
      }
      t.template store<kWide>(a, w.row0 + first, head + h);
    }
  }
}

/* One pass of query rows of one head over key tiles in a ring of two. */
template <int kSteps, bool kWide>
SP_DEVICE void attend_pass(const Launch &a, const Work &w, uint32_t head, uint32_t first,
                           SharedPtr<sp_bf16> shared, SharedPtr<sp_bf16> zeros) {
  constexpr uint32_t kPitch = sp_attention_pitch<kSteps>, kTile = SP_ATTENTION_KEYS * kPitch;
  const uint32_t rows = sp_least(w.rows - first, PASS);
  const uint32_t tiles = w.keys == 0 ? 1 : (w.keys + SP_ATTENTION_KEYS - 1) / SP_ATTENTION_KEYS;
  const uint32_t mine = (uint32_t)sp_warp() * SP_ATTENTION_ROWS;
  SharedPtr<sp_bf16> ring = shared + PASS * kPitch;
  auto load_keys = [&](uint32_t tile) {
    uint32_t at = tile * SP_ATTENTION_KEYS, keys = sp_least(w.keys - at, SP_ATTENTION_KEYS);
    SharedPtr<sp_bf16> to = ring + tile % 2 * 2 * kTile;
    SP_UNROLL_BY(1)
    for (uint32_t part = 0; part < 2; part++) {
      load_rows<kSteps, kWide>(
          a, Rows{part == 0 ? a.k : a.v, a.kv_stride, sp_key_slots(a, w.s, w.key0), at, keys, head,
                  1, to + part * kTile});
    }
    sp_cp_async_commit();
  };
  sp_sync_threads(); /* the zeros are there; the last pass is read */
  load_rows<kSteps, kWide>(
      a, Rows{a.q, a.q_stride, sp_query_slots(a, w.row0), first, rows, head, 1, shared});
  load_keys(0);
  sp_attention_tile<kSteps> t;
  t.begin(shared + sp_least(mine, rows) * kPitch, rows - sp_least(mine, rows), zeros);
  for (uint32_t tile = 0; tile < tiles; tile++) {
    if (tile + 1 < tiles) {
      load_keys(tile + 1);
      sp_cp_async_wait<1>();
    } else {
      sp_cp_async_wait<0>();
    }
    sp_sync_threads();
    if (mine < rows) {
      uint32_t at = tile * SP_ATTENTION_KEYS;
      SharedPtr<sp_bf16> k = ring + tile % 2 * 2 * kTile;
      sp_seen seen = sp_seen_words(a, w.s, w.row0 + first, rows, (uint32_t)sp_warp(), w.keys, tile);
      t.add_keys(k, k + kTile, sp_least(w.keys - at, SP_ATTENTION_KEYS), seen, a.scale, tile == 0);
    }
    sp_sync_threads(); /* the tile is read; the next but one goes there */
  }
  if (mine < rows) {
    t.template store<kWide>(a, w.row0 + first + mine, head);
  }
}

/* Blocks of a multiprocessor that registers must allow. */
constexpr unsigned blocks_of(int steps) {
  return steps > 4 ? 2 : steps == 4 ? 3 : 4;
}

template <int kSteps, bool kWide>
__global__ void __launch_bounds__(THREADS, blocks_of(kSteps)) attention_kernel(const Launch a) {
  constexpr uint32_t kPitch = sp_attention_pitch<kSteps>;
  const Work w = work_of(a);
  if (w.rows == 0) {
    return;
  }
  SharedPtr<sp_bf16> shared = sp_shared<sp_bf16>(0, (PLACES + 1) * kPitch);
  SharedPtr<sp_bf16> zeros = shared + PLACES * kPitch;
  for (uint32_t i = threadIdx.x; i < PLACES; i += THREADS) {
    for (uint32_t j = a.head_dim; j < kPitch - 8; j++) { /* columns that no load writes */
      shared[i * kPitch + j] = sp_bf16{0};
    }
  }
  for (uint32_t i = threadIdx.x; i < kPitch; i += THREADS) {
    zeros[i] = sp_bf16{0};
  }
  if (w.rows + 2 * w.keys <= PLACES) {
    attend_resident<kSteps, kWide>(a, w, shared, zeros);
    return;
  }
  for (uint32_t head = w.head; head < w.head + w.heads; head++) {
    for (uint32_t first = 0; first < w.rows; first += PASS) {
      attend_pass<kSteps, kWide>(a, w, head, first, shared, zeros);
    }
  }
}

/* Elements of a load: what every row of every head keeps aligned. */
uint32_t width_of(const sp_attention_args &args) {
  const uintptr_t starts =
      reinterpret_cast<uintptr_t>(args.q) | reinterpret_cast<uintptr_t>(args.k) |
      reinterpret_cast<uintptr_t>(args.v) | reinterpret_cast<uintptr_t>(args.out);
  const size_t steps = args.head_dim | args.q_stride | args.kv_stride;
  for (uint32_t width : {8u, 2u}) {
    if (starts % (2 * width) == 0 && steps % width == 0) {
      return width;
    }
  }
  return 1;
}

template <int kSteps>
cudaError_t launch(cudaStream_t stream, const Launch &a, dim3 grid) {
  const size_t shared = (PLACES + 1) * sp_attention_pitch<kSteps> * sizeof(sp_bf16);
  const dim3 block(THREADS);
  return a.width == 8
             ? SP_LAUNCH((attention_kernel<kSteps, true>), grid, block, shared, stream, a)
             : SP_LAUNCH((attention_kernel<kSteps, false>), grid, block, shared, stream, a);
}

/* Heads of a block and parts of the rows: fewer and more where few blocks would run. */
dim3 grid_of(size_t sequences, size_t heads, uint32_t *block_heads) {
  size_t per_block = HEADS, parts = 1;
  while (per_block > 1 && sequences * ((heads + per_block - 1) / per_block) < ENOUGH_BLOCKS) {
    per_block /= 2;
  }
  size_t groups = (heads + per_block - 1) / per_block;
  while (parts < PARTS && sequences * groups * parts < ENOUGH_BLOCKS) {
    parts *= 2;
  }
  *block_heads = (uint32_t)per_block;
  return dim3((unsigned)sequences, (unsigned)groups, (unsigned)parts);
}

bool in_limits(const sp_attention_args &args) {
  const size_t most = 0x7fffffff;
  return args.head_dim > 0 && args.head_dim <= SP_CUDA_MAX_HEAD_DIM && args.heads > 0 &&
         args.heads <= 65535 && args.sequences <= most && args.q_stride <= most &&
         args.kv_stride <= most;
}

}  // namespace

cudaError_t sp_cuda_attention(cudaStream_t stream, bool bf16, const sp_attention_args *args) {
  if (!in_limits(*args)) {
    return cudaErrorInvalidValue;
  }
  if (args->sequences == 0) {
    return cudaSuccess;
  }
  if (!bf16) {
    return sp_attention_f32(stream, *args);
  }
  Launch a = {};
  a.q = static_cast<const sp_bf16 *>(args->q);
  a.k = static_cast<const sp_bf16 *>(args->k);
  a.v = static_cast<const sp_bf16 *>(args->v);
  a.out = static_cast<sp_bf16 *>(args->out);
  a.row_start = args->row_start;
  a.q_row = args->q_row;
  a.key_start = args->key_start;
  a.key_len = args->key_len;
  a.key_row = args->key_row;
  a.key_split = args->key_split;
  a.key_own = args->key_own;
  a.mask = args->mask;
  a.mask_start = args->mask_start;
  a.q_stride = (uint32_t)args->q_stride;
  a.kv_stride = (uint32_t)args->kv_stride;
  a.heads = (uint32_t)args->heads;
  a.head_dim = (uint32_t)args->head_dim;
  a.width = width_of(*args);
  a.scale = (float)(1.4426950408889634 / sqrt((double)args->head_dim));
  const dim3 grid = grid_of(args->sequences, args->heads, &a.block_heads);
  switch ((args->head_dim + 15) / 16) {
    case 1:
      return launch<1>(stream, a, grid);
    case 2:
      return launch<2>(stream, a, grid);
    case 3:
      return launch<3>(stream, a, grid);
    case 4:
      return launch<4>(stream, a, grid);
    case 5:
      return launch<5>(stream, a, grid);
    case 6:
      return launch<6>(stream, a, grid);
    default:
      return launch<8>(stream, a, grid);
  }
}
