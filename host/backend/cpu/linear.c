/* linear.c - out = activation(in W^T + bias), in fixed tiles of rows.
 *
 * Shapes    in (R, K) of the compute type, W (N, K), out (R, N) of the compute type or f32
 * Parallel  the calling thread alone, one tile of rows after the other; the last tile is run whole
 * Numerics  products of the compute type, summed in f32; bias and activation in f32.  oneDNN's erf
 *           GELU is off by up to 9e-7 in 3.7, which f32 scores would show: there it is our own
 * Bound     arithmetic */
#include <stdlib.h>

#include "kernels.h"

/* What the product engine is not asked to do. */
static enum sp_activation activation_after(const struct sp_cpu_device *cpu,
                                           enum sp_activation activation) {
  bool foreign = cpu->products.engine != cpu->kernels->portable;
  bool own = foreign && cpu->base.compute == SP_COMPUTE_F32 && activation == SP_ACT_GELU_ERF;
  return own ? activation : SP_ACT_NONE;
}

enum sp_status sp_cpu_linear_create(struct sp_device *device, const float *weight,
                                    const float *bias, size_t n, size_t k,
                                    enum sp_activation activation, enum sp_row_kind rows,
                                    bool out_res, struct sp_linear **out, struct sp_error *err) {
  struct sp_cpu_device *cpu = sp_cpu_device_of(device);
  enum sp_activation after = activation_after(cpu, activation);
  struct sp_gemm_spec spec = {
      .compute = device->compute,
      .activation = after == SP_ACT_NONE ? activation : SP_ACT_NONE,
      .act_out = !out_res,
      .f32_out = out_res,
      .tile = rows == SP_ROWS_TOKENS ? SP_CPU_TILE_TOKENS : SP_CPU_TILE_SCORED,
      .n = n,
      .k = k,
      .slabs = 1,
  };
  struct sp_linear *linear = malloc(sizeof *linear);
  if (!linear) {
    return sp_fail_memory(err, sizeof *linear);
  }
  linear->device = cpu;
  linear->after = after;
  linear->out_res = out_res;
  enum sp_status status =
      sp_cpu_gemm_create(cpu, &cpu->products, &spec, weight, bias, n, &linear->gemm, err);
  if (status != SP_OK) {
    free(linear);
    return status;
  }
  *out = linear;
  return SP_OK;
}

void sp_cpu_linear_destroy(struct sp_linear *linear) {
  if (linear) {
    sp_cpu_gemm_destroy(linear->device, &linear->device->products, linear->gemm);
    free(linear);
  }
}

enum sp_status sp_cpu_linear(struct sp_stream *stream, const struct sp_linear *linear,
                             const void *in, const void *residual, size_t rows, void *out,
                             struct sp_error *err) {
  (void)residual; /* add_norm adds it */
  const struct sp_gemm_spec *spec = &linear->gemm->spec;
  const struct sp_device *device = &stream->device->base;
  size_t in_bytes = spec->k * device->act_bytes;
  size_t out_bytes = spec->n * (linear->out_res ? device->res_bytes : device->act_bytes);
  bool out_f32 = linear->out_res || device->compute == SP_COMPUTE_F32;
  for (size_t r = 0; r < rows; r += spec->tile) {
    size_t now = rows - r < spec->tile ? rows - r : spec->tile;
    char *to = (char *)out + r * out_bytes;
    SP_TRY(stream->device->products.engine->run(stream->product_lane, linear->gemm, 0,
                                                (const char *)in + r * in_bytes, now, out_f32, to,
                                                err));
    if (linear->after != SP_ACT_NONE) {
      stream->device->kernels->activate(linear->after, (float *)(void *)to, now * spec->n);
    }
  }
  return SP_OK;
}
