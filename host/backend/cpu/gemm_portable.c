/* gemm_portable.c - the matrix product in vector extensions: fallback, scalar head and op oracle.
 *
 * Maths     out[r][j] = activation(sum_i in[r][i] W[j][i] + bias[j])
 * Shapes    W packed as panels of SP_MICRO_COLUMNS columns: panel p holds (K, columns) floats, the
 *           columns beyond N are zero; a run stages its rows as f32 with a padded stride
 * Parallel  the calling thread alone; ROWS rows against one panel at a time, in blocks of K that
 *           keep a panel's slice in the first-level cache
 * Numerics  inputs and weights of the compute type, every element summed in f32 over K in order by
 *           itself: bits do not depend on the number of rows
 * Bound     arithmetic: two loads of W and one broadcast a row for 2 * rows vector multiply-adds */
#include <stdio.h>
#include <stdlib.h>

#include "bf16.h"
#include "checked.h"
#include "kernels.h"
#include "micro.h"
#include "vec_math.h"

enum { ROWS = 64, DEPTH = 256 };

struct portable_gemm {
  struct sp_gemm base;
  size_t panels; /* of one slab */
  float *weight; /* (slabs, panels, K, SP_MICRO_COLUMNS) */
  float *bias;   /* (slabs, panels, SP_MICRO_COLUMNS) */
};

struct sp_gemm_lane {
  float *rows; /* (ROWS, K + SP_CPU_PAD) of the greatest K */
};

static enum sp_status portable_open(struct sp_gemm_context **out, struct sp_error *err) {
  (void)err;
  *out = NULL;
  return SP_OK;
}

static void portable_close(struct sp_gemm_context *context) {
  (void)context;
}

static void portable_describe(char *text, size_t size) {
  snprintf(text, size, "built-in");
}

static void portable_destroy(struct sp_gemm *gemm) {
  struct portable_gemm *portable = (struct portable_gemm *)gemm;
  if (portable) {
    free(portable->weight);
    free(portable->bias);
    free(portable);
  }
}

static void pack_row(const struct portable_gemm *gemm, size_t j, const float *row, float bias) {
  size_t k = gemm->base.spec.k;
  bool bf16 = gemm->base.spec.compute == SP_COMPUTE_BF16;
  size_t slab = j / gemm->base.spec.n;
  size_t column = j % gemm->base.spec.n;
  size_t panel = slab * gemm->panels + column / SP_MICRO_COLUMNS;
  float *to = gemm->weight + panel * k * SP_MICRO_COLUMNS + column % SP_MICRO_COLUMNS;
  for (size_t i = 0; i < k; i++) {
    to[i * SP_MICRO_COLUMNS] = bf16 ? sp_bf16_to_f32(sp_bf16_from_f32(row[i])) : row[i];
  }
  gemm->bias[panel * SP_MICRO_COLUMNS + column % SP_MICRO_COLUMNS] = bias;
}

static enum sp_status portable_create(struct sp_gemm_context *context,
                                      const struct sp_gemm_spec *spec, const float *weight,
                                      const float *bias, size_t total, struct sp_gemm **out,
                                      struct sp_error *err) {
  (void)context;
  struct portable_gemm *gemm = calloc(1, sizeof *gemm);
  if (!gemm) {
    return sp_fail_memory(err, sizeof *gemm);
  }
  gemm->base.spec = *spec;
  gemm->panels = (spec->n + SP_MICRO_COLUMNS - 1) / SP_MICRO_COLUMNS;
  size_t columns = sp_mul_sat(sp_mul_sat(gemm->panels, SP_MICRO_COLUMNS), spec->slabs);
  gemm->weight = sp_cpu_alloc_floats(sp_mul_sat(columns, spec->k));
  gemm->bias = sp_cpu_alloc_floats(columns);
  if (!gemm->weight || !gemm->bias) {
    portable_destroy(&gemm->base);
    return sp_fail_memory(err, sp_mul_sat(sp_mul_sat(columns, spec->k), sizeof(float)));
  }
  for (size_t j = 0; j < total; j++) {
    pack_row(gemm, j, weight + j * spec->k, bias[j]);
  }
  *out = &gemm->base;
  return SP_OK;
}

static void portable_lane_destroy(struct sp_gemm_lane *lane) {
  if (lane) {
    free(lane->rows);
    free(lane);
  }
}

static enum sp_status portable_lane_create(struct sp_gemm_context *context,
                                           const struct sp_gemm *newest, struct sp_gemm_lane **out,
                                           struct sp_error *err) {
  (void)context;
  size_t k = 0;
  for (const struct sp_gemm *gemm = newest; gemm; gemm = gemm->next) {
    k = sp_max_size(k, gemm->spec.k);
  }
  struct sp_gemm_lane *lane = malloc(sizeof *lane);
  size_t floats = ROWS * (sp_round_up(k, SP_CPU_PAD) + SP_CPU_PAD);
  if (!lane || !(lane->rows = sp_cpu_alloc_floats(floats))) {
    free(lane);
    return sp_fail_memory(err, floats * sizeof(float));
  }
  *out = lane;
  return SP_OK;
}

/* Rows as f32, with a stride that does not map all rows to one set of the cache. */
static void stage_rows(const struct sp_gemm_spec *spec, const void *in, size_t rows, float *to,
                       size_t stride) {
  bool bf16 = spec->compute == SP_COMPUTE_BF16;
  for (size_t r = 0; r < rows; r++) {
    for (size_t i = 0; i < spec->k; i += SP_LANES) {
      size_t n = spec->k - i < SP_LANES ? spec->k - i : SP_LANES;
      vf_store(to + r * stride + i, vf_load_act(in, r * spec->k + i, bf16, n));
    }
  }
}

/* Bias and activation of one panel's columns, stored to out. */
static void finish_panel(const struct portable_gemm *gemm, const float *sums, const float *bias,
                         size_t rows, size_t column, bool bf16_out, void *out) {
  size_t n = gemm->base.spec.n;
  enum sp_activation activation = gemm->base.spec.activation;
  for (size_t c = 0; c < SP_MICRO_COLUMNS && column + c < n; c += SP_LANES) {
    vf b = vf_load(bias + c);
    size_t lanes = n - column - c < SP_LANES ? n - column - c : SP_LANES;
    for (size_t r = 0; r < rows; r++) {
      vf y = vf_activate(activation, vf_load(sums + r * SP_MICRO_COLUMNS + c) + b);
      vf_store_act(out, r * n + column + c, bf16_out, lanes, y);
    }
  }
}

/* One panel of W against the staged rows. */
static void run_panel(const float *staged, size_t stride, size_t rows, const float *panel, size_t k,
                      float *sums) {
  for (size_t i = 0; i < k; i += DEPTH) {
    struct sp_micro m = {
        .a = staged + i,
        .b = panel + i * SP_MICRO_COLUMNS,
        .c = sums,
        .a_stride = stride,
        .b_stride = SP_MICRO_COLUMNS,
        .c_stride = SP_MICRO_COLUMNS,
        .depth = k - i < DEPTH ? k - i : DEPTH,
        .add = i > 0,
    };
    sp_micro_block(m, rows, SP_MICRO_COLUMNS);
  }
}

static enum sp_status portable_run(struct sp_gemm_lane *lane, const struct sp_gemm *base,
                                   size_t slab, const void *in, size_t rows, bool out_f32,
                                   void *out, struct sp_error *err) {
  (void)err;
  const struct portable_gemm *gemm = (const struct portable_gemm *)base;
  const struct sp_gemm_spec *spec = &base->spec;
  bool bf16 = spec->compute == SP_COMPUTE_BF16;
  bool bf16_out = bf16 && !out_f32;
  size_t stride = sp_round_up(spec->k, SP_CPU_PAD) + SP_CPU_PAD;
  float sums[ROWS * SP_MICRO_COLUMNS] __attribute__((aligned(64)));
  for (size_t r = 0; r < rows; r += ROWS) {
    size_t now = rows - r < ROWS ? rows - r : ROWS;
    const char *in_rows = (const char *)in + r * spec->k * (bf16 ? 2 : 4);
    char *out_rows = (char *)out + r * spec->n * (bf16_out ? 2 : 4);
    stage_rows(spec, in_rows, now, lane->rows, stride);
    for (size_t p = 0; p < gemm->panels; p++) {
      size_t panel = slab * gemm->panels + p;
      run_panel(lane->rows, stride, now, gemm->weight + panel * spec->k * SP_MICRO_COLUMNS, spec->k,
                sums);
      finish_panel(gemm, sums, gemm->bias + panel * SP_MICRO_COLUMNS, now, p * SP_MICRO_COLUMNS,
                   bf16_out, out_rows);
    }
  }
  return SP_OK;
}

const struct sp_gemm_engine SP_ISA_NAME(sp_gemm_portable) = {
    .open = portable_open,
    .close = portable_close,
    .describe = portable_describe,
    .create = portable_create,
    .destroy = portable_destroy,
    .lane_create = portable_lane_create,
    .lane_destroy = portable_lane_destroy,
    .run = portable_run,
};
