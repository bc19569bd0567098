/* train_scratch.c - the memory of the trainer's own ops, from its limits. */
#include "checked.h"
#include "train_kernels.h"

/* The widest registers' block product has so many columns (micro.h). */
#define WIDTH_STEP 32

/* attention_backward.c's layout, the larger of the two: three rows of a head for each position with
 * two numbers, five for each key of a tile, two squares of scores. */
static size_t attention_floats(const struct sp_train_limits *limits) {
  size_t length = limits->length, dim = limits->head_dim;
  if (dim > SP_CPU_HEAD_DIM_MAX || !sp_add_size(length, SP_CPU_QUERY_TILE - 1, &length)) {
    return (size_t)-1;
  }
  length = length / SP_CPU_QUERY_TILE * SP_CPU_QUERY_TILE;
  size_t width = sp_round_up(dim, WIDTH_STEP);
  size_t tile = 5 * SP_CPU_KEY_TILE * width + 2 * SP_CPU_QUERY_TILE * (SP_CPU_KEY_TILE + 1);
  size_t rows = sp_mul_sat(length, 3 * width + 2);
  return sp_add_size(rows, tile, &rows) ? rows : (size_t)-1;
}

size_t sp_cpu_train_thread_floats(const struct sp_train_limits *limits) {
  size_t row;
  if (!sp_add_size(limits->width, SP_CPU_PAD - 1, &row)) {
    return (size_t)-1;
  }
  row = row / SP_CPU_PAD * SP_CPU_PAD;
  return sp_max_size(row, attention_floats(limits));
}

/* add_norm_backward's sums: two rows for each block of rows. */
size_t sp_cpu_train_shared_floats(const struct sp_train_limits *limits) {
  size_t blocks = limits->rows / SP_CPU_TRAIN_ROWS + 1;
  size_t width;
  if (!sp_add_size(limits->width, SP_CPU_PAD - 1, &width)) {
    return (size_t)-1;
  }
  return sp_mul_sat(blocks, sp_mul_sat(2, width / SP_CPU_PAD * SP_CPU_PAD));
}

enum sp_status sp_cpu_train_attention_fits(const struct sp_trainer *trainer,
                                           const struct sp_train_attention_args *args,
                                           struct sp_error *err) {
  if (args->head_dim > SP_CPU_HEAD_DIM_MAX || args->head_dim > trainer->limits.head_dim) {
    return sp_fail(err, SP_EMODEL,
                   "attention heads of %zu dimensions; the trainer has room for %zu, at most %d",
                   args->head_dim, trainer->limits.head_dim, SP_CPU_HEAD_DIM_MAX);
  }
  for (size_t s = 0; s < args->sequences; s++) {
    size_t rows = args->row_start[s + 1] - args->row_start[s];
    size_t keys = args->key_start[s + 1] - args->key_start[s];
    if (sp_max_size(rows, keys) > trainer->limits.length) {
      return sp_fail(err, SP_EMODEL, "a sequence of %zu positions; the trainer has room for %zu",
                     sp_max_size(rows, keys), trainer->limits.length);
    }
  }
  return SP_OK;
}
