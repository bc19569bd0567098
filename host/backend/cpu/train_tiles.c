/* train_tiles.c - activations, their derivatives, layouts and softmax of a tile of rows.
 *
 * Parallel  the calling thread alone
 * Numerics  f32 inside, rounded once on the way out; a row's values do not depend on the others.  Sums
 *           over rows are taken in their order, one lane a column
 * Bound     arithmetic: one or two exps an element; layouts: loads and stores of the near caches */
#include "train_tiles.h"

#include <math.h>
#include <string.h>

#include "train_kernels.h"
#include "vec_math.h"

SP_VEC_INLINE void activate_typed(enum sp_activation activation, const void *pre, bool bf16,
                                  size_t count, void *out, bool out_bf16) {
  size_t i = 0;
  for (; i + SP_LANES <= count; i += SP_LANES) {
    vf x = vf_load_act(pre, i, bf16, SP_LANES);
    vf_store_act(out, i, out_bf16, SP_LANES, vf_activate(activation, x));
  }
  if (i < count) {
    vf x = vf_load_act(pre, i, bf16, count - i);
    vf_store_act(out, i, out_bf16, count - i, vf_activate(activation, x));
  }
}

static void activate(enum sp_activation activation, const void *pre, bool bf16, size_t count,
                     void *out, bool out_bf16) {
  if (bf16 && out_bf16 && activation == SP_ACT_GELU_ERF) {
    activate_typed(SP_ACT_GELU_ERF, pre, true, count, out, true);
  } else if (bf16 && out_bf16 && activation == SP_ACT_GELU_TANH) {
    activate_typed(SP_ACT_GELU_TANH, pre, true, count, out, true);
  } else {
    activate_typed(activation, pre, bf16, count, out, out_bf16);
  }
}

/* `lanes` columns of row r from j on. */
SP_VEC_INLINE void gradient_part(const struct sp_tile_gradient *g, enum sp_activation activation,
                                 bool bf16, bool d_out_bf16, size_t r, size_t j, size_t lanes) {
  size_t at = r * g->n + j;
  vf d = vf_load_act(g->d_out, at, d_out_bf16, lanes);
  if (activation != SP_ACT_NONE) {
    d *= vf_activate_slope(activation, vf_load_act(g->pre, at, bf16, lanes));
  }
  if (g->d_pre) {
    vf_store_act(g->d_pre, at, bf16, lanes, d);
  }
  vf_store_some(g->sums + j, lanes, vf_load_some(g->sums + j, lanes) + d);
}

SP_VEC_INLINE void gradient_typed(const struct sp_tile_gradient *g, enum sp_activation activation,
                                  bool bf16, bool d_out_bf16) {
  memset(g->sums, 0, g->n * sizeof *g->sums);
  for (size_t r = 0; r < g->rows; r++) {
    size_t j = 0;
    for (; j + SP_LANES <= g->n; j += SP_LANES) {
      gradient_part(g, activation, bf16, d_out_bf16, r, j, SP_LANES);
    }
    if (j < g->n) {
      gradient_part(g, activation, bf16, d_out_bf16, r, j, g->n - j);
    }
  }
}

static void gradient(const struct sp_tile_gradient *g) {
  bool both = g->bf16 && g->d_out_bf16;
  if (both && g->activation == SP_ACT_NONE) {
    gradient_typed(g, SP_ACT_NONE, true, true);
  } else if (both && g->activation == SP_ACT_GELU_ERF) {
    gradient_typed(g, SP_ACT_GELU_ERF, true, true);
  } else if (both && g->activation == SP_ACT_GELU_TANH) {
    gradient_typed(g, SP_ACT_GELU_TANH, true, true);
  } else if (g->bf16 && g->activation == SP_ACT_NONE) {
    gradient_typed(g, SP_ACT_NONE, true, false);
  } else {
    gradient_typed(g, g->activation, g->bf16, g->d_out_bf16);
  }
}

/* Rows r and r + 1 of `n` bf16 elements, columns from j on, as pairs of one lane each. */
SP_VEC_INLINE vf load_pair(const uint16_t *from, size_t rows, size_t r, size_t n, size_t j,
                           size_t lanes) {
  vu pair = {0};
  if (r < rows) {
    pair = (vu)vf_load_act(from, r * n + j, true, lanes) >> 16;
  }
  if (r + 1 < rows) {
    pair |= (vu)vf_load_act(from, (r + 1) * n + j, true, lanes);
  }
  return (vf)pair;
}

/* Rows of a wide matrix lie too far apart for the processor to foresee the next ones. */
SP_VEC_INLINE void fetch_pair(const uint16_t *from, size_t rows, size_t r, size_t n, size_t j) {
  if (r + 1 < rows) {
    __builtin_prefetch(from + r * n + j);
    __builtin_prefetch(from + (r + 1) * n + j);
  }
}

/* Columns [j, j + lanes) of 2 SP_LANES rows from r on: a register holds two rows of a column in each lane,
 * so that one transposition moves twice as many. */
SP_VEC_INLINE void turn_pairs(const uint16_t *from, size_t rows, size_t r, size_t n, size_t j,
                              size_t lanes, uint16_t *to, size_t stride) {
  vf square[SP_LANES];
  for (size_t i = 0; i < SP_LANES; i++) {
    square[i] = load_pair(from, rows, r + 2 * i, n, j, lanes);
    fetch_pair(from, rows, r + 2 * (SP_LANES + i), n, j);
  }
  vf_transpose(square);
  for (size_t i = 0; i < SP_LANES && i < lanes; i++) {
    memcpy(to + (j + i) * stride + r, &square[i], sizeof square[i]);
  }
}

/* The same of SP_LANES rows to f32. */
SP_VEC_INLINE void turn_floats(const void *from, bool bf16, size_t rows, size_t r, size_t n,
                               size_t j, size_t lanes, float *to, size_t stride) {
  vf square[SP_LANES];
  for (size_t i = 0; i < SP_LANES; i++) {
    square[i] = r + i < rows ? vf_load_act(from, (r + i) * n + j, bf16, lanes) : (vf){0};
  }
  vf_transpose(square);
  for (size_t i = 0; i < SP_LANES && i < lanes; i++) {
    vf_store(to + (j + i) * stride + r, square[i]);
  }
}

static void turn(const struct sp_row_layout *layout, const void *from, bool bf16,
                 size_t from_stride, size_t rows, size_t room, size_t n, void *to,
                 size_t to_stride) {
  size_t step = layout->bf16 ? 2 * SP_LANES : SP_LANES; /* both divide a tile */
  for (size_t r = 0; r < room; r += step) {
    for (size_t j = 0; j < n; j += SP_LANES) {
      size_t lanes = n - j < SP_LANES ? n - j : SP_LANES;
      if (layout->bf16 && lanes == SP_LANES) {
        turn_pairs(from, rows, r, from_stride, j, SP_LANES, to, to_stride);
      } else if (layout->bf16) {
        turn_pairs(from, rows, r, from_stride, j, lanes, to, to_stride);
      } else {
        turn_floats(from, bf16, rows, r, from_stride, j, lanes, to, to_stride);
      }
    }
  }
}

enum { PAIR_COLUMNS = 64 };

static void pack_pairs(const uint16_t *from, size_t rows, size_t room, size_t n, uint16_t *to,
                       size_t k, size_t at) {
  for (size_t j0 = 0; j0 < n; j0 += PAIR_COLUMNS) {
    uint16_t *block = to + (j0 / PAIR_COLUMNS * (k / 2) + at / 2) * 2 * PAIR_COLUMNS;
    for (size_t r = 0; r < room; r += 2, block += 2 * PAIR_COLUMNS) {
      for (size_t c = 0; c < PAIR_COLUMNS; c += SP_LANES) {
        size_t j = j0 + c;
        vf pair = {0};
        if (j + SP_LANES <= n) {
          pair = load_pair(from, rows, r, n, j, SP_LANES);
        } else if (j < n) {
          pair = load_pair(from, rows, r, n, j, n - j);
        }
        memcpy(block + 2 * c, &pair, sizeof pair);
      }
    }
  }
}

static void pack_plain(const struct sp_row_layout *layout, const void *from, bool bf16, size_t rows,
                       size_t room, size_t n, void *to, size_t at) {
  size_t bytes = layout->bf16 ? 2 : 4;
  size_t columns = (n + layout->quantum - 1) / layout->quantum * layout->quantum;
  for (size_t r = 0; r < room; r++) {
    char *row = (char *)to + (at + r) * columns * bytes;
    memset(row, 0, columns * bytes);
    for (size_t j = 0; r < rows && j < n; j += SP_LANES) {
      size_t lanes = n - j < SP_LANES ? n - j : SP_LANES;
      vf_store_act(row, j, layout->bf16, lanes, vf_load_act(from, r * n + j, bf16, lanes));
    }
  }
}

static void pack(const struct sp_row_layout *layout, const void *from, bool bf16, size_t rows,
                 size_t room, size_t n, void *to, size_t k, size_t at) {
  if (layout->pairs) {
    pack_pairs(from, rows, room, n, to, k, at);
  } else {
    pack_plain(layout, from, bf16, rows, room, n, to, at);
  }
}

/* Adds the bias to a row and returns its greatest. */
static float add_bias(float *logits, const float *bias, size_t n) {
  vf best = vf_splat(-INFINITY);
  size_t i = 0;
  for (; i + SP_LANES <= n; i += SP_LANES) {
    vf x = vf_load(logits + i) + vf_load(bias + i);
    vf_store(logits + i, x);
    best = vf_max(best, x);
  }
  float top = vf_max_lane(best);
  for (; i < n; i++) {
    logits[i] += bias[i];
    top = top > logits[i] ? top : logits[i];
  }
  return top;
}

SP_VEC_INLINE float exponents_row(const float *logits, size_t n, size_t stride, float top,
                                  bool bf16, void *e, size_t at) {
  vf sum = {0};
  size_t i = 0;
  for (; i + SP_LANES <= n; i += SP_LANES) {
    vf x = vf_exp(vf_load(logits + i) - top);
    vf_store_act(e, at + i, bf16, SP_LANES, x);
    sum += x;
  }
  for (; i < stride; i += SP_LANES) {
    size_t left = n > i ? n - i : 0;
    size_t lanes = stride - i < SP_LANES ? stride - i : SP_LANES;
    vi inside = vi_lane_numbers() < (int32_t)(left < SP_LANES ? left : SP_LANES);
    vf x = left > 0 ? vf_load_act(logits, i, false, left < lanes ? left : lanes) : (vf){0};
    x = vf_select(inside, vf_exp(x - top), (vf){0});
    vf_store_act(e, at + i, bf16, lanes, x);
    sum += x;
  }
  return vf_sum(sum);
}

static void exponents(const struct sp_tile_logits *t) {
  for (size_t r = 0; r < t->rows; r++) {
    float *logits = t->logits + r * t->stride;
    float top = add_bias(logits, t->bias, t->n);
    t->top[r] = top;
    if (t->bf16) {
      t->sum[r] = exponents_row(logits, t->n, t->stride, top, true, t->e, r * t->stride);
    } else {
      t->sum[r] = exponents_row(logits, t->n, t->stride, top, false, t->e, r * t->stride);
    }
  }
}

static void scale_rows(void *x, bool bf16, size_t rows, size_t n, size_t stride,
                       const float *factor) {
  for (size_t r = 0; r < rows; r++) {
    size_t i = 0;
    for (; i + SP_LANES <= n; i += SP_LANES) {
      size_t at = r * stride + i;
      vf_store_act(x, at, bf16, SP_LANES, vf_load_act(x, at, bf16, SP_LANES) * factor[r]);
    }
    if (i < n) {
      size_t at = r * stride + i;
      vf_store_act(x, at, bf16, n - i, vf_load_act(x, at, bf16, n - i) * factor[r]);
    }
  }
}

const struct sp_cpu_train_tiles SP_ISA_NAME(sp_cpu_train_tiles) = {
    .activate = activate,
    .gradient = gradient,
    .turn = turn,
    .pack = pack,
    .exponents = exponents,
    .scale_rows = scale_rows,
};
