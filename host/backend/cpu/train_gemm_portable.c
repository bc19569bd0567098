/* train_gemm_portable.c - the products of training in vector extensions: fallback and op oracle.
 *
 * Shapes    packed weights are panels of SP_MICRO_COLUMNS columns, (K, columns) floats each, zeros
 *           beyond N; rows are plain f32 with a stride rounded up to SP_MICRO_COLUMNS
 * Parallel  the calling thread alone, one panel at a time, in blocks of K that keep its slice in the
 *           first-level cache
 * Numerics  operands of the product's type, every element summed in f32 over K in order by itself */
#include <stdlib.h>
#include <string.h>

#include "bf16.h"
#include "checked.h"
#include "micro.h"
#include "train_kernels.h"
#include "train_product.h"

enum { ROWS = 64, DEPTH = 256 };

struct sp_product_context {
  size_t threads;
  float **rows; /* (threads): (ROWS, K + SP_CPU_PAD) of the greatest K */
  size_t row_floats;
};

static enum sp_status portable_open(struct sp_gemm_context *shared, size_t threads,
                                    struct sp_product_context **out, struct sp_error *err) {
  (void)shared;
  struct sp_product_context *context = calloc(1, sizeof *context);
  if (!context || !(context->rows = calloc(threads, sizeof *context->rows))) {
    free(context);
    return sp_fail_memory(err, sp_mul_sat(threads, sizeof *context->rows));
  }
  context->threads = threads;
  *out = context;
  return SP_OK;
}

static void portable_close(struct sp_product_context *context) {
  if (context) {
    for (size_t i = 0; i < context->threads; i++) {
      free(context->rows[i]);
    }
    free(context->rows);
    free(context);
  }
}

static struct sp_row_layout portable_row_layout(const struct sp_product_context *context,
                                                enum sp_compute type) {
  (void)context;
  (void)type;
  return (struct sp_row_layout){false, false, SP_MICRO_COLUMNS};
}

/* f32 operands are read where they are, others go through the thread's rows. */
static bool stages(const struct sp_product_spec *spec) {
  return !spec->b_rows && spec->type == SP_COMPUTE_BF16;
}

static size_t staged_stride(const struct sp_product_spec *spec) {
  return sp_round_up(spec->k, SP_CPU_PAD) + SP_CPU_PAD;
}

static bool grow_rows(struct sp_product_context *context, size_t floats) {
  if (floats <= context->row_floats) {
    return true;
  }
  context->row_floats = 0;
  for (size_t i = 0; i < context->threads; i++) {
    free(context->rows[i]);
    context->rows[i] = sp_cpu_alloc_floats(floats);
    if (!context->rows[i]) {
      return false;
    }
  }
  context->row_floats = floats;
  return true;
}

static enum sp_status portable_create(struct sp_product_context *context,
                                      const struct sp_product_spec *spec, struct sp_product **out,
                                      struct sp_error *err) {
  size_t floats = stages(spec) ? sp_mul_sat(ROWS, staged_stride(spec)) : 0;
  struct sp_product *product = calloc(1, sizeof *product);
  if (!product || !grow_rows(context, floats)) {
    free(product);
    return sp_fail_memory(err, sp_mul_sat(floats, sizeof(float)));
  }
  product->spec = *spec;
  if (!spec->b_rows) {
    size_t columns = sp_round_up(spec->n, SP_MICRO_COLUMNS);
    product->packed_bytes = sp_mul_sat(sp_mul_sat(columns, spec->k), sizeof(float));
  }
  *out = product;
  return SP_OK;
}

static void portable_destroy(struct sp_product_context *context, struct sp_product *product) {
  (void)context;
  free(product);
}

static enum sp_status portable_pack(struct sp_product_context *context,
                                    const struct sp_product *product, size_t thread,
                                    const float *from, void *to) {
  (void)context;
  (void)thread;
  const struct sp_product_spec *spec = &product->spec;
  bool bf16 = spec->type == SP_COMPUTE_BF16;
  size_t column_step = spec->transposed ? spec->k : 1;
  size_t row_step = spec->transposed ? 1 : spec->n;
  float *panel = to;
  for (size_t j = 0; j < spec->n; j += SP_MICRO_COLUMNS, panel += spec->k * SP_MICRO_COLUMNS) {
    for (size_t i = 0; i < spec->k; i++) {
      for (size_t c = 0; c < SP_MICRO_COLUMNS; c++) {
        float x = j + c < spec->n ? from[(j + c) * column_step + i * row_step] : 0.0f;
        panel[i * SP_MICRO_COLUMNS + c] = bf16 ? sp_bf16_to_f32(sp_bf16_from_f32(x)) : x;
      }
    }
  }
  return SP_OK;
}

/* One panel's sums over the whole of K into `sums` (rows, SP_MICRO_COLUMNS). */
static void run_panel(const float *a, size_t a_stride, size_t rows, const float *b, size_t b_stride,
                      size_t k, float *sums) {
  for (size_t i = 0; i < k; i += DEPTH) {
    struct sp_micro m = {
        .a = a + i,
        .b = b + i * b_stride,
        .c = sums,
        .a_stride = a_stride,
        .b_stride = b_stride,
        .c_stride = SP_MICRO_COLUMNS,
        .depth = k - i < DEPTH ? k - i : DEPTH,
        .add = i > 0,
    };
    sp_micro_block(m, rows, SP_MICRO_COLUMNS);
  }
}

/* The panel's columns of c, which starts at the panel's first row. */
static void store_panel(const struct sp_product_spec *spec, const float *sums, size_t rows,
                        size_t column, const float *bias, void *c) {
  bool bf16 = spec->type == SP_COMPUTE_BF16 && !spec->out_f32;
  for (size_t j = column; j < spec->n && j < column + SP_MICRO_COLUMNS; j += SP_LANES) {
    size_t lanes = spec->n - j < SP_LANES ? spec->n - j : SP_LANES;
    vf b = spec->bias ? vf_load_act(bias, j, false, lanes) : (vf){0};
    for (size_t r = 0; r < rows; r++) {
      vf y = vf_load(sums + r * SP_MICRO_COLUMNS + j - column) + b;
      if (spec->add) {
        y += vf_load_act(c, r * spec->n + j, bf16, lanes);
      }
      vf_store_act(c, r * spec->n + j, bf16, lanes, y);
    }
  }
}

static const float *stage(const struct sp_product_spec *spec, const void *a, size_t rows,
                          float *to) {
  size_t stride = staged_stride(spec);
  for (size_t r = 0; r < rows; r++) {
    for (size_t i = 0; i < spec->k; i += SP_LANES) {
      size_t lanes = spec->k - i < SP_LANES ? spec->k - i : SP_LANES;
      vf_store(to + r * stride + i, vf_load_act(a, r * spec->k + i, true, lanes));
    }
  }
  return to;
}

static enum sp_status portable_run(struct sp_product_context *context,
                                   const struct sp_product *product, size_t thread, const void *a,
                                   const void *b, const float *bias, void *c) {
  const struct sp_product_spec *spec = &product->spec;
  size_t columns = sp_round_up(spec->n, SP_MICRO_COLUMNS);
  size_t b_stride = spec->b_rows ? columns : SP_MICRO_COLUMNS;
  size_t panel_step = spec->b_rows ? SP_MICRO_COLUMNS : spec->k * SP_MICRO_COLUMNS;
  size_t a_bytes = stages(spec) ? 2 : 4;
  size_t a_stride = stages(spec) ? staged_stride(spec) : spec->k;
  size_t c_bytes = spec->type == SP_COMPUTE_BF16 && !spec->out_f32 ? 2 : 4;
  float sums[ROWS * SP_MICRO_COLUMNS] __attribute__((aligned(64)));
  for (size_t r = 0; r < spec->m; r += ROWS) {
    size_t rows = spec->m - r < ROWS ? spec->m - r : ROWS;
    const void *from = (const char *)a + r * spec->k * a_bytes;
    const float *staged = stages(spec) ? stage(spec, from, rows, context->rows[thread]) : from;
    const float *panel = b;
    for (size_t j = 0; j < spec->n; j += SP_MICRO_COLUMNS, panel += panel_step) {
      run_panel(staged, a_stride, rows, panel, b_stride, spec->k, sums);
      store_panel(spec, sums, rows, j, bias, (char *)c + r * spec->n * c_bytes);
    }
  }
  return SP_OK;
}

const struct sp_product_engine SP_ISA_NAME(sp_product_portable) = {
    .open = portable_open,
    .close = portable_close,
    .row_layout = portable_row_layout,
    .create = portable_create,
    .destroy = portable_destroy,
    .pack = portable_pack,
    .run = portable_run,
};
