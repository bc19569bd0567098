/* device.c - opens the CPU, chooses kernels and the product engine, and makes streams. */
#include "device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "cpu.h"
#include "kernels.h"

/* The widest kernels that this processor runs. */
static const struct sp_cpu_kernels *choose_kernels(void) {
#ifdef __x86_64__
  __builtin_cpu_init();
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
              __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    return __builtin_cpu_supports("avx512bf16") ? &sp_cpu_kernels_avx512_bf16
                                                : &sp_cpu_kernels_avx512;
  }
  if (avx2) {
    return &sp_cpu_kernels_avx2;
  }
#endif
  return &sp_cpu_kernels_baseline;
}

/* bf16 goes to oneDNN where it has such products in hardware; elsewhere the portable kernel, which
 * sums rounded inputs in f32, is faster than its emulation. */
static const struct sp_gemm_engine *choose_engine(const struct sp_cpu_kernels *kernels,
                                                  enum sp_compute compute) {
#if defined(SP_HAVE_ONEDNN) && defined(__x86_64__)
  if (compute == SP_COMPUTE_F32 || sp_gemm_onednn_has_bf16()) {
    return &sp_gemm_onednn;
  }
#endif
  (void)compute;
  return kernels->portable;
}

void sp_cpu_get_facts(struct sp_cpu_facts *facts) {
  const struct sp_cpu_kernels *kernels = choose_kernels();
  *facts = (struct sp_cpu_facts){.isa = kernels->isa};
#if defined(SP_HAVE_ONEDNN) && defined(__x86_64__)
  facts->avx512_bf16 = sp_gemm_onednn_has_bf16();
  facts->amx = sp_gemm_onednn_has_amx();
#endif
  choose_engine(kernels, SP_COMPUTE_F32)->describe(facts->gemm, sizeof facts->gemm);
}

static enum sp_status fail_spec(const char *spec, struct sp_error *err) {
  return sp_fail(err, SP_EUSAGE,
                 "no CPU kernels '%s' here; known are cpu, cpu:built-in, cpu:baseline, cpu:avx2, "
                 "cpu:avx512",
                 spec);
}

enum sp_status sp_cpu_check_spec(const char *spec, struct sp_error *err) {
  static const char *const known[] = {"", "built-in", "baseline", "avx2", "avx512"};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (strcmp(spec, known[i]) == 0) {
      return SP_OK;
    }
  }
  return fail_spec(spec, err);
}

/* "" the default; "built-in" the portable product; an instruction set's name limits both. */
static enum sp_status read_spec(const char *spec, struct sp_cpu_device *cpu, struct sp_error *err) {
  cpu->kernels = choose_kernels();
  cpu->products.engine = choose_engine(cpu->kernels, cpu->base.compute);
  if (strcmp(spec, "") == 0) {
    return SP_OK;
  }
  if (strcmp(spec, "baseline") == 0) {
    cpu->kernels = &sp_cpu_kernels_baseline;
#ifdef __x86_64__
  } else if (strcmp(spec, "avx2") == 0 && cpu->kernels != &sp_cpu_kernels_baseline) {
    cpu->kernels = &sp_cpu_kernels_avx2;
  } else if (strcmp(spec, "avx512") == 0 && (cpu->kernels == &sp_cpu_kernels_avx512 ||
                                             cpu->kernels == &sp_cpu_kernels_avx512_bf16)) {
    cpu->kernels = &sp_cpu_kernels_avx512;
#endif
  } else if (strcmp(spec, "built-in") != 0) {
    return fail_spec(spec, err);
  }
  cpu->products.engine = cpu->kernels->portable;
  return SP_OK;
}

static void write_type(struct sp_cpu_device *cpu) {
  char gemm[96];
  snprintf(cpu->base.name, sizeof cpu->base.name, "cpu");
  cpu->products.engine->describe(gemm, sizeof gemm);
  snprintf(cpu->base.type, sizeof cpu->base.type, "cpu %s %s", cpu->kernels->isa, gemm);
}

size_t sp_cpu_list(char (*lines)[SP_DEVICE_LINE], size_t room) {
  struct sp_cpu_facts facts;
  sp_cpu_get_facts(&facts);
  if (room > 0) {
    snprintf(lines[0], SP_DEVICE_LINE, "cpu %s %s", facts.isa, facts.gemm);
  }
  return room > 0;
}

enum sp_status sp_cpu_open(const char *spec, enum sp_compute compute, struct sp_device **out,
                           size_t room, size_t *n, struct sp_error *err) {
  *n = 0;
  if (room == 0) {
    return sp_fail(err, SP_EDEVICE, "there is no room for a device");
  }
  struct sp_cpu_device *cpu = calloc(1, sizeof *cpu);
  if (!cpu) {
    return sp_fail_memory(err, sizeof *cpu);
  }
  cpu->base = (struct sp_device){
      .backend = &sp_cpu_backend,
      .compute = compute,
      .act_bytes = compute == SP_COMPUTE_BF16 ? 2 : 4,
      .res_bytes = 4,
      .row_quantum = SP_CPU_TILE_TOKENS,
      .host_memory = true,
      .max_head_dim = SP_CPU_HEAD_DIM_MAX,
      .lanes = 1,
      .chunk_rows = SP_CPU_TILE_TOKENS,
  };
  enum sp_status status = SP_OK;
  SP_TRY_GOTO(read_spec(spec, cpu, err), release);
  SP_TRY_GOTO(cpu->products.engine->open(&cpu->products.context, err), release);
  cpu->heads.engine = cpu->kernels->portable;
  SP_TRY_GOTO(cpu->heads.engine->open(&cpu->heads.context, err), fail_heads);
  write_type(cpu);
  pthread_mutex_init(&cpu->lock, NULL);
  *out = &cpu->base;
  *n = 1;
  return SP_OK;

fail_heads:
  cpu->products.engine->close(cpu->products.context);
release:
  free(cpu);
  return status;
}

void sp_cpu_close(struct sp_device *device) {
  if (device) {
    struct sp_cpu_device *cpu = sp_cpu_device_of(device);
    cpu->heads.engine->close(cpu->heads.context);
    cpu->products.engine->close(cpu->products.context);
    pthread_mutex_destroy(&cpu->lock);
    free(cpu);
  }
}

enum sp_status sp_cpu_gemm_create(struct sp_cpu_device *device, struct sp_gemm_set *set,
                                  const struct sp_gemm_spec *spec, const float *weight,
                                  const float *bias, size_t total, struct sp_gemm **out,
                                  struct sp_error *err) {
  struct sp_gemm *gemm;
  SP_TRY(set->engine->create(set->context, spec, weight, bias, total, &gemm, err));
  pthread_mutex_lock(&device->lock);
  gemm->next = set->newest;
  gemm->index = set->newest ? set->newest->index + 1 : 0;
  set->newest = gemm;
  pthread_mutex_unlock(&device->lock);
  *out = gemm;
  return SP_OK;
}

void sp_cpu_gemm_destroy(struct sp_cpu_device *device, struct sp_gemm_set *set,
                         struct sp_gemm *gemm) {
  pthread_mutex_lock(&device->lock);
  struct sp_gemm **link = &set->newest;
  while (*link != gemm) {
    link = &(*link)->next;
  }
  *link = gemm->next;
  pthread_mutex_unlock(&device->lock);
  set->engine->destroy(gemm);
}

static bool alloc_scratch(const struct sp_cpu_device *cpu, struct sp_stream *stream) {
  size_t logits = cpu->has_vocab ? (size_t)SP_CPU_TILE_SCORED * SP_CPU_VOCAB_CHUNK : 0;
  stream->row = sp_cpu_alloc_floats(cpu->max_norm_width);
  stream->attention = sp_cpu_alloc_floats(SP_CPU_ATTENTION_FLOATS);
  stream->logits = sp_cpu_alloc_floats(logits);
  stream->logit_max = sp_cpu_alloc_floats(SP_CPU_TILE_SCORED);
  stream->logit_sum = sp_cpu_alloc_floats(2 * SP_CPU_TILE_SCORED);
  size_t head = sp_mul_sat(SP_CPU_TILE_DENSE, cpu->max_dense_width);
  stream->head_rows[0] = sp_cpu_alloc_floats(head);
  stream->head_rows[1] = sp_cpu_alloc_floats(head);
  return stream->row && stream->attention && stream->logits && stream->logit_max &&
         stream->logit_sum && stream->head_rows[0] && stream->head_rows[1];
}

void sp_cpu_stream_destroy(struct sp_stream *stream) {
  if (!stream) {
    return;
  }
  stream->device->products.engine->lane_destroy(stream->product_lane);
  stream->device->heads.engine->lane_destroy(stream->head_lane);
  free(stream->row);
  free(stream->attention);
  free(stream->logits);
  free(stream->logit_max);
  free(stream->logit_sum);
  free(stream->head_rows[0]);
  free(stream->head_rows[1]);
  free(stream);
}

enum sp_status sp_cpu_stream_create(struct sp_device *device, struct sp_stream **out,
                                    struct sp_error *err) {
  struct sp_cpu_device *cpu = sp_cpu_device_of(device);
  struct sp_stream *stream = calloc(1, sizeof *stream);
  if (!stream) {
    return sp_fail_memory(err, sizeof *stream);
  }
  stream->device = cpu;
  enum sp_status status = SP_OK;
  if (!alloc_scratch(cpu, stream)) {
    status = sp_fail(err, SP_EDEVICE, "out of memory for a stream's scratch");
    goto fail;
  }
  const struct sp_gemm_set *products = &cpu->products;
  const struct sp_gemm_set *heads = &cpu->heads;
  SP_TRY_GOTO(products->engine->lane_create(products->context, products->newest,
                                            &stream->product_lane, err),
              fail);
  SP_TRY_GOTO(heads->engine->lane_create(heads->context, heads->newest, &stream->head_lane, err),
              fail);
  *out = stream;
  return SP_OK;

fail:
  sp_cpu_stream_destroy(stream);
  return status;
}
