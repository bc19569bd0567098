/* score_head.c - dense layers one after the other on f32 rows; the last has one output.
 *
 * Shapes    rows (R, D) f32; a layer (N, K) f32; score (R)
 * Parallel  the calling thread alone, SP_CPU_TILE_DENSE rows through all layers at a time
 * Numerics  f32 throughout, sums over K in order (gemm_portable.c)
 * Bound     arithmetic in f32, small beside the encoder */
#include "device.h"

enum sp_status sp_cpu_score_head(struct sp_stream *stream, const struct sp_dense *const *layers,
                                 size_t n_layers, const void *rows_res, size_t rows, float *score,
                                 struct sp_error *err) {
  const struct sp_gemm_engine *engine = stream->device->heads.engine;
  size_t width = layers[0]->gemm->spec.k;
  for (size_t r = 0; r < rows; r += SP_CPU_TILE_DENSE) {
    size_t now = rows - r < SP_CPU_TILE_DENSE ? rows - r : SP_CPU_TILE_DENSE;
    const float *in = (const float *)rows_res + r * width;
    for (size_t i = 0; i < n_layers; i++) {
      float *out = i + 1 == n_layers ? score + r : stream->head_rows[i & 1];
      SP_TRY(engine->run(stream->head_lane, layers[i]->gemm, 0, in, now, true, out, err));
      in = out;
    }
  }
  return SP_OK;
}
