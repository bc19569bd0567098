/* attention_tile.h - one head's tile of queries against a tile of keys: what attention is made of, in
 * scoring and in training.
 *
 * Keys of a tile are transposed once, so that lanes are keys in the scores and dimensions in the
 * output; both are block products (micro.h).
 *
 * Numerics  f32; a running maximum and sum over key tiles, one tile being the plain softmax.  An
 *           absent key's weight is exactly 0, and a tile that a row does not see changes nothing:
 *           its factor is exactly 1.  A row's bits do not depend on the rows beside it */
#ifndef SP_CPU_ATTENTION_TILE_H
#define SP_CPU_ATTENTION_TILE_H

#include <math.h>

#include "device.h"
#include "micro.h"
#include "vec_math.h"

/* `width` is head_dim rounded up to SP_MICRO_COLUMNS. */
struct sp_tile {
  float *q;      /* (SP_CPU_QUERY_TILE, width) scaled */
  float *out;    /* (SP_CPU_QUERY_TILE, width) sums of weights times values */
  float *k;      /* (head_dim, SP_CPU_KEY_TILE) transposed */
  float *v;      /* (SP_CPU_KEY_TILE, width) */
  float *weight; /* (SP_CPU_QUERY_TILE, SP_CPU_KEY_TILE) scores, then weights */
  float *top;    /* (SP_CPU_QUERY_TILE) running maximum */
  float *sum;    /* (SP_CPU_QUERY_TILE) running sum of weights */
  size_t dim, width, rows, keys;
};

/* (rows, n) elements of `from`: row r starts at element base + row[r] * stride, or where `row` is NULL
 * at base + r * stride. */
struct sp_tile_block {
  const void *from;
  size_t base, stride, rows, n;
  const uint32_t *row;
};

static inline size_t sp_tile_element(const struct sp_tile_block *b, size_t r) {
  return b->base + (b->row ? b->row[r] : r) * b->stride;
}

static inline size_t sp_tile_width(size_t head_dim) {
  return (head_dim + SP_MICRO_COLUMNS - 1) / SP_MICRO_COLUMNS * SP_MICRO_COLUMNS;
}

/* The block as f32 times `scale` into rows of `width`, zeros up to the next whole register. */
SP_VEC_INLINE void sp_tile_load_rows(const struct sp_tile_block *b, bool bf16, float scale,
                                     float *to, size_t width) {
  vf factor = vf_splat(scale);
  for (size_t r = 0; r < b->rows; r++, to += width) {
    size_t i = 0, at = sp_tile_element(b, r);
    for (; i + SP_LANES <= b->n; i += SP_LANES) {
      vf_store(to + i, vf_load_act(b->from, at + i, bf16, SP_LANES) * factor);
    }
    if (i < b->n) {
      vf_store(to + i, vf_load_act(b->from, at + i, bf16, b->n - i) * factor);
    }
  }
}

/* Rows [r, r + SP_LANES) and columns [i, i + lanes) of the block, transposed. */
SP_VEC_INLINE void sp_tile_load_square(const struct sp_tile_block *b, bool bf16, size_t r, size_t i,
                                       size_t lanes, float *to) {
  vf square[SP_LANES];
  for (size_t l = 0; l < SP_LANES; l++) {
    square[l] = (vf){0};
    if (r + l < b->rows) {
      square[l] = vf_load_act(b->from, sp_tile_element(b, r + l) + i, bf16, lanes);
    }
  }
  vf_transpose(square);
  for (size_t l = 0; l < SP_LANES && l < lanes; l++) {
    vf_store(to + (i + l) * SP_CPU_KEY_TILE + r, square[l]);
  }
}

/* The block transposed into (n, SP_CPU_KEY_TILE); absent rows are zeros up to whole registers. */
SP_VEC_INLINE void sp_tile_load_transposed(const struct sp_tile_block *b, bool bf16, float *to) {
  for (size_t r = 0; r < b->rows; r += SP_LANES) {
    size_t i = 0;
    for (; i + SP_LANES <= b->n; i += SP_LANES) {
      sp_tile_load_square(b, bf16, r, i, SP_LANES, to);
    }
    if (i < b->n) {
      sp_tile_load_square(b, bf16, r, i, b->n - i, to);
    }
  }
}

/* Which of the keys [key0, min(len, key0 + 64)) a row sees; `mask` holds its words, NULL: all. */
static inline uint64_t sp_tile_seen(const uint64_t *mask, size_t len, size_t key0) {
  uint64_t inside = len - key0 >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << (len - key0)) - 1;
  return mask ? mask[key0 / 64] & inside : inside;
}

/* All ones in the lanes whose bit, from `first` on, is set. */
SP_VEC_INLINE vi sp_tile_present(uint64_t seen, size_t first) {
  vu bits = (vu){0} + (uint32_t)(seen >> first);
  return (vi)((bits >> (vu)vi_lane_numbers()) & 1u) != 0;
}

/* Hides what a row does not see and returns the row's new maximum; `seen` has bit j set where the
 * row sees key j of the tile. */
SP_VEC_INLINE float sp_tile_hide(float *score, size_t vectors, uint64_t seen, float top) {
  vf best = vf_splat(-INFINITY);
  for (size_t i = 0; i < vectors; i++) {
    vi present = sp_tile_present(seen, i * SP_LANES);
    vf x = vf_select(present, vf_load(score + i * SP_LANES), vf_splat(-INFINITY));
    vf_store(score + i * SP_LANES, x);
    best = vf_max(best, x);
  }
  float now = vf_max_lane(best);
  return now > top ? now : top;
}

/* Scores of a row to weights; returns their sum. */
SP_VEC_INLINE float sp_tile_weigh(float *score, size_t vectors, float center) {
  vf sum = {0};
  for (size_t i = 0; i < vectors; i++) {
    vf w = vf_exp(vf_load(score + i * SP_LANES) - center);
    vf_store(score + i * SP_LANES, w);
    sum += w;
  }
  return vf_sum(sum);
}

/* Scales what row r has summed over earlier tiles to its new maximum. */
static inline void sp_tile_rescale(struct sp_tile *t, size_t r, float center) {
  vf factor = vf_exp(vf_splat(t->top[r] - center));
  t->sum[r] *= factor[0];
  for (size_t i = 0; i < t->width; i += SP_LANES) {
    float *out = t->out + r * t->width + i;
    vf_store(out, vf_load(out) * factor);
  }
}

/* Before the first keys of t->rows queries. */
static inline void sp_tile_begin(struct sp_tile *t) {
  for (size_t r = 0; r < t->rows; r++) {
    t->top[r] = -INFINITY;
    t->sum[r] = 0;
  }
}

/* weight = q k. */
static inline void sp_tile_score(struct sp_tile *t) {
  struct sp_micro score = {.a = t->q,
                           .b = t->k,
                           .c = t->weight,
                           .a_stride = t->width,
                           .b_stride = SP_CPU_KEY_TILE,
                           .c_stride = SP_CPU_KEY_TILE,
                           .depth = t->dim};
  sp_micro_block(score, t->rows, t->keys);
}

/* The scored tile into top, sum and out; seen[r] are row r's bits.  `first`: no tile came before.
 * Maxima and weights are two loops, so that one row's chain does not hold up the next row. */
static inline void sp_tile_mix(struct sp_tile *t, const uint64_t *seen, bool first) {
  size_t vectors = (t->keys + SP_LANES - 1) / SP_LANES;
  float top[SP_CPU_QUERY_TILE];
  for (size_t r = 0; r < t->rows; r++) {
    top[r] = sp_tile_hide(t->weight + r * SP_CPU_KEY_TILE, vectors, seen[r], t->top[r]);
  }
  for (size_t r = 0; r < t->rows; r++) {
    float center = top[r] == -INFINITY ? 0.0f : top[r];
    if (!first) {
      sp_tile_rescale(t, r, center);
    }
    t->sum[r] += sp_tile_weigh(t->weight + r * SP_CPU_KEY_TILE, vectors, center);
    t->top[r] = top[r];
  }
  struct sp_micro mix = {.a = t->weight,
                         .b = t->v,
                         .c = t->out,
                         .a_stride = SP_CPU_KEY_TILE,
                         .b_stride = t->width,
                         .c_stride = t->width,
                         .depth = t->keys,
                         .add = !first};
  sp_micro_block(mix, t->rows, t->width);
}

/* A row of f32 times `scale` to act, from element `at` on. */
SP_VEC_INLINE void sp_tile_store_row(const float *from, float scale, size_t dim, void *to,
                                     size_t at, bool bf16) {
  size_t i = 0;
  for (; i + SP_LANES <= dim; i += SP_LANES) {
    vf_store_act(to, at + i, bf16, SP_LANES, vf_load(from + i) * scale);
  }
  if (i < dim) {
    vf_store_act(to, at + i, bf16, dim - i, vf_load(from + i) * scale);
  }
}

/* out / sum to act, from element `at` on, rows `stride` apart; rows that saw nothing are zeros. */
SP_VEC_INLINE void sp_tile_store(const struct sp_tile *t, void *to, size_t at, size_t stride,
                                 bool bf16) {
  const size_t bytes = bf16 ? 2 : 4;
  for (size_t r = 0; r < t->rows; r++, at += stride) {
    if (t->sum[r] == 0.0f) { /* a row that sees a key sums to 1 or more, or NaN */
      memset((char *)to + at * bytes, 0, t->dim * bytes);
    } else {
      sp_tile_store_row(t->out + r * t->width, 1.0f / t->sum[r], t->dim, to, at, bf16);
    }
  }
}

#endif
