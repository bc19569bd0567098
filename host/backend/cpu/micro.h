/* micro.h - the block product that attention and the portable matrix product are made of.
 *
 * c (rows, 2 registers) = [c +] a (rows, depth) b (depth, 2 registers), rows <= SP_MICRO_ROWS.
 * Every element is summed over depth in order, by itself: its bits do not depend on `rows`.  a may
 * lie transposed, as (depth, rows).  Where SP_BF16 is defined, a and b may be of pairs of bf16, two
 * neighbours along the summed dimension in the place of a float. */
#ifndef SP_CPU_MICRO_H
#define SP_CPU_MICRO_H

#include "vec.h"

#define SP_MICRO_COLUMNS (2 * SP_LANES)
#if SP_LANES == 16
#define SP_MICRO_ROWS 8
#else
#define SP_MICRO_ROWS 6
#endif

struct sp_micro {
  const float *a, *b;
  float *c;
  size_t a_stride, b_stride, c_stride; /* floats from one row to the next */
  size_t depth;
  bool add;        /* to what c holds */
  bool transposed; /* a_stride is then from one of a's columns to the next */
  bool pairs;      /* neither added nor transposed */
  float scale;     /* of pairs: c = scale a b */
};

SP_VEC_INLINE vf sp_micro_step(const bool pairs, const float *a, vf b, vf sum) {
#if SP_BF16
  if (pairs) {
    uint32_t pair;
    memcpy(&pair, a, sizeof pair);
    return vf_dot_pairs((vf)((vu){0} + pair), b, sum);
  }
#endif
  (void)pairs;
  return vf_fma(vf_splat(*a), b, sum);
}

SP_VEC_INLINE void sp_micro_rows(const size_t rows, const bool transposed, const bool pairs,
                                 const struct sp_micro *m) {
  vf sum[SP_MICRO_ROWS][2];
  for (size_t r = 0; r < rows; r++) {
    sum[r][0] = m->add ? vf_load(m->c + r * m->c_stride) : (vf){0};
    sum[r][1] = m->add ? vf_load(m->c + r * m->c_stride + SP_LANES) : (vf){0};
  }
  const float *a = m->a;
  const float *b = m->b;
  for (size_t i = 0; i < m->depth; i++, b += m->b_stride) {
    vf b0 = vf_load(b);
    vf b1 = vf_load(b + SP_LANES);
    for (size_t r = 0; r < rows; r++) {
      const float *x = a + (transposed ? i * m->a_stride + r : r * m->a_stride + i);
      sum[r][0] = sp_micro_step(pairs, x, b0, sum[r][0]);
      sum[r][1] = sp_micro_step(pairs, x, b1, sum[r][1]);
    }
  }
  for (size_t r = 0; r < rows; r++) {
    vf_store(m->c + r * m->c_stride, pairs ? sum[r][0] * m->scale : sum[r][0]);
    vf_store(m->c + r * m->c_stride + SP_LANES, pairs ? sum[r][1] * m->scale : sum[r][1]);
  }
}

SP_VEC_INLINE void sp_micro_choose(size_t rows, const bool transposed, const bool pairs,
                                   const struct sp_micro *m) {
  switch (rows) {
#if SP_MICRO_ROWS == 8
    case 8:
      sp_micro_rows(8, transposed, pairs, m);
      break;
    case 7:
      sp_micro_rows(7, transposed, pairs, m);
      break;
#endif
    case 6:
      sp_micro_rows(6, transposed, pairs, m);
      break;
    case 5:
      sp_micro_rows(5, transposed, pairs, m);
      break;
    case 4:
      sp_micro_rows(4, transposed, pairs, m);
      break;
    case 3:
      sp_micro_rows(3, transposed, pairs, m);
      break;
    case 2:
      sp_micro_rows(2, transposed, pairs, m);
      break;
    default:
      sp_micro_rows(1, transposed, pairs, m);
      break;
  }
}

static inline void sp_micro_run(size_t rows, const struct sp_micro *m) {
  sp_micro_choose(rows, false, false, m);
}

static inline void sp_micro_run_transposed(size_t rows, const struct sp_micro *m) {
  sp_micro_choose(rows, true, false, m);
}

static inline void sp_micro_run_pairs(size_t rows, const struct sp_micro *m) {
  sp_micro_choose(rows, false, true, m);
}

/* c (rows, columns) over any number of rows; columns rounded up to SP_MICRO_COLUMNS. */
static inline void sp_micro_block(struct sp_micro m, size_t rows, size_t columns) {
  for (size_t r = 0; r < rows; r += SP_MICRO_ROWS) {
    struct sp_micro part = m;
    size_t now = rows - r < SP_MICRO_ROWS ? rows - r : SP_MICRO_ROWS;
    part.a += m.transposed ? r : r * m.a_stride;
    for (size_t c = 0; c < columns; c += SP_MICRO_COLUMNS) {
      part.b = m.b + c;
      part.c = m.c + r * m.c_stride + c;
      if (m.pairs) {
        sp_micro_run_pairs(now, &part);
      } else if (m.transposed) {
        sp_micro_run_transposed(now, &part);
      } else {
        sp_micro_run(now, &part);
      }
    }
  }
}

#endif
