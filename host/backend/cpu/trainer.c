/* trainer.c - a trainer's threads and scratch memory, and its copies. */
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "train_cpu.h"
#include "train_kernels.h"
#include "train_products.h"

void sp_cpu_train_close(struct sp_trainer *trainer) {
  if (trainer) {
    sp_train_products_close(trainer);
    sp_team_destroy(trainer->team);
    free(trainer->scratch);
    free(trainer->shared);
    free(trainer);
  }
}

static enum sp_status alloc_scratch(struct sp_trainer *trainer, struct sp_error *err) {
  size_t floats = sp_cpu_train_thread_floats(&trainer->limits);
  size_t shared = sp_cpu_train_shared_floats(&trainer->limits);
  if (floats < (size_t)-1 - SP_CPU_PAD) {
    floats = sp_round_up(floats, SP_CPU_PAD);
  }
  trainer->scratch_floats = floats;
  trainer->shared_floats = shared;
  trainer->scratch = sp_cpu_alloc_floats(sp_mul_sat(floats, sp_team_threads(trainer->team)));
  trainer->shared = sp_cpu_alloc_floats(shared);
  if (!trainer->scratch || !trainer->shared) {
    return sp_fail(err, SP_EDEVICE, "out of memory for a trainer's scratch");
  }
  return SP_OK;
}

enum sp_status sp_cpu_train_open(struct sp_device *device, const struct sp_train_limits *limits,
                                 struct sp_trainer **out, struct sp_error *err) {
  struct sp_trainer *trainer = calloc(1, sizeof *trainer);
  if (!trainer) {
    return sp_fail_memory(err, sizeof *trainer);
  }
  trainer->device = sp_cpu_device_of(device);
  trainer->kernels = trainer->device->kernels->train;
  trainer->limits = *limits;
  enum sp_status status = SP_OK;
  SP_TRY_GOTO(sp_team_create(limits->threads, &trainer->team, err), fail);
  SP_TRY_GOTO(alloc_scratch(trainer, err), fail);
  SP_TRY_GOTO(sp_train_products_open(trainer, err), fail);
  *out = trainer;
  return SP_OK;

fail:
  sp_cpu_train_close(trainer);
  return status;
}

enum sp_status sp_cpu_train_copy(struct sp_trainer *trainer, void *to, const void *from,
                                 size_t bytes, struct sp_error *err) {
  (void)trainer;
  (void)err;
  if (bytes > 0) {
    memcpy(to, from, bytes);
  }
  return SP_OK;
}

struct zeros {
  char *data;
  size_t bytes;
};

enum { ZERO_BYTES = 4 * SP_CPU_TRAIN_BLOCK };

static void zero_block(void *arg, size_t task, size_t thread) {
  (void)thread;
  const struct zeros *zeros = arg;
  size_t at = task * ZERO_BYTES;
  memset(zeros->data + at, 0, sp_min_size(zeros->bytes - at, ZERO_BYTES));
}

enum sp_status sp_cpu_train_fill_zero(struct sp_trainer *trainer, void *data, size_t bytes,
                                      struct sp_error *err) {
  (void)err;
  struct zeros zeros = {data, bytes};
  sp_team_run(trainer->team, bytes / ZERO_BYTES + (bytes % ZERO_BYTES > 0), zero_block, &zeros);
  return SP_OK;
}

enum sp_status sp_cpu_train_finish(struct sp_trainer *trainer, struct sp_error *err) {
  (void)trainer;
  (void)err;
  return SP_OK;
}
