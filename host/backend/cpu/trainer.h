/* trainer.h - what stands behind train.h's opaque structs on the CPU; private to this folder.
 *
 * Ops of products are in train_linear.c and train_vocab.c, all others in a file of their name
 * (attention_backward.c, ..), compiled once for each instruction set and reached through `kernels`. */
#ifndef SP_CPU_TRAINER_H
#define SP_CPU_TRAINER_H

#include "device.h"
#include "team.h"
#include "train.h"

/* Rows that one task of a row-wise op works on, and floats of a flat one. */
#define SP_CPU_TRAIN_ROWS 64
#define SP_CPU_TRAIN_BLOCK 16384

struct sp_cpu_train_kernels; /* train_kernels.h: one table an instruction set */
struct sp_train_products;    /* train_products.h: matrix products and their scratch */

struct sp_trainer {
  struct sp_cpu_device *device;
  const struct sp_cpu_train_kernels *kernels;
  struct sp_train_limits limits;
  struct sp_team *team;
  struct sp_train_products *products;
  float *scratch;        /* (threads, scratch_floats): a task's own, of attention and of norms */
  size_t scratch_floats; /* sp_cpu_train_thread_floats or more, a multiple of SP_CPU_PAD */
  float *shared;         /* (shared_floats): one op's partial sums */
  size_t shared_floats;  /* sp_cpu_train_shared_floats */
};

#endif
