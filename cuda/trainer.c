/* trainer.c - a trainer: a stream, a cuBLASLt handle, and the scratch that its ops share. */
#include "trainer.h"

#include <stdlib.h>

#include "check.h"

/* Parts of a gradient's sum that the workspace has room for. */
enum { most_parts = 16 };

/* The largest that any launcher asks for; ops run in order, so they share it. */
static size_t sums_bytes(const struct sp_trainer *trainer) {
  const struct sp_train_limits *limits = &trainer->limits;
  const size_t wants[] = {
      sp_cuda_train_attention_backward_scratch_bytes(limits->rows, limits->heads, SP_MAX_REACH),
      sp_cuda_train_add_norm_backward_scratch_bytes(limits->rows, limits->width),
      sp_cuda_train_column_sum_scratch_bytes(limits->rows, limits->width),
      sp_cuda_train_column_sum_scratch_bytes(trainer->vocab_rows, limits->vocab),
      sp_cuda_train_square_sum_scratch_bytes(SP_CUDA_SQUARE_FLOATS)};
  size_t most = 0;
  for (size_t i = 0; i < sizeof wants / sizeof wants[0]; i++) {
    most = sp_max_size(most, wants[i]);
  }
  return most;
}

static void size_up(struct sp_trainer *trainer) {
  const struct sp_train_limits *limits = &trainer->limits;
  size_t gradient = sp_cuda_room(sp_mul_sat(limits->width, limits->width), sizeof(float));
  trainer->parts_bytes = sp_min_size(sp_mul_sat(gradient, most_parts), SP_CUDA_PARTS_BYTES);
  if (limits->vocab > 0 && limits->scored > 0) {
    trainer->vocab_rows = sp_min_size(limits->scored, SP_CUDA_TRAIN_VOCAB_ROWS);
    trainer->vocab_pitch = sp_round_up(limits->vocab, SP_CUDA_TRAIN_PITCH);
  }
}

/* One allocation for all; room for f32 where a weight's type may be either. */
static enum sp_status take_scratch(struct sp_trainer *trainer, struct sp_error *err) {
  const struct sp_train_limits *limits = &trainer->limits;
  size_t logits = sp_mul_sat(trainer->vocab_rows, trainer->vocab_pitch);
  bool bf16 = trainer->device->base.compute == SP_COMPUTE_BF16;
  const struct part {
    void **to;
    size_t bytes;
  } parts[] = {
      {&trainer->parts, trainer->parts_bytes},
      {&trainer->bias,
       sp_cuda_room(sp_round_up(limits->width, SP_CUDA_TRAIN_PITCH), sizeof(float))},
      {&trainer->d_pre, sp_cuda_room(sp_mul_sat(limits->rows, limits->width), sizeof(float))},
      {&trainer->sums, sp_cuda_room(sums_bytes(trainer), 1)},
      {(void **)&trainer->squares, sp_cuda_room(1, sizeof(double))},
      {(void **)&trainer->received, sp_cuda_room(SP_CUDA_REDUCE_FLOATS, sizeof(float))},
      {(void **)&trainer->logits, sp_cuda_room(logits, sizeof(float))},
      {&trainer->d_logits, sp_cuda_room(logits, bf16 ? sizeof(uint16_t) : 0)},
  };
  enum { n_parts = sizeof parts / sizeof parts[0] };
  size_t bytes = 0;
  for (size_t i = 0; i < n_parts; i++) {
    if (!sp_add_size(bytes, parts[i].bytes, &bytes)) {
      return sp_fail_memory(err, (size_t)-1);
    }
  }
  SP_TRY(sp_cuda_alloc(&trainer->device->base, bytes, (void **)&trainer->scratch, err));
  for (size_t i = 0, at = 0; i < n_parts; at += parts[i++].bytes) {
    *parts[i].to = trainer->scratch + at;
  }
  if (!bf16) {
    trainer->d_logits = trainer->logits;
  }
  return SP_OK;
}

static enum sp_status check_limits(const struct sp_cuda_device *cuda,
                                   const struct sp_train_limits *limits, struct sp_error *err) {
  const size_t most = (size_t)1 << 31; /* sizes of products are 32-bit inside the library */
  if (limits->rows > most || limits->scored > most || limits->width > most ||
      limits->vocab > most) {
    return sp_fail(err, SP_EMODEL, "%s: %zu rows of width %zu, vocabulary %zu: too large to train",
                   cuda->base.name, limits->rows, limits->width, limits->vocab);
  }
  return limits->head_dim <= SP_CUDA_MAX_HEAD_DIM
             ? SP_OK
             : sp_fail(err, SP_EMODEL, "%s: heads of %zu dimensions (%d at most)", cuda->base.name,
                       limits->head_dim, SP_CUDA_MAX_HEAD_DIM);
}

enum sp_status sp_cuda_trainer_open(struct sp_device *device, const struct sp_train_limits *limits,
                                    struct sp_trainer **out, struct sp_error *err) {
  struct sp_cuda_device *cuda = sp_cuda_device_of(device);
  SP_TRY(check_limits(cuda, limits, err));
  struct sp_trainer *trainer = calloc(1, sizeof *trainer);
  if (!trainer) {
    return sp_fail_memory(err, sizeof *trainer);
  }
  trainer->device = cuda;
  trainer->limits = *limits;
  size_up(trainer);
  enum sp_status status = SP_OK;
  SP_TRY_GOTO(sp_cuda_enter(cuda, err), fail_stream);
  SP_TRY_GOTO(
      SP_CUDA(cuda, cudaStreamCreateWithFlags(&trainer->stream, cudaStreamNonBlocking), err),
      fail_stream);
  SP_TRY_GOTO(SP_CUBLAS(cuda, cublasLtCreate(&trainer->lt), err), fail_blas);
  SP_TRY_GOTO(take_scratch(trainer, err), fail_scratch);
  *out = trainer;
  return SP_OK;

fail_scratch:
  (void)cublasLtDestroy(trainer->lt);
fail_blas:
  sp_cuda_ignore(cudaStreamDestroy(trainer->stream));
fail_stream:
  free(trainer);
  return status;
}

void sp_cuda_trainer_close(struct sp_trainer *trainer) {
  if (trainer) {
    struct sp_cuda_device *cuda = trainer->device;
    sp_cuda_leave_group(trainer);
    sp_cuda_ignore(cudaSetDevice(cuda->ordinal));
    sp_cuda_ignore(cudaStreamSynchronize(trainer->stream)); /* work may still read the scratch */
    sp_cuda_free(&cuda->base, trainer->scratch);
    (void)cublasLtDestroy(trainer->lt);
    sp_cuda_ignore(cudaStreamDestroy(trainer->stream));
    if (cuda->weights == 0) {
      sp_cuda_forget_algorithms(cuda);
    }
    free(trainer);
  }
}

static enum sp_status copy(struct sp_trainer *trainer, void *to, const void *from, size_t bytes,
                           enum cudaMemcpyKind kind, struct sp_error *err) {
  if (bytes == 0) {
    return SP_OK;
  }
  SP_TRY(sp_cuda_enter(trainer->device, err));
  return SP_CUDA(trainer->device, cudaMemcpyAsync(to, from, bytes, kind, trainer->stream), err);
}

enum sp_status sp_cuda_train_upload(struct sp_trainer *trainer, void *to, const void *from,
                                    size_t bytes, struct sp_error *err) {
  return copy(trainer, to, from, bytes, cudaMemcpyHostToDevice, err);
}

enum sp_status sp_cuda_train_download(struct sp_trainer *trainer, void *to, const void *from,
                                      size_t bytes, struct sp_error *err) {
  SP_TRY(copy(trainer, to, from, bytes, cudaMemcpyDeviceToHost, err));
  return sp_cuda_train_finish(trainer, err);
}

enum sp_status sp_cuda_train_zero(struct sp_trainer *trainer, void *data, size_t bytes,
                                  struct sp_error *err) {
  if (bytes == 0) {
    return SP_OK;
  }
  SP_TRY(sp_cuda_enter(trainer->device, err));
  return SP_CUDA(trainer->device, cudaMemsetAsync(data, 0, bytes, trainer->stream), err);
}

enum sp_status sp_cuda_train_finish(struct sp_trainer *trainer, struct sp_error *err) {
  SP_TRY(sp_cuda_enter(trainer->device, err));
  return SP_CUDA(trainer->device, cudaStreamSynchronize(trainer->stream), err);
}
