/* vocab_logp.c - log-probability of targets under a softmax over the vocabulary.
 *
 * Maths     logits = h W^T + bias;  logp[t] = logit(row[t], id[t]) - log sum_v e^logit(row[t], v)
 * Shapes    h (R, D) of the compute type; W (V, D) cut into chunks of SP_CPU_VOCAB_CHUNK columns;
 *           one chunk's logits (tile, chunk) f32 live in the stream
 * Parallel  the calling thread alone: a tile of rows against all chunks, so that the weights are
 *           read once a tile
 * Numerics  a chunk's sum in f32 relative to the chunk's own maximum; chunks are joined in order,
 *           in double; the last subtraction is in double as well
 *
 * Bound     arithmetic of the product; beside it one exp a logit */
#include <math.h>

#include "kernels.h"
#include "vec_math.h"

static float row_max(const float *logits, size_t n) {
  vf best = vf_splat(-INFINITY);
  size_t i = 0;
  for (; i + SP_LANES <= n; i += SP_LANES) {
    best = vf_max(best, vf_load(logits + i));
  }
  float top = vf_max_lane(best);
  for (; i < n; i++) {
    top = top > logits[i] ? top : logits[i];
  }
  return top;
}

static float row_sum_exp(const float *logits, size_t n, float top) {
  vf sum[2] = {{0}, {0}};
  size_t i = 0;
  for (; i + 2 * SP_LANES <= n; i += 2 * SP_LANES) {
    sum[0] += vf_exp(vf_load(logits + i) - top);
    sum[1] += vf_exp(vf_load(logits + i + SP_LANES) - top);
  }
  for (; i < n; i += SP_LANES) {
    size_t left = n - i < SP_LANES ? n - i : SP_LANES;
    vi inside = vi_lane_numbers() < (int32_t)left;
    vf x = left == SP_LANES ? vf_load(logits + i) : vf_load_part(logits + i, left);
    sum[0] += vf_select(inside, vf_exp(x - top), (vf){0});
  }
  return vf_sum(sum[0] + sum[1]);
}

/* Joins one chunk's logits of one row into its running maximum and sum. */
static void join_chunk(const float *logits, size_t n, float *running_max, double *running_sum) {
  float top = row_max(logits, n);
  double sum = row_sum_exp(logits, n, top);
  if (top > *running_max) {
    *running_sum = *running_sum * exp((double)*running_max - top) + sum;
    *running_max = top;
  } else {
    *running_sum += sum * exp((double)top - *running_max);
  }
}

/* The targets [first, end) belong to the tile's rows, which start at row0. */
static enum sp_status score_tile(struct sp_stream *stream, const struct sp_vocab *vocab,
                                 const void *h, size_t row0, size_t rows,
                                 const uint32_t *target_row, const int32_t *target_id,
                                 size_t targets, float *logp, struct sp_error *err) {
  for (size_t r = 0; r < rows; r++) {
    stream->logit_max[r] = -INFINITY;
    stream->logit_sum[r] = 0;
  }
  for (size_t chunk = 0; chunk < vocab->gemm->spec.slabs; chunk++) {
    size_t v0 = chunk * SP_CPU_VOCAB_CHUNK;
    size_t n = vocab->v - v0 < SP_CPU_VOCAB_CHUNK ? vocab->v - v0 : SP_CPU_VOCAB_CHUNK;
    SP_TRY(stream->device->products.engine->run(stream->product_lane, vocab->gemm, chunk, h, rows,
                                                true, stream->logits, err));
    for (size_t r = 0; r < rows; r++) {
      join_chunk(stream->logits + r * SP_CPU_VOCAB_CHUNK, n, &stream->logit_max[r],
                 &stream->logit_sum[r]);
    }
    for (size_t t = 0; t < targets; t++) {
      size_t id = (size_t)target_id[t];
      if (id >= v0 && id < v0 + n) {
        logp[t] = stream->logits[(target_row[t] - row0) * SP_CPU_VOCAB_CHUNK + (id - v0)];
      }
    }
  }
  for (size_t t = 0; t < targets; t++) {
    size_t r = target_row[t] - row0;
    logp[t] = (float)((double)logp[t] - stream->logit_max[r] - log(stream->logit_sum[r]));
  }
  return SP_OK;
}

enum sp_status SP_ISA_NAME(sp_cpu_vocab_logp)(struct sp_stream *stream,
                                              const struct sp_vocab *vocab, const void *h,
                                              size_t rows, const uint32_t *target_row,
                                              const int32_t *target_id, size_t targets, float *logp,
                                              struct sp_error *err) {
  size_t row_bytes = vocab->gemm->spec.k * stream->device->base.act_bytes;
  size_t tile = vocab->gemm->spec.tile;
  size_t first = 0;
  for (size_t r = 0; r < rows; r += tile) {
    size_t now = rows - r < tile ? rows - r : tile;
    size_t end = first;
    while (end < targets && target_row[end] < r + now) {
      end++;
    }
    if (end > first) {
      SP_TRY(score_tile(stream, vocab, (const char *)h + r * row_bytes, r, now, target_row + first,
                        target_id + first, end - first, logp + first, err));
    }
    first = end;
  }
  return SP_OK;
}
