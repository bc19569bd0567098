/* train.c - the table of training ops, and those of them that are one launch. */
#include "check.h"
#include "trainer.h"

static enum sp_status embed(struct sp_trainer *trainer, const struct sp_train_embed_args *args,
                            struct sp_error *err) {
  SP_TRY(sp_cuda_enter(trainer->device, err));
  return SP_CUDA(trainer->device, sp_cuda_train_embed(trainer->stream, args), err);
}

static enum sp_status segment_add(struct sp_trainer *trainer,
                                  const struct sp_train_segment_args *args, struct sp_error *err) {
  SP_TRY(sp_cuda_enter(trainer->device, err));
  return SP_CUDA(trainer->device, sp_cuda_train_segment_add(trainer->stream, args), err);
}

static enum sp_status gather(struct sp_trainer *trainer, const void *from, size_t row_bytes,
                             const uint32_t *index, size_t rows, void *to, struct sp_error *err) {
  SP_TRY(sp_cuda_enter(trainer->device, err));
  return SP_CUDA(trainer->device, sp_cuda_gather(trainer->stream, from, row_bytes, index, rows, to),
                 err);
}

static enum sp_status add_norm(struct sp_trainer *trainer, const struct sp_train_norm_args *args,
                               struct sp_error *err) {
  SP_TRY(sp_cuda_enter(trainer->device, err));
  return SP_CUDA(trainer->device,
                 sp_cuda_train_add_norm(trainer->stream, sp_cuda_is_bf16(trainer), args), err);
}

/* What needs scratch must keep to the limits that the scratch was sized for. */
static enum sp_status check_rows(const struct sp_trainer *trainer, size_t rows, size_t width,
                                 size_t most_width, struct sp_error *err) {
  return rows <= trainer->limits.rows && width <= most_width
             ? SP_OK
             : sp_fail(err, SP_EMODEL, "%s: a trainer of %zu rows has no room for %zu rows of %zu",
                       trainer->device->base.name, trainer->limits.rows, rows, width);
}

static enum sp_status add_norm_backward(struct sp_trainer *trainer,
                                        const struct sp_train_norm_backward_args *args,
                                        struct sp_error *err) {
  SP_TRY(check_rows(trainer, args->rows, args->d, trainer->limits.width, err));
  SP_TRY(sp_cuda_enter(trainer->device, err));
  return SP_CUDA(trainer->device,
                 sp_cuda_train_add_norm_backward(trainer->stream, args, trainer->sums), err);
}

static enum sp_status check_heads(const struct sp_trainer *trainer,
                                  const struct sp_train_attention_args *args,
                                  struct sp_error *err) {
  SP_TRY(check_rows(trainer, args->rows, args->heads, trainer->limits.heads, err));
  if (args->bias && args->reach > SP_MAX_REACH) {
    return sp_fail(err, SP_EMODEL, "%s: a soft mask of reach %zu (%d at most)",
                   trainer->device->base.name, args->reach, SP_MAX_REACH);
  }
  return args->head_dim <= SP_CUDA_MAX_HEAD_DIM
             ? SP_OK
             : sp_fail(err, SP_EMODEL, "%s: heads of %zu dimensions (%d at most)",
                       trainer->device->base.name, args->head_dim, SP_CUDA_MAX_HEAD_DIM);
}

static enum sp_status attention(struct sp_trainer *trainer,
                                const struct sp_train_attention_args *args, struct sp_error *err) {
  SP_TRY(check_heads(trainer, args, err));
  SP_TRY(sp_cuda_enter(trainer->device, err));
  return SP_CUDA(trainer->device,
                 sp_cuda_train_attention(trainer->stream, sp_cuda_is_bf16(trainer), args), err);
}

static enum sp_status attention_backward(struct sp_trainer *trainer,
                                         const struct sp_train_attention_backward_args *args,
                                         struct sp_error *err) {
  SP_TRY(check_heads(trainer, &args->forward, err));
  SP_TRY(sp_cuda_enter(trainer->device, err));
  return SP_CUDA(trainer->device,
                 sp_cuda_train_attention_backward(trainer->stream, sp_cuda_is_bf16(trainer), args,
                                                  trainer->sums),
                 err);
}

static enum sp_status soften(struct sp_trainer *trainer, const struct sp_train_soften_args *args,
                             struct sp_error *err) {
  SP_TRY(sp_cuda_enter(trainer->device, err));
  return SP_CUDA(trainer->device, sp_cuda_train_soften(trainer->stream, args), err);
}

static enum sp_status soften_backward(struct sp_trainer *trainer,
                                      const struct sp_train_soften_backward_args *args,
                                      struct sp_error *err) {
  SP_TRY(sp_cuda_enter(trainer->device, err));
  return SP_CUDA(trainer->device, sp_cuda_train_soften_backward(trainer->stream, args), err);
}

static enum sp_status adamw(struct sp_trainer *trainer, const struct sp_train_adamw_args *args,
                            struct sp_error *err) {
  SP_TRY(sp_cuda_enter(trainer->device, err));
  return SP_CUDA(trainer->device, sp_cuda_train_adamw(trainer->stream, args), err);
}

static enum sp_status square_sum(struct sp_trainer *trainer, const float *x, size_t count,
                                 double *out, struct sp_error *err) {
  double sum = 0;
  for (size_t first = 0; first < count; first += SP_CUDA_SQUARE_FLOATS) {
    double part;
    size_t now = sp_min_size(count - first, SP_CUDA_SQUARE_FLOATS);
    SP_TRY(sp_cuda_enter(trainer->device, err));
    SP_TRY(SP_CUDA(
        trainer->device,
        sp_cuda_train_square_sum(trainer->stream, x + first, now, trainer->squares, trainer->sums),
        err));
    SP_TRY(sp_cuda_train_download(trainer, &part, trainer->squares, sizeof part, err));
    sum += part;
  }
  *out = sum;
  return SP_OK;
}

const struct sp_train_backend sp_cuda_train = {
    .open = sp_cuda_trainer_open,
    .close = sp_cuda_trainer_close,
    .weight_create = sp_cuda_train_weight_create,
    .weight_destroy = sp_cuda_train_weight_destroy,
    .weight_refresh = sp_cuda_train_weight_refresh,
    .upload = sp_cuda_train_upload,
    .download = sp_cuda_train_download,
    .fill_zero = sp_cuda_train_zero,
    .finish = sp_cuda_train_finish,
    .embed = embed,
    .segment_add = segment_add,
    .gather = gather,
    .linear = sp_cuda_train_linear,
    .linear_backward = sp_cuda_train_linear_backward,
    .add_norm = add_norm,
    .add_norm_backward = add_norm_backward,
    .attention = attention,
    .attention_backward = attention_backward,
    .vocab_loss = sp_cuda_train_vocab_loss,
    .soften = soften,
    .soften_backward = soften_backward,
    .adamw = adamw,
    .square_sum = square_sum,
    .all_reduce = sp_cuda_all_reduce,
};
