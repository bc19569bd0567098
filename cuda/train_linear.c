/* train_linear.c - linear and its way back: products, and launches around them.
 *
 * The bias goes into the product's epilogue, from a place of its own in the type of y: masters are
 * f32.  An activation is a launch behind it, which reads the pre-activation as it is kept. */
#include "check.h"
#include "trainer.h"

static enum sp_status stage_bias(struct sp_trainer *trainer, const float *bias, size_t n, bool f32,
                                 struct sp_error *err) {
  return f32 ? SP_CUDA(trainer->device,
                       cudaMemcpyAsync(trainer->bias, bias, n * sizeof(float),
                                       cudaMemcpyDeviceToDevice, trainer->stream),
                       err)
             : SP_CUDA(trainer->device,
                       sp_cuda_train_convert(trainer->stream, bias, n, trainer->bias), err);
}

/* The scratch has room for these. */
static enum sp_status check_shape(const struct sp_trainer *trainer,
                                  const struct sp_train_weight *weight, size_t rows,
                                  struct sp_error *err) {
  const struct sp_train_limits *limits = &trainer->limits;
  return rows <= limits->rows && weight->n <= limits->width
             ? SP_OK
             : sp_fail(err, SP_EMODEL,
                       "%s: a trainer of %zu rows, width %zu has no room for %zu rows, "
                       "width %zu",
                       trainer->device->base.name, limits->rows, limits->width, rows, weight->n);
}

enum sp_status sp_cuda_train_linear(struct sp_trainer *trainer,
                                    const struct sp_train_linear_args *args, struct sp_error *err) {
  const struct sp_train_weight *weight = args->weight;
  bool bf16 = weight->type == SP_COMPUTE_BF16, active = args->activation != SP_ACT_NONE;
  bool wide = !active && args->out_f32;
  if (args->rows == 0) {
    return SP_OK;
  }
  SP_TRY(check_shape(trainer, weight, args->rows, err));
  SP_TRY(sp_cuda_enter(trainer->device, err));
  SP_TRY(stage_bias(trainer, args->bias, weight->n, wide || !bf16, err));
  SP_TRY(sp_cuda_product(trainer, weight, wide ? SP_CUDA_Y_F32 : SP_CUDA_Y, args->rows,
                         &(struct sp_cuda_operands){sp_cuda_weight_data(weight), args->in,
                                                    active ? args->pre : args->out, false},
                         err));
  return active ? SP_CUDA(trainer->device,
                          sp_cuda_train_activate(trainer->stream, bf16, NULL, args->activation,
                                                 args->pre, args->rows, weight->n, args->out,
                                                 args->out_f32),
                          err)
                : SP_OK;
}

/* d_pre in the weight's type: d_out itself where that is it. */
static enum sp_status find_d_pre(struct sp_trainer *trainer,
                                 const struct sp_train_linear_backward_args *args,
                                 const void **d_pre, struct sp_error *err) {
  bool bf16 = args->weight->type == SP_COMPUTE_BF16;
  if (args->activation == SP_ACT_NONE && !(bf16 && args->d_out_f32)) {
    *d_pre = args->d_out;
    return SP_OK;
  }
  *d_pre = trainer->d_pre;
  return SP_CUDA(trainer->device,
                 sp_cuda_train_activate_backward(trainer->stream, bf16, args->activation, args->pre,
                                                 args->d_out, args->d_out_f32, args->rows,
                                                 args->weight->n, trainer->d_pre),
                 err);
}

enum sp_status sp_cuda_train_linear_backward(struct sp_trainer *trainer,
                                             const struct sp_train_linear_backward_args *args,
                                             struct sp_error *err) {
  const struct sp_train_weight *weight = args->weight;
  const void *d_pre;
  if (args->rows == 0) {
    return SP_OK;
  }
  SP_TRY(check_shape(trainer, weight, args->rows, err));
  SP_TRY(sp_cuda_enter(trainer->device, err));
  SP_TRY(find_d_pre(trainer, args, &d_pre, err));
  if (args->d_in) {
    SP_TRY(sp_cuda_product(
        trainer, weight, args->d_in_add ? SP_CUDA_X_F32 : SP_CUDA_X, args->rows,
        &(struct sp_cuda_operands){sp_cuda_weight_data(weight), d_pre, args->d_in, args->d_in_add},
        err));
  }
  bool divided = args->rows >= trainer->limits.rows / 2;
  SP_TRY(sp_cuda_product(trainer, weight, divided ? SP_CUDA_G_DIVIDED : SP_CUDA_G, args->rows,
                         &(struct sp_cuda_operands){args->in, d_pre, args->d_weight, true}, err));
  return SP_CUDA(
      trainer->device,
      sp_cuda_train_column_sum(trainer->stream, weight->type == SP_COMPUTE_BF16, d_pre, args->rows,
                               weight->n, weight->n, args->d_bias, trainer->sums),
      err);
}
