/* device.c - opens devices, and says what decides their bits. */
#include "device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "checked.h"

#define FNV_START 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

static void write_type(struct sp_cuda_device *cuda) {
  snprintf(cuda->base.type, sizeof cuda->base.type, "%s, algorithms %016llx", cuda->kind,
           (unsigned long long)cuda->algorithms);
}

void sp_cuda_record_algorithm(struct sp_cuda_device *cuda, const uint32_t *ids, size_t n) {
  for (size_t i = 0; i < n; i++) {
    for (int byte = 0; byte < 4; byte++) {
      cuda->algorithms = (cuda->algorithms ^ (ids[i] >> 8 * byte & 0xff)) * FNV_PRIME;
    }
  }
  write_type(cuda);
}

void sp_cuda_forget_algorithms(struct sp_cuda_device *cuda) {
  cuda->algorithms = FNV_START;
  write_type(cuda);
}

enum sp_status sp_cuda_check_types(struct sp_device *const *devices, size_t n,
                                   struct sp_error *err) {
  for (size_t i = 1; i < n; i++) {
    if (strcmp(devices[0]->type, devices[i]->type) != 0) {
      return sp_fail(err, SP_EDEVICE,
                     "%s is '%s' and %s is '%s': devices of one run must be of one type "
                     "(choose with --device cuda:N,M)",
                     devices[0]->name, devices[0]->type, devices[i]->name, devices[i]->type);
    }
  }
  return SP_OK;
}

static void fill_base(struct sp_cuda_device *cuda, enum sp_compute compute,
                      const struct sp_cuda_facts *facts) {
  size_t bytes = compute == SP_COMPUTE_BF16 ? 2 : 4;
  cuda->base = (struct sp_device){
      .backend = &sp_cuda_backend,
      .compute = compute,
      .act_bytes = bytes,
      .res_bytes = sizeof(float),
      .row_quantum = SP_CUDA_ROW_QUANTUM,
      .adds_residual = true,
      .max_head_dim = SP_CUDA_MAX_HEAD_DIM,
      .lanes = 2, /* one batch's copies and launches beside the other's work */
  };
  cuda->sms = facts->sms;
  snprintf(cuda->base.name, sizeof cuda->base.name, "cuda:%d", cuda->ordinal);
  snprintf(cuda->kind, sizeof cuda->kind, "%s sm_%d%d %zu SMs cuBLASLt %zu", facts->name,
           facts->major, facts->minor, facts->sms, cublasLtGetVersion());
  sp_cuda_forget_algorithms(cuda);
}

static enum sp_status open_one(int ordinal, enum sp_compute compute, struct sp_device **out,
                               struct sp_error *err) {
  struct sp_cuda_facts facts;
  struct sp_cuda_device *cuda = calloc(1, sizeof *cuda);
  if (!cuda) {
    return sp_fail_memory(err, sizeof *cuda);
  }
  cuda->ordinal = ordinal;
  enum sp_status status = SP_OK;
  if (!sp_cuda_read_facts(ordinal, &facts)) {
    status = sp_fail(err, SP_EDEVICE, "cuda:%d: the device is gone", ordinal);
    goto fail_facts;
  }
  fill_base(cuda, compute, &facts);
  SP_TRY_GOTO(sp_cuda_enter(cuda, err), fail_facts);
  SP_TRY_GOTO(SP_CUDA(cuda, cudaStreamCreateWithFlags(&cuda->setup, cudaStreamNonBlocking), err),
              fail_facts);
  SP_TRY_GOTO(SP_CUBLAS(cuda, cublasLtCreate(&cuda->lt), err), fail_blas);
  *out = &cuda->base;
  return SP_OK;

fail_blas:
  sp_cuda_ignore(cudaStreamDestroy(cuda->setup));
fail_facts:
  free(cuda);
  return status;
}

enum sp_status sp_cuda_open(const char *spec, enum sp_compute compute, struct sp_device **out,
                            size_t room, size_t *n, struct sp_error *err) {
  int ordinals[SP_MAX_DEVICES];
  size_t count;
  *n = 0;
  if (room == 0) {
    return sp_fail(err, SP_EDEVICE, "there is no room for a device");
  }
  SP_TRY(sp_cuda_choose(spec, ordinals, sp_min_size(room, SP_MAX_DEVICES), &count, err));
  enum sp_status status = SP_OK;
  size_t opened = 0;
  for (; opened < count; opened++) {
    SP_TRY_GOTO(open_one(ordinals[opened], compute, &out[opened], err), fail);
  }
  SP_TRY_GOTO(sp_cuda_check_types(out, count, err), fail);
  *n = count;
  return SP_OK;

fail:
  while (opened > 0) {
    sp_cuda_close(out[--opened]);
  }
  return status;
}

void sp_cuda_close(struct sp_device *device) {
  if (device) {
    struct sp_cuda_device *cuda = sp_cuda_device_of(device);
    sp_cuda_ignore(cudaSetDevice(cuda->ordinal));
    (void)cublasLtDestroy(cuda->lt);
    sp_cuda_ignore(cudaStreamDestroy(cuda->setup));
    sp_cuda_free_chunks(cuda);
    free(cuda);
  }
}

static size_t gcd(size_t a, size_t b) {
  while (b != 0) {
    size_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

/* Whole waves of 128x256 tiles: with `across` tiles over the hidden width, rows of sms / gcd(sms,
 * across) tiles leave no SM idle in any product of the encoder, whose widths are multiples of the
 * hidden one (performance.md 1.6).  As many waves as keep the device busy for 120 us a layer, so
 * that launches hide behind work: 24 hidden^2 operations a token, 4.5e6 a microsecond and SM. */
size_t sp_cuda_batch_tokens(const struct sp_device *device, size_t hidden) {
  const struct sp_cuda_device *cuda = (const struct sp_cuda_device *)device;
  const double layer_flops = 4.5e6 * 120 * (double)cuda->sms;
  size_t across = (hidden + 255) / 256;
  size_t wave = 128 * (cuda->sms / gcd(cuda->sms, across));
  double wave_flops = 24.0 * (double)hidden * (double)hidden * (double)wave;
  size_t waves = 1;
  while ((double)waves * wave_flops < layer_flops && (waves + 1) * wave <= 65536) {
    waves++;
  }
  return waves * wave;
}
