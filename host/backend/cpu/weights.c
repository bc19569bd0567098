/* weights.c - objects that are made once: embedding, norm, vocab, dense. linear is in linear.c. */
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "device.h"

void *sp_cpu_alloc_floats(size_t count) {
  size_t bytes;
  if (!sp_mul_size(count, sizeof(float), &bytes) || !sp_add_size(bytes, 64, &bytes)) {
    return NULL;
  }
  bytes = bytes / 64 * 64;
  void *data = aligned_alloc(64, bytes);
  return data ? memset(data, 0, bytes) : NULL;
}

void sp_cpu_norm_destroy(struct sp_norm *norm) {
  if (norm) {
    free(norm->gamma);
    free(norm->beta);
    free(norm);
  }
}

enum sp_status sp_cpu_norm_create(struct sp_device *device, const float *gamma, const float *beta,
                                  size_t d, float eps, struct sp_norm **out, struct sp_error *err) {
  struct sp_cpu_device *cpu = sp_cpu_device_of(device);
  struct sp_norm *norm = calloc(1, sizeof *norm);
  if (!norm || !(norm->gamma = sp_cpu_alloc_floats(d)) || !(norm->beta = sp_cpu_alloc_floats(d))) {
    sp_cpu_norm_destroy(norm);
    return sp_fail_memory(err, sp_mul_sat(d, 2 * sizeof(float)));
  }
  memcpy(norm->gamma, gamma, d * sizeof(float));
  memcpy(norm->beta, beta, d * sizeof(float));
  norm->d = d;
  norm->eps = eps;
  pthread_mutex_lock(&cpu->lock);
  cpu->max_norm_width = sp_max_size(cpu->max_norm_width, d);
  pthread_mutex_unlock(&cpu->lock);
  *out = norm;
  return SP_OK;
}

void sp_cpu_embedding_destroy(struct sp_embedding *embedding) {
  if (embedding) {
    free(embedding->words);
    free(embedding->positions);
    free(embedding);
  }
}

enum sp_status sp_cpu_embedding_create(struct sp_device *device, const float *words,
                                       const float *positions, const float *type0, size_t v,
                                       size_t p, size_t d, struct sp_embedding **out,
                                       struct sp_error *err) {
  (void)device;
  struct sp_embedding *embedding = calloc(1, sizeof *embedding);
  if (!embedding || !(embedding->words = sp_cpu_alloc_floats(sp_mul_sat(v, d))) ||
      !(embedding->positions = sp_cpu_alloc_floats(sp_mul_sat(p, d)))) {
    sp_cpu_embedding_destroy(embedding);
    return sp_fail_memory(err, sp_mul_sat(sp_mul_sat(v, d), sizeof(float)));
  }
  embedding->d = d;
  memcpy(embedding->words, words, v * d * sizeof(float));
  for (size_t i = 0; i < p; i++) {
    for (size_t j = 0; j < d; j++) {
      embedding->positions[i * d + j] = positions[i * d + j] + type0[j];
    }
  }
  *out = embedding;
  return SP_OK;
}

enum sp_status sp_cpu_vocab_create(struct sp_device *device, const float *weight, const float *bias,
                                   size_t v, size_t d, struct sp_vocab **out,
                                   struct sp_error *err) {
  struct sp_cpu_device *cpu = sp_cpu_device_of(device);
  struct sp_gemm_spec spec = {
      .compute = device->compute,
      .f32_out = true,
      .tile = SP_CPU_TILE_SCORED,
      .n = SP_CPU_VOCAB_CHUNK,
      .k = d,
      .slabs = sp_round_up(v, SP_CPU_VOCAB_CHUNK) / SP_CPU_VOCAB_CHUNK,
  };
  struct sp_vocab *vocab = malloc(sizeof *vocab);
  if (!vocab) {
    return sp_fail_memory(err, sizeof *vocab);
  }
  vocab->device = cpu;
  vocab->v = v;
  enum sp_status status =
      sp_cpu_gemm_create(cpu, &cpu->products, &spec, weight, bias, v, &vocab->gemm, err);
  if (status != SP_OK) {
    free(vocab);
    return status;
  }
  pthread_mutex_lock(&cpu->lock);
  cpu->has_vocab = true;
  pthread_mutex_unlock(&cpu->lock);
  *out = vocab;
  return SP_OK;
}

void sp_cpu_vocab_destroy(struct sp_vocab *vocab) {
  if (vocab) {
    sp_cpu_gemm_destroy(vocab->device, &vocab->device->products, vocab->gemm);
    free(vocab);
  }
}

enum sp_status sp_cpu_dense_create(struct sp_device *device, const float *weight, const float *bias,
                                   size_t n, size_t k, enum sp_activation activation,
                                   struct sp_dense **out, struct sp_error *err) {
  struct sp_cpu_device *cpu = sp_cpu_device_of(device);
  struct sp_gemm_spec spec = {
      .compute = SP_COMPUTE_F32,
      .activation = activation,
      .f32_out = true,
      .tile = SP_CPU_TILE_DENSE,
      .n = n,
      .k = k,
      .slabs = 1,
  };
  struct sp_dense *dense = malloc(sizeof *dense);
  if (!dense) {
    return sp_fail_memory(err, sizeof *dense);
  }
  dense->device = cpu;
  enum sp_status status =
      sp_cpu_gemm_create(cpu, &cpu->heads, &spec, weight, bias, n, &dense->gemm, err);
  if (status != SP_OK) {
    free(dense);
    return status;
  }
  pthread_mutex_lock(&cpu->lock);
  cpu->max_dense_width = sp_max_size(cpu->max_dense_width, n);
  pthread_mutex_unlock(&cpu->lock);
  *out = dense;
  return SP_OK;
}

void sp_cpu_dense_destroy(struct sp_dense *dense) {
  if (dense) {
    sp_cpu_gemm_destroy(dense->device, &dense->device->heads, dense->gemm);
    free(dense);
  }
}
