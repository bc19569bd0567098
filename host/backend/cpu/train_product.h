/* train_product.h - the matrix products of training: fixed shapes, planned once, run by any thread.
 *
 * c (m, n) = [c +] a (m, k) b (k, n) [+ bias (n)], all dense and row-major but for b, which stands
 * either in a layout of the engine's choice that pack() makes from an f32 matrix (weights), or in the
 * engine's row layout that callers write themselves (activations of the way back).
 *
 * Threads    a product belongs to one trainer; run() and pack() compute in the calling thread alone,
 *            whose number in the team they are told
 * Exactness  an element of c depends on its row of a, its column of b and the spec alone
 * Errors     SP_EDEVICE */
#ifndef SP_CPU_TRAIN_PRODUCT_H
#define SP_CPU_TRAIN_PRODUCT_H

#include "device.h"
#include "train.h"

struct sp_product_context;

struct sp_product;
struct sp_product_spec {
  enum sp_compute type; /* of a and b */
  size_t m, n, k;
  bool b_rows;     /* b is in the row layout; else as pack() makes it */
  bool transposed; /* pack() is given (n, k) */
  bool bias, add;
  bool out_f32; /* else c is of `type` */
  const struct sp_product
      *like; /* whose packed b it reads, differing in bias, add and out_f32; NULL */
};

/* First member of an engine's own struct. */
struct sp_product {
  struct sp_product_spec spec;
  size_t packed_bytes; /* of one packed b; 0 with b_rows */
  struct sp_product *next;
};

/* What b_rows products read.  a is (m, k) dense of f32 or, with `bf16`, of bf16.  b has columns rounded
 * up to `quantum`, what lies beyond n being zeros: rows of them one after the other, or with `pairs`
 * blocks of 64 columns, each of them k / 2 pairs of rows whose elements alternate.  k is even. */
struct sp_row_layout {
  bool bf16, pairs;
  size_t quantum;
};

struct sp_product_engine {
  /* `shared` is the device's context of this engine's kind; for `threads` threads. */
  enum sp_status (*open)(struct sp_gemm_context *shared, size_t threads,
                         struct sp_product_context **out, struct sp_error *err);
  void (*close)(struct sp_product_context *context); /* after its products; NULL is fine */
  struct sp_row_layout (*row_layout)(const struct sp_product_context *context,
                                     enum sp_compute type);
  /* While no product runs. */
  enum sp_status (*create)(struct sp_product_context *context, const struct sp_product_spec *spec,
                           struct sp_product **out, struct sp_error *err);
  void (*destroy)(struct sp_product_context *context, struct sp_product *product);
  enum sp_status (*pack)(struct sp_product_context *context, const struct sp_product *product,
                         size_t thread, const float *from, void *to);
  /* bias is looked at with spec.bias alone. */
  enum sp_status (*run)(struct sp_product_context *context, const struct sp_product *product,
                        size_t thread, const void *a, const void *b, const float *bias, void *c);
};

#ifdef SP_HAVE_ONEDNN
extern const struct sp_product_engine sp_product_onednn;
#endif

#endif
