/* train_vocab.c - the vocabulary's loss and its gradients, some rows of logits at a time.
 *
 * The logits of SP_CUDA_TRAIN_VOCAB_ROWS rows are kept, f32, each row at a multiple of 16 bytes;
 * their gradient, act, is what three products read.  Chunks follow each other, so that sums over
 * rows have one order.
 * Bound     6 R V D operations with gradients, and some 20 bytes a logit: arithmetic from a width of
 *           about 700 on */
#include "check.h"
#include "trainer.h"

static enum sp_status add_gradients(struct sp_trainer *trainer,
                                    const struct sp_train_vocab_args *args, const void *h,
                                    size_t first, size_t rows, struct sp_error *err) {
  const struct sp_train_weight *weight = args->weight;
  SP_TRY(sp_cuda_product(trainer, weight, SP_CUDA_VOCAB_X, rows,
                         &(struct sp_cuda_operands){sp_cuda_weight_data(weight), trainer->d_logits,
                                                    args->d_h + first * weight->k, false},
                         err));
  SP_TRY(sp_cuda_product(trainer, weight, SP_CUDA_VOCAB_G, rows,
                         &(struct sp_cuda_operands){h, trainer->d_logits, args->d_weight, true},
                         err));
  return SP_CUDA(
      trainer->device,
      sp_cuda_train_column_sum(trainer->stream, sp_cuda_is_bf16(trainer), trainer->d_logits, rows,
                               weight->n, trainer->vocab_pitch, args->d_bias, trainer->sums),
      err);
}

static enum sp_status add_rows(struct sp_trainer *trainer, const struct sp_train_vocab_args *args,
                               size_t first, size_t rows, struct sp_error *err) {
  const struct sp_train_weight *weight = args->weight;
  const char *h = (const char *)args->h + first * weight->k * sp_cuda_type_bytes(weight->type);
  const struct sp_cuda_softmax_loss_args loss = {
      .logits = trainer->logits,
      .bias = args->bias,
      .target = args->target + first,
      .rows = rows,
      .v = weight->n,
      .pitch = trainer->vocab_pitch,
      .scale = args->scale,
      .loss = args->loss + first,
      .d_logits = args->backward ? trainer->d_logits : NULL,
  };
  SP_TRY(sp_cuda_product(
      trainer, weight, SP_CUDA_VOCAB_Y, rows,
      &(struct sp_cuda_operands){sp_cuda_weight_data(weight), h, trainer->logits, false}, err));
  SP_TRY(SP_CUDA(trainer->device,
                 sp_cuda_train_softmax_loss(trainer->stream, sp_cuda_is_bf16(trainer), &loss),
                 err));
  return args->backward ? add_gradients(trainer, args, h, first, rows, err) : SP_OK;
}

enum sp_status sp_cuda_train_vocab_loss(struct sp_trainer *trainer,
                                        const struct sp_train_vocab_args *args,
                                        struct sp_error *err) {
  if (args->rows == 0) {
    return SP_OK;
  }
  if (args->weight->n != trainer->limits.vocab || args->rows > trainer->limits.scored ||
      args->weight->type != trainer->device->base.compute) {
    return sp_fail(err, SP_EMODEL,
                   "%s: a trainer of %zu scored rows, vocabulary %zu has no room for %zu rows, "
                   "vocabulary %zu, or they are of another type",
                   trainer->device->base.name, trainer->limits.scored, trainer->limits.vocab,
                   args->rows, args->weight->n);
  }
  SP_TRY(sp_cuda_enter(trainer->device, err));
  for (size_t first = 0; first < args->rows; first += trainer->vocab_rows) {
    size_t rows = sp_min_size(args->rows - first, trainer->vocab_rows);
    SP_TRY(add_rows(trainer, args, first, rows, err));
  }
  return SP_OK;
}
