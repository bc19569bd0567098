#include <string.h>
#include <xxhash.h>

#include "draws.h"
#include "params.h"

/* Twelve 16-bit numbers have the variance 2^32 - 1: their sum over 2^16, less its mean, is near normal
 * with deviation 1. An integer of 20 bits, it is exact in a float. */
static float draw_normal(uint64_t key, uint64_t counter) {
  enum { words = 3, mean = 12 * 65535 / 2 };
  int32_t sum = -mean;
  for (uint64_t i = 0; i < words; i++) {
    uint64_t bits = sp_mix64(key + (counter * words + i + 1) * 0x9e3779b97f4a7c15u);
    for (int part = 0; part < 64; part += 16) {
      sum += (int32_t)(bits >> part & 0xffff);
    }
  }
  return (float)sum * 0x1p-16f;
}

static void fill(float *values, size_t count, float value) {
  for (size_t i = 0; i < count; i++) {
    values[i] = value;
  }
}

static void fill_normal(const struct sp_param *tensor, uint64_t seed, float deviation,
                        float *values) {
  uint64_t key = XXH3_64bits_withSeed(tensor->name, strlen(tensor->name), seed);
  for (size_t i = 0; i < tensor->count; i++) {
    values[i] = deviation * draw_normal(key, i);
  }
}

void sp_params_init(const struct sp_params *params, uint64_t seed, float initializer_range,
                    float scheduler_bias, float *values) {
  fill(values, params->count, 0.0f);
  for (size_t i = 0; i < params->n_tensors; i++) {
    const struct sp_param *tensor = &params->tensor[i];
    if (tensor->init == SP_INIT_NORMAL) {
      fill_normal(tensor, seed, initializer_range, values + tensor->offset);
    } else {
      fill(values + tensor->offset, tensor->count, tensor->init == SP_INIT_ONE ? 1.0f : 0.0f);
    }
  }
  for (size_t l = 0; l < params->config.layers; l++) {
    const struct sp_param_layer *layer = &params->layers[l];
    if (layer->n_scheduler > 0) {
      const struct sp_param_linear *last = &layer->scheduler[layer->n_scheduler - 1];
      fill(values + last->bias, last->n, scheduler_bias);
    }
  }
}
