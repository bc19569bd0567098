/* train_products.h - a trainer's products by shape, its packed weights, and buffers of its ops.
 *
 * Rows are cut into tiles of SP_TRAIN_TILE: what one task works on.  A product over rows (a weight's
 * gradient) takes them in pieces of two tiles, the last of one where their number is odd. */
#ifndef SP_CPU_TRAIN_PRODUCTS_H
#define SP_CPU_TRAIN_PRODUCTS_H

#include <stdatomic.h>

#include "train_kernels.h"
#include "train_product.h"
#include "train_tiles.h"
#include "trainer.h"

#define SP_TRAIN_TILE 128
#define SP_TRAIN_PIECE (2 * SP_TRAIN_TILE)
/* Rows of a vocabulary's weight that are packed and worked on together. */
#define SP_TRAIN_SLAB 512
/* Rows of a weight's gradient that one product writes: a task, few enough for narrow weights to be as
 * many as there are threads. */
#define SP_TRAIN_BLOCK_ROWS 64

struct sp_train_buffer {
  void *data;
  size_t bytes;
};

struct sp_train_products {
  const struct sp_product_engine *engine;
  struct sp_product_context *context;
  struct sp_product *newest;
  struct sp_train_buffer d_pre;  /* (R, N) where d_out is not */
  struct sp_train_buffer packed; /* pieces of inputs in the row layout */
  struct sp_train_buffer sums;   /* (tiles, N) */
  struct sp_train_buffer exps;   /* (tiles, slabs, tile, slab) of the type */
  struct sp_train_buffer stats;  /* of vocab_loss */
  struct sp_train_buffer tiles;  /* (threads) of a task's own */
};

struct sp_train_weight {
  struct sp_trainer *trainer;
  enum sp_compute type;
  const float *master; /* (N, K) */
  size_t n, k;
  size_t slab,
      slabs; /* rows of the master that are packed together; one slab but for a vocabulary */
  struct sp_product *forward,
      *backward; /* in W^T + bias; d_pre W, both of a tile and to the type */
  char *packed_forward, *packed_backward; /* (slabs, packed_bytes) */
};

enum sp_status sp_train_products_open(struct sp_trainer *trainer, struct sp_error *err);
void sp_train_products_close(struct sp_trainer *trainer);

/* The product of that spec, made where it is the first of its kind. */
enum sp_status sp_train_product_get(struct sp_trainer *trainer, const struct sp_product_spec *spec,
                                    struct sp_product **out, struct sp_error *err);
/* Makes the buffer no smaller than `bytes`; what it held is lost. */
enum sp_status sp_train_buffer_grow(struct sp_train_buffer *buffer, size_t bytes,
                                    struct sp_error *err);

enum sp_status sp_cpu_train_weight_create(struct sp_trainer *trainer, enum sp_compute type,
                                          const float *master, size_t n, size_t k,
                                          struct sp_train_weight **out, struct sp_error *err);
void sp_cpu_train_weight_destroy(struct sp_train_weight *weight);
enum sp_status sp_cpu_train_weight_refresh(struct sp_trainer *trainer,
                                           struct sp_train_weight *weight, struct sp_error *err);

/* The products of a weight's gradient, block rows by K over a piece: [0] of two tiles, [1] of one;
 * `whole` of SP_TRAIN_BLOCK_ROWS, `rest` of what is left of n, either NULL where there is none. */
struct sp_train_outer {
  struct sp_product *whole[2], *rest[2];
};
enum sp_status sp_train_outer_get(struct sp_trainer *trainer, enum sp_compute type, size_t n,
                                  size_t k, struct sp_train_outer *out, struct sp_error *err);

enum sp_status sp_cpu_train_linear(struct sp_trainer *trainer,
                                   const struct sp_train_linear_args *args, struct sp_error *err);
enum sp_status sp_cpu_train_linear_backward(struct sp_trainer *trainer,
                                            const struct sp_train_linear_backward_args *args,
                                            struct sp_error *err);
enum sp_status sp_cpu_train_vocab_loss(struct sp_trainer *trainer,
                                       const struct sp_train_vocab_args *args,
                                       struct sp_error *err);

static inline size_t sp_train_tiles(size_t rows) {
  return (rows + SP_TRAIN_TILE - 1) / SP_TRAIN_TILE;
}
static inline size_t sp_train_bytes(enum sp_compute type) {
  return type == SP_COMPUTE_BF16 ? 2 : 4;
}
/* Columns and bytes of `columns` in the row layout. */
static inline size_t sp_train_padded(const struct sp_row_layout *layout, size_t columns) {
  return (columns + layout->quantum - 1) / layout->quantum * layout->quantum;
}
static inline size_t sp_train_row_bytes(const struct sp_row_layout *layout) {
  return layout->bf16 ? 2 : 4;
}

/* Remembers a task's failure: of several, any. */
static inline void sp_train_note(atomic_int *failure, enum sp_status status) {
  if (status != SP_OK) {
    atomic_store_explicit(failure, (int)status, memory_order_relaxed);
  }
}
static inline enum sp_status sp_train_outcome(const atomic_int *failure, struct sp_error *err) {
  int status = atomic_load_explicit(failure, memory_order_relaxed);
  return status == SP_OK ? SP_OK : sp_fail(err, (enum sp_status)status, "a product failed");
}

#endif
