/* attention.c - out[r] = sum_j softmax_j(q[r] k[j] / sqrt(head_dim)) v[j], j the keys that r sees.
 *
 * Shapes    see struct sp_attention_args; head_dim <= SP_CPU_HEAD_DIM_MAX
 * Parallel  the calling thread alone: sequence, head, SP_CPU_QUERY_TILE query rows, then key tiles
 *           of SP_CPU_KEY_TILE keys from the sequence's first token: one mask word a row and tile.
 *           Keys of a tile are transposed once, so that lanes are keys in the scores and dimensions
 *           in the output; both are block products (micro.h)
 * Numerics  f32 inside; a running maximum and sum over key tiles, one tile being the plain softmax.
 *           An absent key's weight is exactly 0, and a tile that a row does not see changes
 *           nothing: its factor is exactly 1.  A row's bits do not depend on the rows beside it
 *
 * Bound     arithmetic in f32 and one exp a score */
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

/* (rows, n) elements of `from`: row r starts at element base + row[r] * stride, or where `row` is NULL
 * at base + r * stride. */
struct block {
  const void *from;
  size_t base, stride, rows, n;
  const uint32_t *row;
};

static inline size_t element(const struct block *b, size_t r) {
  return b->base + (b->row ? b->row[r] : r) * b->stride;
}

/* Asks for the block that starts n elements further on: the next head's. */
SP_VEC_INLINE void prefetch_next(const struct block *b, bool bf16) {
  const size_t bytes = bf16 ? 2 : 4;
  for (size_t r = 0; r < b->rows; r++) {
    const char *row = (const char *)b->from + (element(b, r) + b->n) * bytes;
    for (size_t i = 0; i < b->n * bytes; i += 64) {
      __builtin_prefetch(row + i);
    }
  }
}

/* The block as f32 times `scale` into rows of `width`. */
SP_VEC_INLINE void load_rows(const struct block *b, bool bf16, float scale, float *to,
                             size_t width) {
  vf factor = vf_splat(scale);
  for (size_t r = 0; r < b->rows; r++, to += width) {
    size_t i = 0, at = element(b, r);
    for (; i + SP_LANES <= b->n; i += SP_LANES) {
      vf_store(to + i, vf_load_act(b->from, at + i, bf16, SP_LANES) * factor);
    }
    if (i < b->n) {
      vf_store(to + i, vf_load_act(b->from, at + i, bf16, b->n - i) * factor);
    }
  }
}

/* Rows [r, r + SP_LANES) and columns [i, i + lanes) of the block, transposed. */
SP_VEC_INLINE void load_square(const struct block *b, bool bf16, size_t r, size_t i, size_t lanes,
                               float *to) {
  vf square[SP_LANES];
  for (size_t l = 0; l < SP_LANES; l++) {
    square[l] = (vf){0};
    if (r + l < b->rows) {
      square[l] = vf_load_act(b->from, element(b, r + l) + i, bf16, lanes);
    }
  }
  vf_transpose(square);
  for (size_t l = 0; l < SP_LANES && l < lanes; l++) {
    vf_store(to + (i + l) * KEYS + r, square[l]);
  }
}

/* The block transposed into (n, KEYS); absent rows are zeros up to whole registers. */
SP_VEC_INLINE void load_transposed(const struct block *b, bool bf16, float *to) {
  for (size_t r = 0; r < b->rows; r += SP_LANES) {
    size_t i = 0;
    for (; i + SP_LANES <= b->n; i += SP_LANES) {
      load_square(b, bf16, r, i, SP_LANES, to);
    }
    if (i < b->n) {
      load_square(b, bf16, r, i, b->n - i, to);
    }
  }
}

/* Which keys of the tile from key0 on the row sees. */
static uint64_t seen_bits(const struct sp_attention_args *args, size_t s, size_t row, size_t key0) {
  size_t len = args->key_len[s];
  uint64_t inside = len - key0 >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << (len - key0)) - 1;
  if (!args->mask) {
    return inside;
  }
  size_t words = (len + 63) / 64;
  size_t at = args->mask_start[s] + (row - args->row_start[s]) * words + key0 / 64;
  return args->mask[at] & inside;
}

/* Hides what a row does not see and returns the row's new maximum; `seen` has bit j set where the
 * row sees key j of the tile. */
SP_VEC_INLINE float hide_row(float *score, size_t vectors, uint64_t seen, float top) {
  const vu lane = (vu)vi_lane_numbers();
  vf best = vf_splat(-INFINITY);
  for (size_t i = 0; i < vectors; i++) {
    vu bits = (vu){0} + (uint32_t)(seen >> (i * SP_LANES));
    vi present = (vi)((bits >> lane) & 1u) != 0;
    vf x = vf_select(present, vf_load(score + i * SP_LANES), vf_splat(-INFINITY));
    vf_store(score + i * SP_LANES, x);
    best = vf_max(best, x);
  }
  float now = vf_max_lane(best);
  return now > top ? now : top;
}

/* Scores of a row to weights; returns their sum. */
SP_VEC_INLINE float weigh_row(float *score, size_t vectors, float center) {
  vf sum = {0};
  for (size_t i = 0; i < vectors; i++) {
    vf w = vf_exp(vf_load(score + i * SP_LANES) - center);
    vf_store(score + i * SP_LANES, w);
    sum += w;
  }
  return vf_sum(sum);
}

/* Scales what row r has summed over earlier tiles to its new maximum. */
static void rescale_row(struct tile *t, size_t r, float center) {
  vf factor = vf_exp(vf_splat(t->top[r] - center));
  t->sum[r] *= factor[0];
  for (size_t i = 0; i < t->width; i += SP_LANES) {
    float *out = t->out + r * t->width + i;
    vf_store(out, vf_load(out) * factor);
  }
}

/* One tile of keys, which starts at key0 of sequence s, for the tile's queries from row0.  Maxima
 * and weights are two loops, so that one row's chain does not hold up the next row. */
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
  float top[QUERIES];
  for (size_t r = 0; r < t->rows; r++) {
    uint64_t seen = seen_bits(args, s, row0 + r, key0);
    top[r] = hide_row(t->weight + r * KEYS, vectors, seen, t->top[r]);
  }
  for (size_t r = 0; r < t->rows; r++) {
    float center = top[r] == -INFINITY ? 0.0f : top[r];
    if (key0 > 0) {
      rescale_row(t, r, center);
    }
    t->sum[r] += weigh_row(t->weight + r * KEYS, vectors, center);
    t->top[r] = top[r];
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

SP_VEC_INLINE void store_rows(const struct sp_attention_args *args, const struct tile *t,
                              size_t row0, size_t head, bool bf16) {
  size_t dim = args->head_dim;
  for (size_t r = 0; r < t->rows; r++) {
    const float *from = t->out + r * t->width;
    bool sees = t->sum[r] != 0.0f; /* NaN stays NaN: a row that sees a key sums to 1 or more */
    vf scale = vf_splat(1.0f / t->sum[r]);
    size_t at = ((row0 + r) * args->heads + head) * dim;
    size_t i = 0;
    for (; i + SP_LANES <= dim; i += SP_LANES) {
      vf_store_act(args->out, at + i, bf16, SP_LANES, sees ? vf_load(from + i) * scale : (vf){0});
    }
    if (i < dim) {
      vf_store_act(args->out, at + i, bf16, dim - i, sees ? vf_load(from + i) * scale : (vf){0});
    }
  }
}

/* Rows of the keys [key0, key0 + count) of sequence s, in `room` where they stand in two pieces; NULL:
 * one after the other, from *first on. */
static const uint32_t *key_rows(const struct sp_attention_args *args, size_t s, size_t key0,
                                size_t count, uint32_t *room, size_t *first) {
  *first = 0;
  if (!args->key_row) {
    *first = args->key_start[s] + key0;
    return NULL;
  }
  size_t split = args->key_split[s];
  const uint32_t *shared = args->key_row + args->key_start[s];
  const uint32_t *own = args->key_row + args->key_own[s];
  if (key0 + count <= split) {
    return shared + key0;
  }
  for (size_t j = key0; j < key0 + count; j++) {
    room[j - key0] = j < split ? shared[j] : own[j - split];
  }
  return room;
}

/* Queries [row0, row0 + t->rows) of sequence s in one head. */
SP_VEC_INLINE void attend(const struct sp_attention_args *args, struct tile *t, size_t s,
                          size_t row0, size_t head, bool bf16) {
  size_t dim = args->head_dim;
  struct block q = {args->q, head * dim, args->q_stride, t->rows, dim, NULL};
  if (args->q_row) {
    q.row = args->q_row + row0;
  } else {
    q.base += row0 * args->q_stride;
  }
  prefetch_next(&q, bf16);
  load_rows(&q, bf16, 1.0f / sqrtf((float)dim), t->q, t->width);
  for (size_t r = 0; r < t->rows; r++) {
    t->top[r] = -INFINITY;
    t->sum[r] = 0;
  }
  for (size_t key0 = 0; key0 < args->key_len[s]; key0 += KEYS) {
    size_t left = args->key_len[s] - key0;
    uint32_t room[KEYS];
    size_t first;
    t->keys = left < KEYS ? left : KEYS;
    const uint32_t *row = key_rows(args, s, key0, t->keys, room, &first);
    size_t base = first * args->kv_stride + head * dim;
    struct block k = {args->k, base, args->kv_stride, t->keys, dim, row};
    struct block v = {args->v, base, args->kv_stride, t->keys, dim, row};
    prefetch_next(&k, bf16);
    prefetch_next(&v, bf16);
    load_transposed(&k, bf16, t->k);
    load_rows(&v, bf16, 1.0f, t->v, t->width);
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
        if (bf16) {
          attend(args, &t, s, row0, head, true);
        } else {
          attend(args, &t, s, row0, head, false);
        }
      }
    }
  }
  return SP_OK;
}
