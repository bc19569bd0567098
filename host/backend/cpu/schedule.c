/* schedule.c - the lookahead scheduler of a layer: dense layers on f32 rows, their signs as bits.
 *
 * Shapes    rows (R, D) f32; the last layer (reach, K) f32; bits (R) u32
 * Parallel  the calling thread alone, SP_CPU_TILE_DENSE rows through all layers at a time
 * Numerics  f32 throughout, sums over K in order (gemm_portable.c); a bit is g >= 0 on the logit,
 *           never on a rounded sigmoid; a span's product runs over m ascending
 * Bound     arithmetic in f32, small beside the layer */
#include <math.h>

#include "device.h"
#include "rounded_key.h"

/* Bits of one row's logits; *nan where one is not a number. */
static uint32_t bits_of(const struct sp_schedule_args *args, const float *g, bool *nan) {
  uint32_t bits = 0;
  float product = 1.0f;
  for (size_t r = 0; r < args->reach; r++) {
    *nan = *nan || isnan(g[r]);
    bits |= (uint32_t)sp_rounded_key(args->span, args->tau, g[r], &product) << r;
  }
  return bits;
}

enum sp_status sp_cpu_schedule(struct sp_stream *stream, const struct sp_schedule_args *args,
                               struct sp_error *err) {
  const struct sp_gemm_engine *engine = stream->device->heads.engine;
  size_t width = args->layers[0]->gemm->spec.k;
  bool nan = false;
  for (size_t r = 0; r < args->rows; r += SP_CPU_TILE_DENSE) {
    size_t now = args->rows - r < SP_CPU_TILE_DENSE ? args->rows - r : SP_CPU_TILE_DENSE;
    const float *in = (const float *)args->rows_res + r * width;
    for (size_t i = 0; i < args->n_layers; i++) {
      float *out = stream->head_rows[i & 1];
      SP_TRY(engine->run(stream->head_lane, args->layers[i]->gemm, 0, in, now, true, out, err));
      in = out;
    }
    for (size_t t = 0; t < now; t++) {
      args->bits[r + t] = bits_of(args, in + t * args->reach, &nan);
    }
  }
  *args->nan |= nan;
  if (!args->mask) {
    return SP_OK;
  }
  struct sp_mask_args mask = *args->mask;
  mask.bits = args->bits;
  mask.bits_row = NULL;
  return sp_cpu_mask(stream, &mask, err);
}
