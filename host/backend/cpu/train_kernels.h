/* train_kernels.h - the trainer's own ops, one table for each instruction set: trainer->kernels is
 * device->kernels->train.  What each op does is said in train.h.
 *
 * Parallel  every op cuts its work into tasks by shapes alone and runs them on trainer->team; a task
 *           writes what no other writes, and partial sums are added in their tasks' order */
#ifndef SP_CPU_TRAIN_KERNELS_H
#define SP_CPU_TRAIN_KERNELS_H

#include "kernels.h"
#include "trainer.h"

struct sp_cpu_train_tiles; /* train_tiles.h */
struct sp_product_engine;  /* train_product.h */

struct sp_cpu_train_kernels {
  const struct sp_cpu_train_tiles *tiles;
  const struct sp_product_engine *portable;
  enum sp_status (*embed)(struct sp_trainer *trainer, const struct sp_train_embed_args *args,
                          struct sp_error *err);
  enum sp_status (*segment_add)(struct sp_trainer *trainer,
                                const struct sp_train_segment_args *args, struct sp_error *err);
  enum sp_status (*gather)(struct sp_trainer *trainer, const void *from, size_t row_bytes,
                           const uint32_t *index, size_t rows, void *to, struct sp_error *err);
  enum sp_status (*add_norm)(struct sp_trainer *trainer, const struct sp_train_norm_args *args,
                             struct sp_error *err);
  enum sp_status (*add_norm_backward)(struct sp_trainer *trainer,
                                      const struct sp_train_norm_backward_args *args,
                                      struct sp_error *err);
  enum sp_status (*attention)(struct sp_trainer *trainer,
                              const struct sp_train_attention_args *args, struct sp_error *err);
  enum sp_status (*attention_backward)(struct sp_trainer *trainer,
                                       const struct sp_train_attention_backward_args *args,
                                       struct sp_error *err);
  enum sp_status (*soften)(struct sp_trainer *trainer, const struct sp_train_soften_args *args,
                           struct sp_error *err);
  enum sp_status (*soften_backward)(struct sp_trainer *trainer,
                                    const struct sp_train_soften_backward_args *args,
                                    struct sp_error *err);
  enum sp_status (*adamw)(struct sp_trainer *trainer, const struct sp_train_adamw_args *args,
                          struct sp_error *err);
  enum sp_status (*square_sum)(struct sp_trainer *trainer, const float *x, size_t count,
                               double *out, struct sp_error *err);
};

/* Floats that these ops need of trainer->scratch, a thread, and of trainer->shared; SIZE_MAX where
 * the limits are beyond counting, which an allocation then refuses. */
size_t sp_cpu_train_thread_floats(const struct sp_train_limits *limits);
size_t sp_cpu_train_shared_floats(const struct sp_train_limits *limits);

/* SP_EMODEL where the trainer lacks the scratch for a call of attention or its backward. */
SP_MUST_CHECK enum sp_status sp_cpu_train_attention_fits(const struct sp_trainer *trainer,
                                                         const struct sp_train_attention_args *args,
                                                         struct sp_error *err);

/* One thread's scratch, 64-byte aligned. */
static inline float *sp_cpu_train_scratch(const struct sp_trainer *trainer, size_t thread) {
  return trainer->scratch + thread * trainer->scratch_floats;
}

/* The same for every instruction set. */
enum sp_status sp_cpu_train_gather(struct sp_trainer *trainer, const void *from, size_t row_bytes,
                                   const uint32_t *index, size_t rows, void *to,
                                   struct sp_error *err);
enum sp_status sp_cpu_train_soften(struct sp_trainer *trainer,
                                   const struct sp_train_soften_args *args, struct sp_error *err);
enum sp_status sp_cpu_train_soften_backward(struct sp_trainer *trainer,
                                            const struct sp_train_soften_backward_args *args,
                                            struct sp_error *err);

#ifdef SP_ISA
extern const struct sp_cpu_train_tiles SP_ISA_NAME(sp_cpu_train_tiles);
extern const struct sp_product_engine SP_ISA_NAME(sp_product_portable);
extern const struct sp_cpu_train_kernels SP_ISA_NAME(sp_cpu_train_kernels);
enum sp_status SP_ISA_NAME(sp_cpu_train_embed)(struct sp_trainer *trainer,
                                               const struct sp_train_embed_args *args,
                                               struct sp_error *err);
enum sp_status SP_ISA_NAME(sp_cpu_train_segment_add)(struct sp_trainer *trainer,
                                                     const struct sp_train_segment_args *args,
                                                     struct sp_error *err);
enum sp_status SP_ISA_NAME(sp_cpu_train_add_norm)(struct sp_trainer *trainer,
                                                  const struct sp_train_norm_args *args,
                                                  struct sp_error *err);
enum sp_status SP_ISA_NAME(sp_cpu_train_add_norm_backward)(
    struct sp_trainer *trainer, const struct sp_train_norm_backward_args *args,
    struct sp_error *err);
enum sp_status SP_ISA_NAME(sp_cpu_train_attention)(struct sp_trainer *trainer,
                                                   const struct sp_train_attention_args *args,
                                                   struct sp_error *err);
enum sp_status SP_ISA_NAME(sp_cpu_train_attention_backward)(
    struct sp_trainer *trainer, const struct sp_train_attention_backward_args *args,
    struct sp_error *err);
enum sp_status SP_ISA_NAME(sp_cpu_train_adamw)(struct sp_trainer *trainer,
                                               const struct sp_train_adamw_args *args,
                                               struct sp_error *err);
enum sp_status SP_ISA_NAME(sp_cpu_train_square_sum)(struct sp_trainer *trainer, const float *x,
                                                    size_t count, double *out,
                                                    struct sp_error *err);
#endif

#endif
