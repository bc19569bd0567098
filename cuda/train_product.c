/* train_product.c - the three products of a weight W (N, K), by cuBLASLt: y = x W^T, x = y W and
 * g += y^T x, for R rows of x and y.
 *
 * Numerics  products of the weight's type, summed in f32 (never TF32); the epilogue of y adds a
 *           bias of y's type
 * Order     one algorithm a product (algorithm.c).  Only g, where R is about what the trainer was
 *           made for, may be divided along R: its tiles alone do not fill a device
 * Rows      any number: R is never a dimension whose alignment the library asks about, and surplus
 *           rows are not read
 * Padding   as in linear.c, where the library has no algorithm for the widths: copies of multiples
 *           of 8, SP_CUDA_PAD_ROWS rows at a time; columns behind the widths meet zeros of the
 *           weight, or end in columns that nobody reads */
#include "check.h"
#include "trainer.h"

enum sums { FORWARD, BACK, GRADIENT };

static const struct kind {
  enum sums sums;
  bool f32, bias, vocab, divided;
} kinds[SP_CUDA_PRODUCTS] = {
    [SP_CUDA_Y] = {.sums = FORWARD, .bias = true},
    [SP_CUDA_Y_F32] = {.sums = FORWARD, .f32 = true, .bias = true},
    [SP_CUDA_X] = {.sums = BACK},
    [SP_CUDA_X_F32] = {.sums = BACK, .f32 = true},
    [SP_CUDA_G] = {.sums = GRADIENT, .f32 = true},
    [SP_CUDA_G_DIVIDED] = {.sums = GRADIENT, .f32 = true, .divided = true},
    [SP_CUDA_VOCAB_Y] = {.sums = FORWARD, .f32 = true, .vocab = true},
    [SP_CUDA_VOCAB_X] = {.sums = BACK, .f32 = true, .vocab = true},
    [SP_CUDA_VOCAB_G] = {.sums = GRADIENT, .f32 = true, .vocab = true},
};

/* Column by column, rows of x are columns of K, those of y of N, and W is (K, N). */
static enum sp_status lay_out(const struct sp_train_weight *weight, const struct kind *kind,
                              size_t rows, struct sp_cuda_layouts *out, struct sp_error *err) {
  const struct sp_cuda_device *cuda = weight->trainer->device;
  size_t n = weight->n_run, k = weight->k_run;
  size_t pitch = kind->vocab ? weight->trainer->vocab_pitch : n;
  cudaDataType_t in = weight->type == SP_COMPUTE_BF16 ? CUDA_R_16BF : CUDA_R_32F;
  cudaDataType_t result = kind->f32 ? CUDA_R_32F : in;
  const struct matrix {
    cublasLtMatrixLayoutOpaque_t *layout;
    cudaDataType_t type;
    size_t rows, columns, pitch;
  } matrices[][3] = {
      [FORWARD] = {{&out->a, in, k, n, k},
                   {&out->b, in, k, rows, k},
                   {&out->d, result, n, rows, pitch}},
      [BACK] = {{&out->a, in, k, n, k},
                {&out->b, in, n, rows, pitch},
                {&out->d, result, k, rows, k}},
      [GRADIENT] = {{&out->a, in, k, rows, k},
                    {&out->b, in, n, rows, pitch},
                    {&out->d, result, k, n, k}},
  };
  for (int i = 0; i < 3; i++) {
    const struct matrix *m = &matrices[kind->sums][i];
    SP_TRY(SP_CUBLAS(
        cuda, cublasLtMatrixLayoutInit(m->layout, m->type, m->rows, m->columns, (int64_t)m->pitch),
        err));
  }
  return SP_OK;
}

static enum sp_status set(const struct sp_cuda_device *cuda, cublasLtMatmulDescOpaque_t *desc,
                          cublasLtMatmulDescAttributes_t which, const void *value, size_t bytes,
                          struct sp_error *err) {
  return SP_CUBLAS(cuda, cublasLtMatmulDescSetAttribute(desc, which, value, bytes), err);
}

static enum sp_status describe(const struct sp_trainer *trainer, const struct kind *kind,
                               cublasLtMatmulDescOpaque_t *desc, struct sp_error *err) {
  const struct sp_cuda_device *cuda = trainer->device;
  const cublasOperation_t turned = CUBLAS_OP_T;
  const cublasLtEpilogue_t epilogue =
      kind->bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  SP_TRY(SP_CUBLAS(cuda, cublasLtMatmulDescInit(desc, CUBLAS_COMPUTE_32F, CUDA_R_32F), err));
  if (kind->sums != BACK) {
    SP_TRY(set(cuda, desc,
               kind->sums == FORWARD ? CUBLASLT_MATMUL_DESC_TRANSA : CUBLASLT_MATMUL_DESC_TRANSB,
               &turned, sizeof turned, err));
  }
  SP_TRY(set(cuda, desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue, err));
  return kind->bias ? set(cuda, desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &trainer->bias,
                          sizeof trainer->bias, err)
                    : SP_OK;
}

enum sp_status sp_cuda_plan_product(struct sp_train_weight *weight, enum sp_cuda_product which,
                                    struct sp_error *err) {
  struct sp_trainer *trainer = weight->trainer;
  struct sp_cuda_product_plan *plan = &weight->plans[which];
  const struct kind *kind = &kinds[which];
  struct sp_cuda_layouts layouts;
  size_t rows = kind->vocab ? trainer->vocab_rows : sp_max_size(trainer->limits.rows, 1);
  SP_TRY(describe(trainer, kind, &plan->desc, err));
  SP_TRY(lay_out(weight, kind, rows, &layouts, err));
  SP_TRY(sp_cuda_find_algorithm(trainer->device, &plan->desc, &layouts,
                                kind->divided ? trainer->parts_bytes : 0, &plan->algorithm,
                                &plan->found, err));
  if (plan->found) {
    sp_cuda_record_product(trainer->device, weight->n, weight->k, kind->f32, &plan->algorithm);
  }
  return SP_OK;
}

static enum sp_status multiply(struct sp_trainer *trainer, const struct sp_train_weight *weight,
                               enum sp_cuda_product which, size_t rows,
                               const struct sp_cuda_operands *o, struct sp_error *err) {
  const struct sp_cuda_product_plan *plan = &weight->plans[which];
  const struct kind *kind = &kinds[which];
  struct sp_cuda_layouts layouts;
  cublasLtMatmulDesc_t desc = (cublasLtMatmulDesc_t)&plan->desc; /* is only read */
  const float alpha = 1, beta = o->add ? 1 : 0;
  SP_TRY(lay_out(weight, kind, rows, &layouts, err));
  return SP_CUBLAS(trainer->device,
                   cublasLtMatmul(trainer->lt, desc, &alpha, o->a, &layouts.a, o->b, &layouts.b,
                                  &beta, o->d, &layouts.d, o->d, &layouts.d, &plan->algorithm,
                                  kind->divided ? trainer->parts : NULL,
                                  kind->divided ? trainer->parts_bytes : 0, trainer->stream),
                   err);
}

/* ---- padded ---- */

size_t sp_cuda_pad_bytes(const struct sp_train_weight *weight) {
  size_t rows = sp_max_size(SP_CUDA_PAD_ROWS, weight->n_run);
  return sp_cuda_room(sp_mul_sat(rows, sp_max_size(weight->n_run, weight->k_run)), sizeof(float));
}

/* A matrix of the caller's, of `width` bytes a row, and its copy, whose rows are `pitch` apart. */
struct pad {
  char *data, *copy;
  size_t width, pitch;
};

static enum sp_status copy_rows(const struct sp_trainer *trainer, const struct pad *pad, bool in,
                                size_t first, size_t rows, struct sp_error *err) {
  char *data = pad->data + first * pad->width;
  return SP_CUDA(trainer->device,
                 cudaMemcpy2DAsync(in ? pad->copy : data, in ? pad->pitch : pad->width,
                                   in ? data : pad->copy, in ? pad->width : pad->pitch, pad->width,
                                   rows, cudaMemcpyDeviceToDevice, trainer->stream),
                 err);
}

static struct pad pad_of(const struct sp_train_weight *weight, bool is_x, const void *data,
                         char *copy, bool f32) {
  size_t bytes = f32 ? 4 : sp_cuda_type_bytes(weight->type);
  return (struct pad){(char *)(uintptr_t)data, copy, (is_x ? weight->k : weight->n) * bytes,
                      (is_x ? weight->k_run : weight->n_run) * bytes};
}

static enum sp_status multiply_padded_rows(struct sp_trainer *trainer,
                                           const struct sp_train_weight *weight,
                                           enum sp_cuda_product which, size_t rows,
                                           const struct sp_cuda_operands *o, struct sp_error *err) {
  bool forward = kinds[which].sums == FORWARD;
  struct pad b = pad_of(weight, forward, o->b, weight->pad_b, false);
  struct pad d = pad_of(weight, !forward, o->d, weight->pad_d, kinds[which].f32);
  const struct sp_cuda_operands padded = {o->a, b.copy, d.copy, o->add};
  for (size_t r = 0; r < rows; r += SP_CUDA_PAD_ROWS) {
    size_t now = sp_min_size(rows - r, SP_CUDA_PAD_ROWS);
    SP_TRY(copy_rows(trainer, &b, true, r, now, err));
    if (o->add) {
      SP_TRY(copy_rows(trainer, &d, true, r, now, err));
    }
    SP_TRY(multiply(trainer, weight, which, now, &padded, err));
    SP_TRY(copy_rows(trainer, &d, false, r, now, err));
  }
  return SP_OK;
}

static enum sp_status multiply_padded_gradient(struct sp_trainer *trainer,
                                               const struct sp_train_weight *weight, size_t rows,
                                               const struct sp_cuda_operands *o,
                                               struct sp_error *err) {
  struct pad a = pad_of(weight, true, o->a, weight->pad_a, false);
  struct pad b = pad_of(weight, false, o->b, weight->pad_b, false);
  struct pad d = pad_of(weight, true, o->d, weight->pad_d, true);
  const struct sp_cuda_operands padded = {a.copy, b.copy, d.copy, true};
  SP_TRY(copy_rows(trainer, &d, true, 0, weight->n, err));
  for (size_t r = 0; r < rows; r += SP_CUDA_PAD_ROWS) {
    size_t now = sp_min_size(rows - r, SP_CUDA_PAD_ROWS);
    SP_TRY(copy_rows(trainer, &a, true, r, now, err));
    SP_TRY(copy_rows(trainer, &b, true, r, now, err));
    SP_TRY(multiply(trainer, weight, SP_CUDA_G, now, &padded, err));
  }
  return copy_rows(trainer, &d, false, 0, weight->n, err);
}

static enum sp_status multiply_padded(struct sp_trainer *trainer,
                                      const struct sp_train_weight *weight,
                                      enum sp_cuda_product which, size_t rows,
                                      const struct sp_cuda_operands *o, struct sp_error *err) {
  if (kinds[which].sums == GRADIENT) {
    return multiply_padded_gradient(trainer, weight, rows, o, err);
  }
  SP_TRY(SP_CUDA(trainer->device, /* the other width may have left its values behind this one */
                 cudaMemsetAsync(weight->pad_b, 0, sp_cuda_pad_bytes(weight), trainer->stream),
                 err));
  return multiply_padded_rows(trainer, weight, which, rows, o, err);
}

enum sp_status sp_cuda_product(struct sp_trainer *trainer, const struct sp_train_weight *weight,
                               enum sp_cuda_product which, size_t rows,
                               const struct sp_cuda_operands *operands, struct sp_error *err) {
  if (!weight->plans[which].found) {
    return sp_fail(err, SP_EMODEL, "%s: a product of %zu x %zu is none of this trainer's",
                   trainer->device->base.name, weight->n, weight->k);
  }
  return (sp_cuda_is_padded(weight) ? multiply_padded : multiply)(trainer, weight, which, rows,
                                                                  operands, err);
}
