/* train.c - the CPU's table of train.h: the way to the kernels of the device's instruction set. */
#include "train_cpu.h"
#include "train_kernels.h"
#include "train_products.h"

static enum sp_status embed(struct sp_trainer *trainer, const struct sp_train_embed_args *args,
                            struct sp_error *err) {
  return trainer->kernels->embed(trainer, args, err);
}

static enum sp_status segment_add(struct sp_trainer *trainer,
                                  const struct sp_train_segment_args *args, struct sp_error *err) {
  return trainer->kernels->segment_add(trainer, args, err);
}

static enum sp_status gather(struct sp_trainer *trainer, const void *from, size_t row_bytes,
                             const uint32_t *index, size_t rows, void *to, struct sp_error *err) {
  return trainer->kernels->gather(trainer, from, row_bytes, index, rows, to, err);
}

static enum sp_status add_norm(struct sp_trainer *trainer, const struct sp_train_norm_args *args,
                               struct sp_error *err) {
  return trainer->kernels->add_norm(trainer, args, err);
}

static enum sp_status add_norm_backward(struct sp_trainer *trainer,
                                        const struct sp_train_norm_backward_args *args,
                                        struct sp_error *err) {
  return trainer->kernels->add_norm_backward(trainer, args, err);
}

static enum sp_status attention(struct sp_trainer *trainer,
                                const struct sp_train_attention_args *args, struct sp_error *err) {
  return trainer->kernels->attention(trainer, args, err);
}

static enum sp_status attention_backward(struct sp_trainer *trainer,
                                         const struct sp_train_attention_backward_args *args,
                                         struct sp_error *err) {
  return trainer->kernels->attention_backward(trainer, args, err);
}

static enum sp_status soften(struct sp_trainer *trainer, const struct sp_train_soften_args *args,
                             struct sp_error *err) {
  return trainer->kernels->soften(trainer, args, err);
}

static enum sp_status soften_backward(struct sp_trainer *trainer,
                                      const struct sp_train_soften_backward_args *args,
                                      struct sp_error *err) {
  return trainer->kernels->soften_backward(trainer, args, err);
}

static enum sp_status adamw(struct sp_trainer *trainer, const struct sp_train_adamw_args *args,
                            struct sp_error *err) {
  return trainer->kernels->adamw(trainer, args, err);
}

static enum sp_status square_sum(struct sp_trainer *trainer, const float *x, size_t count,
                                 double *out, struct sp_error *err) {
  return trainer->kernels->square_sum(trainer, x, count, out, err);
}

const struct sp_train_backend sp_cpu_train = {
    .open = sp_cpu_train_open,
    .close = sp_cpu_train_close,
    .weight_create = sp_cpu_train_weight_create,
    .weight_destroy = sp_cpu_train_weight_destroy,
    .weight_refresh = sp_cpu_train_weight_refresh,
    .upload = sp_cpu_train_copy,
    .download = sp_cpu_train_copy,
    .fill_zero = sp_cpu_train_fill_zero,
    .finish = sp_cpu_train_finish,
    .embed = embed,
    .segment_add = segment_add,
    .gather = gather,
    .linear = sp_cpu_train_linear,
    .linear_backward = sp_cpu_train_linear_backward,
    .add_norm = add_norm,
    .add_norm_backward = add_norm_backward,
    .attention = attention,
    .attention_backward = attention_backward,
    .vocab_loss = sp_cpu_train_vocab_loss,
    .soften = soften,
    .soften_backward = soften_backward,
    .adamw = adamw,
    .square_sum = square_sum,
};
