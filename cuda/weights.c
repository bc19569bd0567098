/* weights.c - objects that are made once: embedding, norm, vocab, dense. linear is in linear.c.
 *
 * Sources are host f32; what products read is rounded to act here, the rest stays f32.  A NULL
 * source takes the same room and leaves it to share_weights. */
#include <stdlib.h>
#include <string.h>

#include "bf16.h"
#include "check.h"
#include "checked.h"

/* Bytes that pass through the host at a time, in whole rows. */
#define STAGE_BYTES ((size_t)4 << 20)

/* One row as act elements, zeros behind it. */
static void pack_row(enum sp_compute compute, const float *from, size_t width, size_t pitch,
                     char *to) {
  if (compute == SP_COMPUTE_F32) {
    memcpy(to, from, width * sizeof(float));
    memset(to + width * sizeof(float), 0, (pitch - width) * sizeof(float));
    return;
  }
  uint16_t *halves = (uint16_t *)(void *)to;
  for (size_t i = 0; i < pitch; i++) {
    halves[i] = i < width ? sp_bf16_from_f32(from[i]) : 0;
  }
}

static size_t element_bytes(enum sp_compute type) {
  return type == SP_COMPUTE_BF16 ? 2 : 4;
}

static enum sp_status put_rows(const struct sp_cuda_device *cuda, enum sp_compute type,
                               const float *from, size_t rows, size_t width, size_t rows_run,
                               size_t pitch, char *to, struct sp_error *err) {
  size_t row_bytes = pitch * element_bytes(type);
  size_t at_once = sp_min_size(rows_run, STAGE_BYTES / row_bytes + 1);
  char *stage = malloc(sp_mul_sat(at_once, row_bytes));
  if (!stage) {
    return sp_fail_memory(err, sp_mul_sat(at_once, row_bytes));
  }
  enum sp_status status = SP_OK;
  for (size_t first = 0; first < rows_run && status == SP_OK; first += at_once) {
    size_t now = sp_min_size(at_once, rows_run - first);
    for (size_t r = 0; r < now; r++) {
      bool inside = first + r < rows;
      pack_row(type, inside ? from + (first + r) * width : NULL, inside ? width : 0, pitch,
               stage + r * row_bytes);
    }
    status = sp_cuda_put(cuda, to + first * row_bytes, stage, now * row_bytes, err);
  }
  free(stage);
  return status;
}

enum sp_status sp_cuda_make_rows(struct sp_cuda_device *cuda, enum sp_compute type,
                                 const float *from, size_t rows, size_t width, size_t rows_run,
                                 size_t pitch, void **out, struct sp_error *err) {
  size_t bytes = sp_mul_sat(sp_mul_sat(rows_run, pitch), element_bytes(type));
  SP_TRY(sp_cuda_carve(cuda, bytes, out, err));
  return from && bytes > 0 ? put_rows(cuda, type, from, rows, width, rows_run, pitch, *out, err)
                           : SP_OK;
}

enum sp_status sp_cuda_make_act(struct sp_cuda_device *cuda, const float *from, size_t rows,
                                size_t width, size_t rows_run, size_t pitch, void **out,
                                struct sp_error *err) {
  return sp_cuda_make_rows(cuda, cuda->base.compute, from, rows, width, rows_run, pitch, out, err);
}

enum sp_status sp_cuda_make_f32(struct sp_cuda_device *cuda, const float *from, size_t count,
                                float **out, struct sp_error *err) {
  size_t bytes = sp_mul_sat(count, sizeof(float));
  SP_TRY(sp_cuda_carve(cuda, bytes, (void **)out, err));
  return from && bytes > 0 ? sp_cuda_put(cuda, *out, from, bytes, err) : SP_OK;
}

/* ---- norm ---- */

void sp_cuda_norm_destroy(struct sp_norm *norm) {
  if (norm) {
    sp_cuda_weight_gone(norm->device);
    free(norm);
  }
}

enum sp_status sp_cuda_norm_create(struct sp_device *device, const float *gamma, const float *beta,
                                   size_t d, float eps, struct sp_norm **out,
                                   struct sp_error *err) {
  struct sp_cuda_device *cuda = sp_cuda_device_of(device);
  float *to_gamma, *to_beta;
  SP_TRY(sp_cuda_make_f32(cuda, gamma, d, &to_gamma, err));
  SP_TRY(sp_cuda_make_f32(cuda, beta, d, &to_beta, err));
  struct sp_norm *norm = malloc(sizeof *norm);
  if (!norm) {
    return sp_fail_memory(err, sizeof *norm);
  }
  *norm = (struct sp_norm){cuda, {to_gamma, to_beta, d, eps}};
  sp_cuda_weight_made(cuda);
  *out = norm;
  return SP_OK;
}

/* ---- embedding ---- */

void sp_cuda_embedding_destroy(struct sp_embedding *embedding) {
  if (embedding) {
    sp_cuda_weight_gone(embedding->device);
    free(embedding);
  }
}

/* position + type0, summed in f32 as the CPU does. */
static enum sp_status make_positions(struct sp_cuda_device *cuda, const float *positions,
                                     const float *type0, size_t p, size_t d, float **out,
                                     struct sp_error *err) {
  if (!positions) {
    return sp_cuda_make_f32(cuda, NULL, sp_mul_sat(p, d), out, err);
  }
  size_t bytes = sp_mul_sat(sp_mul_sat(p, d), sizeof(float));
  float *sum = malloc(bytes);
  if (!sum) {
    return sp_fail_memory(err, bytes);
  }
  for (size_t i = 0; i < p; i++) {
    for (size_t j = 0; j < d; j++) {
      sum[i * d + j] = positions[i * d + j] + type0[j];
    }
  }
  enum sp_status status = sp_cuda_make_f32(cuda, sum, p * d, out, err);
  free(sum);
  return status;
}

enum sp_status sp_cuda_embedding_create(struct sp_device *device, const float *words,
                                        const float *positions, const float *type0, size_t v,
                                        size_t p, size_t d, struct sp_embedding **out,
                                        struct sp_error *err) {
  struct sp_cuda_device *cuda = sp_cuda_device_of(device);
  float *to_words, *to_positions;
  SP_TRY(sp_cuda_make_f32(cuda, words, sp_mul_sat(v, d), &to_words, err));
  SP_TRY(make_positions(cuda, positions, type0, p, d, &to_positions, err));
  struct sp_embedding *embedding = malloc(sizeof *embedding);
  if (!embedding) {
    return sp_fail_memory(err, sizeof *embedding);
  }
  *embedding = (struct sp_embedding){cuda, {to_words, to_positions, d}};
  sp_cuda_weight_made(cuda);
  *out = embedding;
  return SP_OK;
}

/* ---- vocab ---- */

void sp_cuda_vocab_destroy(struct sp_vocab *vocab) {
  if (vocab) {
    sp_cuda_weight_gone(vocab->device);
    free(vocab);
  }
}

enum sp_status sp_cuda_vocab_create(struct sp_device *device, const float *weight,
                                    const float *bias, size_t v, size_t d, struct sp_vocab **out,
                                    struct sp_error *err) {
  struct sp_cuda_device *cuda = sp_cuda_device_of(device);
  void *to_weight;
  float *to_bias;
  SP_TRY(sp_cuda_make_act(cuda, weight, v, d, v, d, &to_weight, err));
  SP_TRY(sp_cuda_make_f32(cuda, bias, v, &to_bias, err));
  struct sp_vocab *vocab = malloc(sizeof *vocab);
  if (!vocab) {
    return sp_fail_memory(err, sizeof *vocab);
  }
  *vocab = (struct sp_vocab){cuda, {to_weight, to_bias, v, d}};
  sp_cuda_weight_made(cuda);
  cuda->vocab_v = sp_max_size(cuda->vocab_v, v);
  *out = vocab;
  return SP_OK;
}

/* ---- dense ---- */

void sp_cuda_dense_destroy(struct sp_dense *dense) {
  if (dense) {
    sp_cuda_weight_gone(dense->device);
    free(dense);
  }
}

/* (N, K) as (K, N), the order of the kernel. */
static enum sp_status make_transposed(struct sp_cuda_device *cuda, const float *weight, size_t n,
                                      size_t k, float **out, struct sp_error *err) {
  if (!weight) {
    return sp_cuda_make_f32(cuda, NULL, sp_mul_sat(n, k), out, err);
  }
  size_t bytes = sp_mul_sat(sp_mul_sat(n, k), sizeof(float));
  float *turned = malloc(bytes);
  if (!turned) {
    return sp_fail_memory(err, bytes);
  }
  for (size_t i = 0; i < n; i++) {
    for (size_t j = 0; j < k; j++) {
      turned[j * n + i] = weight[i * k + j];
    }
  }
  enum sp_status status = sp_cuda_make_f32(cuda, turned, n * k, out, err);
  free(turned);
  return status;
}

enum sp_status sp_cuda_dense_create(struct sp_device *device, const float *weight,
                                    const float *bias, size_t n, size_t k,
                                    enum sp_activation activation, struct sp_dense **out,
                                    struct sp_error *err) {
  struct sp_cuda_device *cuda = sp_cuda_device_of(device);
  if (sp_max_size(n, k) > SP_CUDA_MAX_WIDTH) {
    return sp_fail(err, SP_EMODEL, "%s: a scalar head of %zu x %zu is wider than %d", device->name,
                   n, k, SP_CUDA_MAX_WIDTH);
  }
  float *to_weight, *to_bias;
  SP_TRY(make_transposed(cuda, weight, n, k, &to_weight, err));
  SP_TRY(sp_cuda_make_f32(cuda, bias, n, &to_bias, err));
  struct sp_dense *dense = malloc(sizeof *dense);
  if (!dense) {
    return sp_fail_memory(err, sizeof *dense);
  }
  *dense = (struct sp_dense){cuda, {to_weight, to_bias, n, k, activation}};
  sp_cuda_weight_made(cuda);
  *out = dense;
  return SP_OK;
}
