/* train_weight.c - what products read of a master: a bf16 copy, or the f32 master itself. */
#include <stdlib.h>

#include "check.h"
#include "trainer.h"

static enum sp_status plan_range(struct sp_train_weight *weight, enum sp_cuda_product first,
                                 enum sp_cuda_product last, bool *found, struct sp_error *err) {
  *found = true;
  for (int which = (int)first; which <= (int)last; which++) {
    SP_TRY(sp_cuda_plan_product(weight, (enum sp_cuda_product)which, err));
    *found = *found && weight->plans[which].found;
  }
  return SP_OK;
}

/* A vocabulary has products of its own, whose rows of logits are padded by their pitch alone;
 * beside them, or without them, what `linear` runs, where need be on padded widths. */
static enum sp_status plan(struct sp_train_weight *weight, struct sp_error *err) {
  const struct sp_train_limits *limits = &weight->trainer->limits;
  bool vocab = weight->trainer->vocab_rows > 0 && weight->n == limits->vocab;
  bool linear = sp_max_size(weight->n, weight->k) <= limits->width, wanted = linear;
  if (vocab) {
    SP_TRY(plan_range(weight, SP_CUDA_VOCAB_Y, SP_CUDA_VOCAB_G, &vocab, err));
  }
  if (linear) {
    SP_TRY(plan_range(weight, SP_CUDA_Y, SP_CUDA_G_DIVIDED, &linear, err));
  }
  if (wanted && !linear && !vocab) {
    weight->n_run = sp_round_up(weight->n, SP_CUDA_TRAIN_PITCH);
    weight->k_run = sp_round_up(weight->k, SP_CUDA_TRAIN_PITCH);
    SP_TRY(plan_range(weight, SP_CUDA_Y, SP_CUDA_G_DIVIDED, &linear, err));
  }
  return linear || vocab
             ? SP_OK
             : sp_fail(err, SP_EMODEL, "%s: %s a product of %zu x %zu",
                       weight->trainer->device->base.name,
                       wanted || weight->n == limits->vocab ? "cuBLASLt has no algorithm to train"
                                                            : "a trainer is too narrow for",
                       weight->n, weight->k);
}

/* The copy, and the room of padded products behind it. */
static enum sp_status take_memory(struct sp_train_weight *weight, struct sp_error *err) {
  bool padded = sp_cuda_is_padded(weight);
  if (weight->type == SP_COMPUTE_F32 && !padded) {
    return SP_OK;
  }
  size_t copy =
      sp_cuda_room(sp_mul_sat(weight->n_run, weight->k_run), sp_cuda_type_bytes(weight->type));
  size_t pad = padded ? sp_cuda_pad_bytes(weight) : 0, bytes;
  if (!sp_mul_size(pad, 3, &bytes) || !sp_add_size(copy, bytes, &bytes)) {
    return sp_fail_memory(err, (size_t)-1);
  }
  SP_TRY(sp_cuda_alloc(&weight->trainer->device->base, bytes, &weight->copy, err));
  weight->pad_a = (char *)weight->copy + copy;
  weight->pad_b = weight->pad_a + pad;
  weight->pad_d = weight->pad_b + pad;
  return SP_OK;
}

enum sp_status sp_cuda_train_weight_create(struct sp_trainer *trainer, enum sp_compute type,
                                           const float *master, size_t n, size_t k,
                                           struct sp_train_weight **out, struct sp_error *err) {
  struct sp_train_weight *weight = calloc(1, sizeof *weight);
  if (!weight) {
    return sp_fail_memory(err, sizeof *weight);
  }
  *weight = (struct sp_train_weight){
      .trainer = trainer, .type = type, .master = master, .n = n, .k = k, .n_run = n, .k_run = k};
  enum sp_status status;
  SP_TRY_GOTO(plan(weight, err), fail);
  SP_TRY_GOTO(take_memory(weight, err), fail);
  SP_TRY_GOTO(sp_cuda_train_weight_refresh(trainer, weight, err), fail);
  *out = weight;
  return SP_OK;

fail:
  sp_cuda_train_weight_destroy(weight);
  return status;
}

void sp_cuda_train_weight_destroy(struct sp_train_weight *weight) {
  if (weight) {
    sp_cuda_free(&weight->trainer->device->base, weight->copy);
    free(weight);
  }
}

enum sp_status sp_cuda_train_weight_refresh(struct sp_trainer *trainer,
                                            struct sp_train_weight *weight, struct sp_error *err) {
  const struct sp_cuda_device *cuda = trainer->device;
  bool bf16 = weight->type == SP_COMPUTE_BF16, padded = sp_cuda_is_padded(weight);
  size_t bytes = sp_cuda_type_bytes(weight->type);
  if (!weight->copy) {
    return SP_OK;
  }
  SP_TRY(sp_cuda_enter(cuda, err));
  if (bf16) {
    SP_TRY(SP_CUDA(cuda,
                   sp_cuda_train_convert(trainer->stream, weight->master, weight->n * weight->k,
                                         padded ? weight->pad_d : weight->copy),
                   err));
  }
  return padded ? SP_CUDA(cuda,
                          cudaMemcpy2DAsync(weight->copy, weight->k_run * bytes,
                                            bf16 ? (const void *)weight->pad_d : weight->master,
                                            weight->k * bytes, weight->k * bytes, weight->n,
                                            cudaMemcpyDeviceToDevice, trainer->stream),
                          err)
                : SP_OK;
}
