/* trainer.h - what stands behind train.h's opaque structs on CUDA; private to this folder.
 *
 * trainer.c        open, close, copies         train_weight.c   what products read, refreshed
 * train.c          the table; ops that are one launch
 * train_product.c  one matrix product, by cuBLASLt
 * train_linear.c, train_vocab.c   ops made of products and launches
 * train_reduce.c   sums over devices
 *
 * Memory    open takes one allocation whose size is a pure function of the limits; weight_create
 *           one a weight.  Afterwards nothing is allocated
 * Sums      every product has one algorithm, chosen when its weight is made, so that the order of
 *           its sums depends on the shape alone; the device's type names it */
#ifndef SP_CUDA_TRAINER_H
#define SP_CUDA_TRAINER_H

#include "checked.h"
#include "device.h"
#include "train.h"
#include "train_ops.h"

/* Rows of the vocabulary's logits that are worked on together. */
#ifndef SP_CUDA_TRAIN_VOCAB_ROWS
#define SP_CUDA_TRAIN_VOCAB_ROWS 2048
#endif
/* Widths that the library likes are multiples of this: 16 bytes of bf16. */
#define SP_CUDA_TRAIN_PITCH 8
/* Floats of every device that all_reduce works on together. */
#ifndef SP_CUDA_REDUCE_FLOATS
#define SP_CUDA_REDUCE_FLOATS ((size_t)4 << 20)
#endif
/* For the parts of divided sums, at most. */
#define SP_CUDA_PARTS_BYTES ((size_t)32 << 20)
/* Floats of one launch of square_sum. */
#ifndef SP_CUDA_SQUARE_FLOATS
#define SP_CUDA_SQUARE_FLOATS ((size_t)64 << 20)
#endif

struct sp_cuda_group; /* train_reduce.c */

struct sp_trainer {
  struct sp_cuda_device *device;
  struct sp_train_limits limits;
  cudaStream_t stream;
  cublasLtHandle_t lt;

  char *scratch;   /* one allocation: */
  void *parts;     /* (parts_bytes) of divided products */
  void *bias;      /* (width) of the product at hand, as its epilogue reads it */
  void *d_pre;     /* (rows, width) of a weight's type */
  void *sums;      /* what launchers ask for */
  double *squares; /* one, of square_sum */
  float *logits;   /* (vocab_rows, vocab_pitch) */
  void *d_logits;  /* (vocab_rows, vocab_pitch) act; the logits themselves where act is f32 */
  float *received; /* (SP_CUDA_REDUCE_FLOATS) of all_reduce */
  size_t parts_bytes, vocab_rows, vocab_pitch;

  struct sp_cuda_group *group; /* of all_reduce, made by its first call; NULL: none yet */
};

static inline bool sp_cuda_is_bf16(const struct sp_trainer *trainer) {
  return trainer->device->base.compute == SP_COMPUTE_BF16;
}
static inline size_t sp_cuda_type_bytes(enum sp_compute type) {
  return type == SP_COMPUTE_BF16 ? 2 : 4;
}
/* Room for `count` things of `bytes` bytes; SIZE_MAX on overflow. */
static inline size_t sp_cuda_room(size_t count, size_t bytes) {
  size_t all = sp_mul_sat(count, bytes);
  return all > (size_t)-1 / 2 ? (size_t)-1 : sp_round_up(all, SP_CUDA_ALIGN);
}

/* ---- train_product.c ---- */

/* x (R, K) and y (R, N) are the rows before and after a weight, g its gradient. */
enum sp_cuda_product {
  SP_CUDA_Y,         /* y = x W^T + bias, of the weight's type */
  SP_CUDA_Y_F32,     /* the same in f32 */
  SP_CUDA_X,         /* x = y W, of the weight's type */
  SP_CUDA_X_F32,     /* x (+)= y W in f32 */
  SP_CUDA_G,         /* g += y^T x, f32 */
  SP_CUDA_G_DIVIDED, /* the same, the sum over rows divided: for about as many as the limits' */
  SP_CUDA_VOCAB_Y,   /* as Y_F32, X_F32 and G, with rows of y vocab_pitch apart and without bias */
  SP_CUDA_VOCAB_X,
  SP_CUDA_VOCAB_G,
  SP_CUDA_PRODUCTS
};

/* One of them, for one weight. */
struct sp_cuda_product_plan {
  bool found;
  cublasLtMatmulDescOpaque_t desc;
  cublasLtMatmulAlgo_t algorithm;
};

struct sp_train_weight {
  struct sp_trainer *trainer;
  enum sp_compute type;
  const float *master;
  size_t n, k;                 /* the contract's */
  size_t n_run, k_run;         /* as the library sees them: the same, or padded */
  void *copy;                  /* (n_run, k_run) of the type; NULL: the products read the master */
  char *pad_a, *pad_b, *pad_d; /* of padded products, in the copy's allocation */
  struct sp_cuda_product_plan plans[SP_CUDA_PRODUCTS];
};

static inline const void *sp_cuda_weight_data(const struct sp_train_weight *weight) {
  return weight->copy ? weight->copy : weight->master;
}
static inline bool sp_cuda_is_padded(const struct sp_train_weight *weight) {
  return weight->n_run != weight->n || weight->k_run != weight->k;
}

/* Matrices of a product: a is W, or x for a gradient; b is x or y; d what is written. */
struct sp_cuda_operands {
  const void *a, *b;
  void *d;
  bool add; /* to d */
};

/* Asks the library for one product; without an algorithm plans[which].found stays false. */
enum sp_status sp_cuda_plan_product(struct sp_train_weight *weight, enum sp_cuda_product which,
                                    struct sp_error *err);
/* Bytes of each of pad_a, pad_b and pad_d; SIZE_MAX where there is no such number. */
size_t sp_cuda_pad_bytes(const struct sp_train_weight *weight);
/* Queues one.  SP_EMODEL where it was not planned, as for a product wider than the limits. */
enum sp_status sp_cuda_product(struct sp_trainer *trainer, const struct sp_train_weight *weight,
                               enum sp_cuda_product which, size_t rows,
                               const struct sp_cuda_operands *operands, struct sp_error *err);

/* ---- train_weight.c ---- */

enum sp_status sp_cuda_train_weight_create(struct sp_trainer *trainer, enum sp_compute type,
                                           const float *master, size_t n, size_t k,
                                           struct sp_train_weight **out, struct sp_error *err);
void sp_cuda_train_weight_destroy(struct sp_train_weight *weight);
enum sp_status sp_cuda_train_weight_refresh(struct sp_trainer *trainer,
                                            struct sp_train_weight *weight, struct sp_error *err);

/* ---- trainer.c ---- */

enum sp_status sp_cuda_trainer_open(struct sp_device *device, const struct sp_train_limits *limits,
                                    struct sp_trainer **out, struct sp_error *err);
void sp_cuda_trainer_close(struct sp_trainer *trainer);
enum sp_status sp_cuda_train_upload(struct sp_trainer *trainer, void *to, const void *from,
                                    size_t bytes, struct sp_error *err);
enum sp_status sp_cuda_train_download(struct sp_trainer *trainer, void *to, const void *from,
                                      size_t bytes, struct sp_error *err);
enum sp_status sp_cuda_train_zero(struct sp_trainer *trainer, void *data, size_t bytes,
                                  struct sp_error *err);
enum sp_status sp_cuda_train_finish(struct sp_trainer *trainer, struct sp_error *err);

/* ---- train_linear.c, train_vocab.c, train_reduce.c ---- */

enum sp_status sp_cuda_train_linear(struct sp_trainer *trainer,
                                    const struct sp_train_linear_args *args, struct sp_error *err);
enum sp_status sp_cuda_train_linear_backward(struct sp_trainer *trainer,
                                             const struct sp_train_linear_backward_args *args,
                                             struct sp_error *err);
enum sp_status sp_cuda_train_vocab_loss(struct sp_trainer *trainer,
                                        const struct sp_train_vocab_args *args,
                                        struct sp_error *err);
enum sp_status sp_cuda_all_reduce(struct sp_trainer *const *trainers, float *const *x,
                                  size_t devices, size_t count, struct sp_error *err);
/* Gives back what all_reduce keeps. */
void sp_cuda_leave_group(struct sp_trainer *trainer);

#endif
