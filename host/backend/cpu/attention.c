/* attention.c - out[r] = sum_j softmax_j(q[r] k[j] / sqrt(head_dim)) v[j] over the keys j that row
 * r sees.
 *
 * Shapes    see struct sp_attention_args; head_dim <= SP_CPU_HEAD_DIM_MAX
 * Parallel  the calling thread alone: sequence, head, SP_CPU_QUERY_TILE query rows, then key tiles
 *           of SP_CPU_KEY_TILE keys from the sequence's first token: one mask word a row and tile.
 *           Keys of a tile are transposed once, so that lanes are keys in the scores and dimensions
 *           in the output; both are block products (micro.h)
 * Numerics  f32 inside; a running maximum and sum over key tiles, one tile being the plain softmax.
 *           An absent key's weight is exactly 0, and a tile that a row does not see changes
 * nothing: its factor is exactly 1.  A row's bits do not depend on the rows beside it Bound
 * arithmetic in f32 and one exp a score */
#include <math.h>

#include "kernels.h"
#include "micro.h"
#include "vec_math.h"

enum { KEYS = SP_CPU_KEY_TILE, QUERIES = SP_CPU_QUERY_TILE };

/* The stream's scratch for one head, one tile of queries and one tile of keys. `width` is head_dim
 * rounded up to SP_MICRO_COLUMNS. */
struct tile {
  float *q;      /* (QUERIES, width) scaled */
  float *out;    /* (QUERIES, width) sums of weights times values */
  float *k;      /* (head_dim, KEYS) transposed */
  float *v;      /* (KEYS, width) */
  float *weight; /* (QUERIES, KEYS) scores, then weights */
  float *top;    /* (QUERIES) running maximum */
  float *sum;    /* (QUERIES) running sum of weights */
  size_t width, rows, keys;
};

static struct tile tile_of(float *scratch, size_t head_dim) {
  struct tile t;
  t.q = scratch;
  t.out = t.q + QUERIES * SP_CPU_HEAD_DIM_MAX;
  t.k = t.out + QUERIES * SP_CPU_HEAD_DIM_MAX;
  t.v = t.k + KEYS * SP_CPU_HEAD_DIM_MAX;
  t.weight = t.v + KEYS * SP_CPU_HEAD_DIM_MAX;
  t.top = t.weight + QUERIES * KEYS;
  t.sum = t.top + QUERIES;
  t.width = (head_dim + SP_MICRO_COLUMNS - 1) / SP_MICRO_COLUMNS * SP_MICRO_COLUMNS;
  t.rows = t.keys = 0;
  return t;
}

/* (rows, n) elements at `at`, with `stride`, as f32 times `scale` into rows of `width`. */
static void load_rows(const void *from, size_t at, size_t stride, bool bf16, size_t rows, size_t n,
                      float scale, float *to, size_t width) {
  vf factor = vf_splat(scale);
  for (size_t r = 0; r < rows; r++, at += stride, to += width) {
    for (size_t i = 0; i < n; i += SP_LANES) {
      size_t lanes = n - i < SP_LANES ? n - i : SP_LANES;
      vf_store(to + i, vf_load_act(from, at + i, bf16, lanes) * factor);
    }
  }
}

/* (rows, n) elements transposed into (n, KEYS). */
static void load_transposed(const void *from, size_t at, size_t stride, bool bf16, size_t rows,
                            size_t n, float *to) {
  for (size_t r = 0; r < rows; r++, at += stride) {
    for (size_t i = 0; i < n; i += SP_LANES) {
      size_t lanes = n - i < SP_LANES ? n - i : SP_LANES;
      float part[SP_LANES];
      vf_store(part, vf_load_act(from, at + i, bf16, lanes));
      for (size_t l = 0; l < lanes; l++) {
        to[(i + l) * KEYS + r] = part[l];
      }
    }
  }
}

/* Scores of one row to weights; `seen` has bit j set where the row sees key j of the tile. Returns
 * the factor by which what was summed before has to be scaled. */
SP_VEC_INLINE float weigh_row(float *weight, size_t vectors, uint64_t seen, float *top,
                              float *sum) {
  const vi lane = vi_lane_numbers();
  vf best = vf_splat(-INFINITY);
  vf score[KEYS / SP_LANES];
  for (size_t i = 0; i < vectors; i++) {
    vu bits = (vu){0} + (uint32_t)(seen >> (i * SP_LANES));
    vi present = (vi)((bits >> (vu)lane) & 1u) != 0;
    score[i] = vf_select(present, vf_load(weight + i * SP_LANES), vf_splat(-INFINITY));
    best = vf_max(score[i], best);
  }
  float before = *top;
  float now = vf_max_lane(best);
  now = now > before ? now : before;
  float center = now == -INFINITY ? 0.0f : now;
  vf total = {0};
  for (size_t i = 0; i < vectors; i++) {
    vf w = vf_exp(score[i] - center);
    vf_store(weight + i * SP_LANES, w);
    total += w;
  }
  float factor = vf_exp(vf_splat(before - center))[0];
  *sum = *sum * factor + vf_sum(total);
  *top = now;
  return factor;
}

static uint64_t seen_bits(const struct sp_attention_args *args, size_t s, size_t row, size_t key0) {
  size_t len = args->key_len[s];
  uint64_t inside = len - key0 >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << (len - key0)) - 1;
  if (!args->mask) {
    return inside;
  }
  size_t words = (len + 63) / 64;
  size_t at = args->mask_start[s] + args->row_position[row] * words + key0 / 64;
  return args->mask[at] & inside;
}

/* One tile of keys, which starts at key0 of sequence s, for the tile's queries from row0. */
static void add_keys(const struct sp_attention_args *args, struct tile *t, size_t s, size_t row0,
                     size_t key0) {
  struct sp_micro score = {.a = t->q,
                           .b = t->k,
                           .c = t->weight,
                           .a_stride = t->width,
                           .b_stride = KEYS,
                           .c_stride = KEYS,
                           .depth = args->head_dim};
  sp_micro_block(score, t->rows, t->keys);
  size_t vectors = (t->keys + SP_LANES - 1) / SP_LANES;
  for (size_t r = 0; r < t->rows; r++) {
    uint64_t seen = seen_bits(args, s, row0 + r, key0);
    float factor = weigh_row(t->weight + r * KEYS, vectors, seen, &t->top[r], &t->sum[r]);
    for (size_t i = 0; key0 > 0 && i < t->width; i += SP_LANES) {
      float *out = t->out + r * t->width + i;
      vf_store(out, vf_load(out) * factor);
    }
  }
  struct sp_micro mix = {.a = t->weight,
                         .b = t->v,
                         .c = t->out,
                         .a_stride = KEYS,
                         .b_stride = t->width,
                         .c_stride = t->width,
                         .depth = t->keys,
                         .add = key0 > 0};
  sp_micro_block(mix, t->rows, t->width);
}

static void store_rows(const struct sp_attention_args *args, const struct tile *t, size_t row0,
                       size_t head, bool bf16) {
  for (size_t r = 0; r < t->rows; r++) {
    bool sees = t->sum[r] > 0.0f;
    vf scale = vf_splat(1.0f / t->sum[r]);
    size_t at = ((row0 + r) * args->heads + head) * args->head_dim;
    for (size_t i = 0; i < args->head_dim; i += SP_LANES) {
      size_t n = args->head_dim - i < SP_LANES ? args->head_dim - i : SP_LANES;
      vf y = vf_load(t->out + r * t->width + i) * scale;
      vf_store_act(args->out, at + i, bf16, n, sees ? y : (vf){0});
    }
  }
}

/* Queries [row0, row0 + t->rows) of sequence s in one head. */
static void attend(const struct sp_attention_args *args, struct tile *t, size_t s, size_t row0,
                   size_t head, bool bf16) {
  size_t dim = args->head_dim;
  load_rows(args->q, row0 * args->q_stride + head * dim, args->q_stride, bf16, t->rows, dim,
            1.0f / sqrtf((float)dim), t->q, t->width);
  for (size_t r = 0; r < t->rows; r++) {
    t->top[r] = -INFINITY;
    t->sum[r] = 0;
  }
  for (size_t key0 = 0; key0 < args->key_len[s]; key0 += KEYS) {
    size_t left = args->key_len[s] - key0;
    size_t at = (args->key_start[s] + key0) * args->kv_stride + head * dim;
    t->keys = left < KEYS ? left : KEYS;
    load_transposed(args->k, at, args->kv_stride, bf16, t->keys, dim, t->k);
    load_rows(args->v, at, args->kv_stride, bf16, t->keys, dim, 1.0f, t->v, t->width);
    add_keys(args, t, s, row0, key0);
  }
  store_rows(args, t, row0, head, bf16);
}

enum sp_status SP_ISA_NAME(sp_cpu_attention)(struct sp_stream *stream,
                                             const struct sp_attention_args *args,
                                             struct sp_error *err) {
  if (args->head_dim > SP_CPU_HEAD_DIM_MAX) {
    return sp_fail(err, SP_EMODEL, "attention heads of %zu dimensions; at most %d are supported",
                   args->head_dim, SP_CPU_HEAD_DIM_MAX);
  }
  bool bf16 = stream->device->base.compute == SP_COMPUTE_BF16;
  struct tile t = tile_of(stream->attention, args->head_dim);
  for (size_t s = 0; s < args->sequences; s++) {
    size_t end = args->row_start[s + 1];
    for (size_t row0 = args->row_start[s]; row0 < end; row0 += QUERIES) {
      t.rows = end - row0 < QUERIES ? end - row0 : QUERIES;
      for (size_t head = 0; head < args->heads; head++) {
        attend(args, &t, s, row0, head, bf16);
      }
    }
  }
  return SP_OK;
}
