/* train_tiles.h - what products leave to be done with a tile of rows while it is in cache.
 *
 * Letters    rows of a tile, of which `room` are worked on and the first `rows` hold something; n columns,
 *            rows dense */
#ifndef SP_CPU_TRAIN_TILES_H
#define SP_CPU_TRAIN_TILES_H

#include "train.h"
#include "train_product.h"

/* d_pre = d_out activation'(pre), and its sums over the rows. */
struct sp_tile_gradient {
  enum sp_activation activation;
  const void *pre; /* (rows, n) of the type; not looked at without activation */
  const void *d_out;
  size_t rows, n;
  bool bf16, d_out_bf16;
  void *d_pre; /* out (rows, n) of the type; NULL: not asked for */
  float *sums; /* out (n) */
};

/* The exponentials of a tile of logits, relative to each row's greatest. */
struct sp_tile_logits {
  float *logits;     /* (rows, stride) in: without bias, out: with it */
  const float *bias; /* (n) */
  size_t rows, n, stride;
  bool bf16;
  void *e;          /* out (rows, stride) of the type, zeros from n on */
  float *top, *sum; /* out (rows) */
};

struct sp_cpu_train_tiles {
  /* out = activation(pre); `count` elements. */
  void (*activate)(enum sp_activation activation, const void *pre, bool bf16, size_t count,
                   void *out, bool out_bf16);
  void (*gradient)(const struct sp_tile_gradient *args);
  /* to[j][r] = from[r][j] for r < room, zeros from `rows` on; the rows of both are strides
   * long.  Elements are as the layout wants them. */
  void (*turn)(const struct sp_row_layout *layout, const void *from, bool bf16, size_t from_stride,
               size_t rows, size_t room, size_t n, void *to, size_t to_stride);
  /* Rows [at, at + room) of the layout's (k, n), zeros from at + rows on. `at` and room are even. */
  void (*pack)(const struct sp_row_layout *layout, const void *from, bool bf16, size_t rows,
               size_t room, size_t n, void *to, size_t k, size_t at);
  void (*exponents)(const struct sp_tile_logits *args);
  /* x[r] *= factor[r], each row n of `stride`. */
  void (*scale_rows)(void *x, bool bf16, size_t rows, size_t n, size_t stride, const float *factor);
};

#endif
