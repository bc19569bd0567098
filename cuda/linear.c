/* linear.c - out = activation(in W^T + bias) + residual, by cuBLASLt.
 *
 * Shapes    in (R, K) and W (N, K) act; residual and out (R, N), both res or, without residual, act
 * Numerics  products of act, summed in f32 (never TF32), rounded once to the output's type, in which
 *           the residual comes in as C with beta 1.  The epilogue adds a bias of that type and does
 *           ReLU, and in bf16 the tanh GELU.  It has no other GELU: the erf form and tanh are our
 *           kernel's, which takes the product rounded, and adds the bias (f32) and activates in f32
 * Rows      are rounded up to the row quantum, so that every product has whole tiles; the algorithm
 *           is one for all (algorithm.c)
 * Padding   where the library has no algorithm for a width, the product runs on copies whose widths
 *           are multiples of 8, SP_CUDA_PAD_ROWS rows at a time
 * Bound     arithmetic from a width of about 512 on, below that memory (performance.md 1.2) */
#include <stdlib.h>

#include "check.h"
#include "checked.h"

/* Elements of 16 bytes of bf16. */
enum { pad_quantum = 8 };

static cublasLtEpilogue_t epilogue_of(const struct sp_linear *linear) {
  if (linear->own_epilogue) {
    return CUBLASLT_EPILOGUE_DEFAULT;
  }
  switch (linear->activation) {
    case SP_ACT_RELU:
      return CUBLASLT_EPILOGUE_RELU_BIAS;
    case SP_ACT_GELU_TANH:
      return CUBLASLT_EPILOGUE_GELU_BIAS;
    default:
      return CUBLASLT_EPILOGUE_BIAS;
  }
}

/* The library's tanh GELU is good to bf16; nothing says that it is to f32. */
static bool needs_own_epilogue(const struct sp_cuda_device *cuda, enum sp_activation activation,
                               bool out_res) {
  return activation == SP_ACT_GELU_ERF || activation == SP_ACT_TANH ||
         (activation == SP_ACT_GELU_TANH && (out_res || cuda->base.compute == SP_COMPUTE_F32));
}

static enum sp_status make_desc(struct sp_linear *linear, struct sp_error *err) {
  const struct sp_cuda_device *cuda = linear->device;
  const cublasOperation_t turned = CUBLAS_OP_T;
  const cublasLtEpilogue_t epilogue = epilogue_of(linear);
  SP_TRY(
      SP_CUBLAS(cuda, cublasLtMatmulDescInit(&linear->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F), err));
  SP_TRY(SP_CUBLAS(cuda,
                   cublasLtMatmulDescSetAttribute(&linear->desc, CUBLASLT_MATMUL_DESC_TRANSA,
                                                  &turned, sizeof turned),
                   err));
  SP_TRY(SP_CUBLAS(cuda,
                   cublasLtMatmulDescSetAttribute(&linear->desc, CUBLASLT_MATMUL_DESC_EPILOGUE,
                                                  &epilogue, sizeof epilogue),
                   err));
  return linear->own_epilogue ? SP_OK
                              : SP_CUBLAS(cuda,
                                          cublasLtMatmulDescSetAttribute(
                                              &linear->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                              &linear->bias, sizeof linear->bias),
                                          err);
}

/* At a typical number of rows: the scored rows are one or two of a sequence's. */
static size_t reference_rows(const struct sp_linear *linear, enum sp_row_kind rows) {
  size_t hidden = sp_min_size(linear->n, linear->k);
  size_t tokens = sp_cuda_batch_tokens(&linear->device->base, hidden);
  return sp_round_up(rows == SP_ROWS_TOKENS ? tokens : tokens / 16, SP_CUDA_ROW_QUANTUM);
}

/* For the widths as they are, else for padded ones. */
static enum sp_status choose(struct sp_linear *linear, enum sp_row_kind rows,
                             struct sp_error *err) {
  struct sp_cuda_device *cuda = linear->device;
  size_t reference = reference_rows(linear, rows);
  bool found;
  SP_TRY(sp_cuda_choose_algorithm(linear, reference, &found, err));
  if (!found) {
    linear->n_run = sp_round_up(linear->n, pad_quantum);
    linear->k_run = sp_round_up(linear->k, pad_quantum);
    SP_TRY(sp_cuda_choose_algorithm(linear, sp_min_size(reference, SP_CUDA_PAD_ROWS), &found, err));
    size_t width = sp_max_size(linear->n_run, linear->k_run);
    cuda->pad_bytes = sp_max_size(cuda->pad_bytes, SP_CUDA_PAD_ROWS * width * cuda->base.res_bytes);
  }
  return found ? SP_OK
               : sp_fail(err, SP_EMODEL, "%s: cuBLASLt has no algorithm for a product of %zu x %zu",
                         cuda->base.name, linear->n, linear->k);
}

static enum sp_status fill(struct sp_linear *linear, const float *weight, const float *bias,
                           enum sp_row_kind rows, struct sp_error *err) {
  struct sp_cuda_device *cuda = linear->device;
  size_t n = linear->n, k = linear->k;
  if (linear->own_epilogue) {
    SP_TRY(sp_cuda_make_f32(cuda, bias, n, (float **)&linear->bias, err));
  } else {
    enum sp_compute type = linear->out_f32 ? SP_COMPUTE_F32 : SP_COMPUTE_BF16;
    SP_TRY(sp_cuda_make_rows(cuda, type, bias, 1, n, 1, sp_round_up(n, pad_quantum), &linear->bias,
                             err));
  }
  SP_TRY(make_desc(linear, err));
  SP_TRY(choose(linear, rows, err));
  return sp_cuda_make_act(cuda, weight, n, k, linear->n_run, linear->k_run, &linear->weight, err);
}

enum sp_status sp_cuda_linear_create(struct sp_device *device, const float *weight,
                                     const float *bias, size_t n, size_t k,
                                     enum sp_activation activation, enum sp_row_kind rows,
                                     bool out_res, struct sp_linear **out, struct sp_error *err) {
  struct sp_cuda_device *cuda = sp_cuda_device_of(device);
  struct sp_linear *linear = calloc(1, sizeof *linear);
  if (!linear) {
    return sp_fail_memory(err, sizeof *linear);
  }
  *linear = (struct sp_linear){.device = cuda,
                               .n = n,
                               .k = k,
                               .n_run = n,
                               .k_run = k,
                               .activation = activation,
                               .out_f32 = out_res || device->compute == SP_COMPUTE_F32,
                               .own_epilogue = needs_own_epilogue(cuda, activation, out_res)};
  enum sp_status status = fill(linear, weight, bias, rows, err);
  if (status != SP_OK) {
    free(linear);
    return status;
  }
  sp_cuda_weight_made(cuda);
  *out = linear;
  return SP_OK;
}

void sp_cuda_linear_destroy(struct sp_linear *linear) {
  if (linear) {
    sp_cuda_weight_gone(linear->device);
    free(linear);
  }
}

static enum sp_status multiply(struct sp_stream *stream, const struct sp_linear *linear,
                               const void *in, const void *residual, size_t rows, void *out,
                               struct sp_error *err) {
  struct sp_cuda_layouts layouts;
  cublasLtMatmulDesc_t desc = (cublasLtMatmulDesc_t)&linear->desc; /* is only read */
  const float alpha = 1, beta = residual ? 1 : 0;
  SP_TRY(sp_cuda_lay_out(linear, rows, &layouts, err));
  return SP_CUBLAS(stream->device,
                   cublasLtMatmul(stream->lt, desc, &alpha, linear->weight, &layouts.a, in,
                                  &layouts.b, &beta, residual ? residual : out, &layouts.d, out,
                                  &layouts.d, &linear->algorithm, NULL, 0, stream->stream),
                   err);
}

/* `rows` rows of `width` bytes between places of different pitch. */
static enum sp_status copy_rows(struct sp_stream *stream, void *to, size_t to_pitch,
                                const void *from, size_t from_pitch, size_t width, size_t rows,
                                struct sp_error *err) {
  return SP_CUDA(stream->device,
                 cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, width, rows,
                                   cudaMemcpyDeviceToDevice, stream->stream),
                 err);
}

static enum sp_status multiply_padded(struct sp_stream *stream, const struct sp_linear *linear,
                                      const void *in, const void *residual, size_t rows, void *out,
                                      struct sp_error *err) {
  size_t act = stream->device->base.act_bytes, out_bytes = linear->out_f32 ? 4 : act;
  size_t k = linear->k * act, k_run = linear->k_run * act;
  size_t n = linear->n * out_bytes, n_run = linear->n_run * out_bytes;
  SP_TRY(SP_CUDA(stream->device,
                 cudaMemsetAsync(stream->pad_in, 0, SP_CUDA_PAD_ROWS * k_run, stream->stream),
                 err)); /* another width may have left its values behind k */
  for (size_t r = 0; r < rows; r += SP_CUDA_PAD_ROWS) {
    size_t now = sp_min_size(rows - r, SP_CUDA_PAD_ROWS);
    SP_TRY(copy_rows(stream, stream->pad_in, k_run, (const char *)in + r * k, k, k, now, err));
    if (residual) {
      SP_TRY(copy_rows(stream, stream->pad_out, n_run, (const char *)residual + r * n, n, n, now,
                       err));
    }
    SP_TRY(multiply(stream, linear, stream->pad_in, residual ? stream->pad_out : NULL, now,
                    stream->pad_out, err));
    SP_TRY(copy_rows(stream, (char *)out + r * n, n, stream->pad_out, n_run, n, now, err));
  }
  return SP_OK;
}

enum sp_status sp_cuda_linear(struct sp_stream *stream, const struct sp_linear *linear,
                              const void *in, const void *residual, size_t rows, void *out,
                              struct sp_error *err) {
  size_t whole = sp_round_up(rows, SP_CUDA_ROW_QUANTUM);
  if (rows == 0) {
    return SP_OK;
  }
  if (residual && linear->activation != SP_ACT_NONE) {
    return sp_fail(err, SP_EMODEL, "%s: a product with an activation takes no residual",
                   stream->device->base.name);
  }
  SP_TRY(sp_cuda_enter(stream->device, err));
  bool padded = linear->n_run != linear->n || linear->k_run != linear->k;
  SP_TRY((padded ? multiply_padded : multiply)(stream, linear, in, residual, whole, out, err));
  return linear->own_epilogue
             ? SP_CUDA(stream->device,
                       sp_cuda_bias_activate(stream->stream, !linear->out_f32, linear->bias,
                                             linear->activation, out, rows, linear->n),
                       err)
             : SP_OK;
}
