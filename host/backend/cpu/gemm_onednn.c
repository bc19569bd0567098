/* gemm_onednn.c - the matrix product by oneDNN; this file and train_gemm_onednn.c alone know it.
 *
 * Shapes    in (tile, K), out (tile, N) plain; W in the layout that oneDNN asks for, packed once
 * Parallel  one thread: oneDNN takes OpenMP's thread count when it plans and when it runs, so every
 *           call is made with that count set to one and put back after it
 * Numerics  f32 x f32 or bf16 x bf16, summed in f32; bias and activation in f32 before rounding.
 *           The blocking over K depends on the tile, the instruction set and the cache sizes: the
 *           tile is fixed, the others are part of the device type
 * Versions  2.x and 3.x; their difference is in onednn_version.h */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checked.h"
#include "device.h"
#include "gemm.h"
#include "onednn_context.h"

#if DNNL_CPU_RUNTIME != DNNL_RUNTIME_OMP && DNNL_CPU_RUNTIME != DNNL_RUNTIME_SEQ
#error "this oneDNN is built with neither OpenMP nor one thread; configure with -DSP_ONEDNN=OFF"
#endif

/* The OpenMP that oneDNN itself is linked to, found by name: linking one would risk another. */
static void find_openmp(struct sp_gemm_context *context) {
  void *get = dlsym(RTLD_DEFAULT, "omp_get_max_threads");
  void *set = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
  memcpy(&context->get_threads, &get, sizeof get);
  memcpy(&context->set_threads, &set, sizeof set);
}

static enum sp_status fail(struct sp_error *err, dnnl_status_t status, const char *what) {
  return sp_fail(err, SP_EDEVICE, "oneDNN: %s failed with status %d", what, (int)status);
}

static enum sp_status onednn_open(struct sp_gemm_context **out, struct sp_error *err) {
  struct sp_gemm_context *context = calloc(1, sizeof *context);
  if (!context) {
    return sp_fail_memory(err, sizeof *context);
  }
  find_openmp(context);
  if (DNNL_CPU_RUNTIME == DNNL_RUNTIME_OMP && (!context->set_threads || !context->get_threads)) {
    free(context);
    return sp_fail(err, SP_EDEVICE,
                   "oneDNN's OpenMP is not to be found; use --device cpu:built-in");
  }
  dnnl_status_t status = dnnl_engine_create(&context->engine, dnnl_cpu, 0);
  if (status != dnnl_success) {
    free(context);
    return fail(err, status, "opening the CPU");
  }
  *out = context;
  return SP_OK;
}

static void onednn_close(struct sp_gemm_context *context) {
  if (context) {
    dnnl_engine_destroy(context->engine);
    free(context);
  }
}

static bool has_isa(int isa) {
  return ((int)dnnl_get_effective_cpu_isa() & isa) == isa;
}

bool sp_gemm_onednn_has_bf16(void) {
  return has_isa(dnnl_cpu_isa_avx512_core_bf16);
}
bool sp_gemm_onednn_has_amx(void) {
  return has_isa(dnnl_cpu_isa_avx512_core_amx);
}

static void onednn_describe(char *text, size_t size) {
  const dnnl_version_t *version = dnnl_version();
  const char *isa = has_isa(dnnl_cpu_isa_avx512_core_amx)    ? "amx"
                    : has_isa(dnnl_cpu_isa_avx512_core_bf16) ? "avx512_bf16"
                    : has_isa(dnnl_cpu_isa_avx512_core)      ? "avx512"
                    : has_isa(dnnl_cpu_isa_avx2)             ? "avx2"
                                                             : "sse";
  snprintf(text, size, "oneDNN %d.%d.%d %s/%x L1 %ldK L2 %ldK", version->major, version->minor,
           version->patch, isa, (unsigned)dnnl_get_effective_cpu_isa(),
           sysconf(_SC_LEVEL1_DCACHE_SIZE) / 1024, sysconf(_SC_LEVEL2_CACHE_SIZE) / 1024);
}

/* ---- gemms ---- */

enum { OUT_ACT, OUT_F32, OUT_KINDS };

/* One output type: its plan, and the weights in the layout that the plan asks for. */
struct product {
  dnnl_memory_desc_t out;
  dnnl_primitive_desc_t plan;
  dnnl_primitive_t run;
  size_t slab_bytes, scratch_bytes;
  char *packed;           /* (slabs, slab_bytes) */
  bool shared;            /* weights are the other product's */
  dnnl_memory_t *weights; /* (slabs) */
};

struct onednn_gemm {
  struct sp_gemm base;
  struct sp_gemm_context *context;
  dnnl_memory_desc_t in, weight, bias;
  struct product product[OUT_KINDS];
  float *bias_data;      /* (slabs, N) */
  dnnl_memory_t *biases; /* (slabs) */
};

static dnnl_data_type_t act_type(const struct sp_gemm_spec *spec) {
  return spec->compute == SP_COMPUTE_BF16 ? dnnl_bf16 : dnnl_f32;
}

/* Which product serves a request; f32 compute has one. */
static int kind_of(const struct sp_gemm_spec *spec, bool out_f32) {
  return out_f32 || spec->compute == SP_COMPUTE_F32 ? OUT_F32 : OUT_ACT;
}

static bool wants(const struct sp_gemm_spec *spec, int kind) {
  return (spec->act_out && kind_of(spec, false) == kind) ||
         (spec->f32_out && kind_of(spec, true) == kind);
}

static void product_release(struct product *product, size_t slabs) {
  for (size_t i = 0; !product->shared && product->weights && i < slabs; i++) {
    dnnl_memory_destroy(product->weights[i]);
  }
  if (!product->shared) {
    free(product->weights);
    free(product->packed);
  }
  dnnl_primitive_destroy(product->run);
  dnnl_primitive_desc_destroy(product->plan);
  md_release(product->out);
}

static void onednn_destroy(struct sp_gemm *base) {
  struct onednn_gemm *gemm = (struct onednn_gemm *)base;
  if (!gemm) {
    return;
  }
  for (int kind = 0; kind < OUT_KINDS; kind++) {
    product_release(&gemm->product[kind], base->spec.slabs);
  }
  for (size_t i = 0; gemm->biases && i < base->spec.slabs; i++) {
    dnnl_memory_destroy(gemm->biases[i]);
  }
  md_release(gemm->in);
  md_release(gemm->weight);
  md_release(gemm->bias);
  free(gemm->biases);
  free(gemm->bias_data);
  free(gemm);
}

static dnnl_status_t add_activation(dnnl_primitive_attr_t attr, enum sp_activation activation) {
  static const dnnl_alg_kind_t kinds[] = {
      [SP_ACT_GELU_ERF] = dnnl_eltwise_gelu_erf,
      [SP_ACT_GELU_TANH] = dnnl_eltwise_gelu_tanh,
      [SP_ACT_RELU] = dnnl_eltwise_relu,
      [SP_ACT_TANH] = dnnl_eltwise_tanh,
  };
  dnnl_post_ops_t ops;
  DNNL_TRY(dnnl_post_ops_create(&ops));
  dnnl_status_t status = append_eltwise(ops, kinds[activation]);
  if (status == dnnl_success) {
    status = dnnl_primitive_attr_set_post_ops(attr, ops);
  }
  dnnl_post_ops_destroy(ops);
  return status;
}

/* Scratch is ours, and f32 stays f32 whatever the environment asks for. */
static dnnl_status_t set_attributes(dnnl_primitive_attr_t attr, enum sp_activation activation) {
  DNNL_TRY(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user));
  DNNL_TRY(dnnl_primitive_attr_set_fpmath_mode(attr, dnnl_fpmath_mode_strict));
  return activation == SP_ACT_NONE ? dnnl_success : add_activation(attr, activation);
}

static dnnl_status_t describe_gemm(struct onednn_gemm *gemm) {
  const struct sp_gemm_spec *spec = &gemm->base.spec;
  dnnl_dims_t in = {(dnnl_dim_t)spec->tile, (dnnl_dim_t)spec->k};
  dnnl_dims_t weight = {(dnnl_dim_t)spec->k, (dnnl_dim_t)spec->n};
  dnnl_dims_t bias = {1, (dnnl_dim_t)spec->n};
  DNNL_TRY(md_init(&gemm->in, in, act_type(spec), dnnl_ab));
  DNNL_TRY(md_init(&gemm->weight, weight, act_type(spec), dnnl_format_tag_any));
  return md_init(&gemm->bias, bias, dnnl_f32, dnnl_ab);
}

static dnnl_status_t product_plan(struct onednn_gemm *gemm, int kind) {
  const struct sp_gemm_spec *spec = &gemm->base.spec;
  struct product *product = &gemm->product[kind];
  dnnl_dims_t out = {(dnnl_dim_t)spec->tile, (dnnl_dim_t)spec->n};
  DNNL_TRY(md_init(&product->out, out, kind == OUT_F32 ? dnnl_f32 : act_type(spec), dnnl_ab));
  dnnl_primitive_attr_t attr;
  DNNL_TRY(dnnl_primitive_attr_create(&attr));
  dnnl_status_t status = set_attributes(attr, spec->activation);
  if (status == dnnl_success) {
    status = plan_create(&product->plan, gemm->context->engine, MD_VIEW(gemm->in),
                         MD_VIEW(gemm->weight), MD_VIEW(gemm->bias), MD_VIEW(product->out), attr);
  }
  dnnl_primitive_attr_destroy(attr);
  DNNL_TRY(status);
  product->slab_bytes = dnnl_memory_desc_get_size(
      dnnl_primitive_desc_query_md(product->plan, dnnl_query_weights_md, 0));
  product->scratch_bytes = dnnl_memory_desc_get_size(
      dnnl_primitive_desc_query_md(product->plan, dnnl_query_scratchpad_md, 0));
  return dnnl_primitive_create(&product->run, product->plan);
}

/* Reorders `source` (N, K) f32 into the memory `to`. */
static dnnl_status_t pack(struct onednn_gemm *gemm, const float *source, md_view to_md,
                          dnnl_memory_t to) {
  const struct sp_gemm_spec *spec = &gemm->base.spec;
  dnnl_engine_t engine = gemm->context->engine;
  dnnl_dims_t dims = {(dnnl_dim_t)spec->k, (dnnl_dim_t)spec->n};
  dnnl_memory_desc_t from_md;
  dnnl_memory_t from = NULL;
  dnnl_primitive_desc_t plan = NULL;
  dnnl_primitive_t run = NULL;
  dnnl_stream_t stream = NULL;
  DNNL_TRY(md_init(&from_md, dims, dnnl_f32, dnnl_ba));
  dnnl_status_t status =
      dnnl_memory_create(&from, MD_VIEW(from_md), engine, (void *)(uintptr_t)source);
  if (status == dnnl_success) {
    status =
        dnnl_reorder_primitive_desc_create(&plan, MD_VIEW(from_md), engine, to_md, engine, NULL);
  }
  if (status == dnnl_success) {
    status = dnnl_primitive_create(&run, plan);
  }
  if (status == dnnl_success) {
    status = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
  }
  if (status == dnnl_success) {
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    status = dnnl_primitive_execute(run, stream, 2, args);
  }
  if (status == dnnl_success) {
    status = dnnl_stream_wait(stream);
  }
  dnnl_stream_destroy(stream);
  dnnl_primitive_destroy(run);
  dnnl_primitive_desc_destroy(plan);
  dnnl_memory_destroy(from);
  md_release(from_md);
  return status;
}

/* Packs all slabs; the last is filled up with zeros through `filled` (n, k). */
static dnnl_status_t product_pack(struct onednn_gemm *gemm, struct product *product,
                                  const float *weight, size_t total, float *filled) {
  const struct sp_gemm_spec *spec = &gemm->base.spec;
  md_view md = dnnl_primitive_desc_query_md(product->plan, dnnl_query_weights_md, 0);
  product->weights = calloc(spec->slabs, sizeof(dnnl_memory_t));
  product->packed = sp_cpu_alloc_floats(sp_mul_sat(spec->slabs, product->slab_bytes) / 4 + 1);
  if (!product->weights || !product->packed) {
    return dnnl_out_of_memory;
  }
  for (size_t i = 0; i < spec->slabs; i++) {
    const float *source = weight + i * spec->n * spec->k;
    size_t rows = sp_min_size(total - i * spec->n, spec->n);
    if (rows < spec->n) {
      memcpy(filled, source, rows * spec->k * sizeof(float));
      source = filled;
    }
    DNNL_TRY(dnnl_memory_create(&product->weights[i], md, gemm->context->engine,
                                product->packed + i * product->slab_bytes));
    DNNL_TRY(pack(gemm, source, md, product->weights[i]));
  }
  return dnnl_success;
}

/* Whether both outputs want one layout of the weights, as they mostly do. */
static bool same_layout(const struct product *a, const struct product *b) {
  return a->plan && b->plan &&
         dnnl_memory_desc_equal(dnnl_primitive_desc_query_md(a->plan, dnnl_query_weights_md, 0),
                                dnnl_primitive_desc_query_md(b->plan, dnnl_query_weights_md, 0));
}

static dnnl_status_t pack_all(struct onednn_gemm *gemm, const float *weight, size_t total,
                              float *filled) {
  struct product *act = &gemm->product[OUT_ACT];
  struct product *f32 = &gemm->product[OUT_F32];
  if (act->plan) {
    DNNL_TRY(product_pack(gemm, act, weight, total, filled));
  }
  if (same_layout(act, f32)) {
    f32->weights = act->weights;
    f32->shared = true;
  } else if (f32->plan) {
    DNNL_TRY(product_pack(gemm, f32, weight, total, filled));
  }
  return dnnl_success;
}

static dnnl_status_t copy_bias(struct onednn_gemm *gemm, const float *bias, size_t total) {
  const struct sp_gemm_spec *spec = &gemm->base.spec;
  gemm->bias_data = sp_cpu_alloc_floats(sp_mul_sat(spec->slabs, spec->n));
  gemm->biases = calloc(spec->slabs, sizeof(dnnl_memory_t));
  if (!gemm->bias_data || !gemm->biases) {
    return dnnl_out_of_memory;
  }
  memcpy(gemm->bias_data, bias, total * sizeof(float));
  for (size_t i = 0; i < spec->slabs; i++) {
    DNNL_TRY(dnnl_memory_create(&gemm->biases[i], MD_VIEW(gemm->bias), gemm->context->engine,
                                gemm->bias_data + i * spec->n));
  }
  return dnnl_success;
}

static dnnl_status_t build(struct onednn_gemm *gemm, const float *weight, const float *bias,
                           size_t total) {
  const struct sp_gemm_spec *spec = &gemm->base.spec;
  DNNL_TRY(describe_gemm(gemm));
  for (int kind = 0; kind < OUT_KINDS; kind++) {
    if (wants(spec, kind)) {
      DNNL_TRY(product_plan(gemm, kind));
    }
  }
  DNNL_TRY(copy_bias(gemm, bias, total));
  float *filled = NULL;
  if (total < sp_mul_sat(spec->slabs, spec->n)) {
    filled = sp_cpu_alloc_floats(sp_mul_sat(spec->n, spec->k));
    if (!filled) {
      return dnnl_out_of_memory;
    }
  }
  dnnl_status_t status = pack_all(gemm, weight, total, filled);
  free(filled);
  return status;
}

static enum sp_status onednn_create(struct sp_gemm_context *context,
                                    const struct sp_gemm_spec *spec, const float *weight,
                                    const float *bias, size_t total, struct sp_gemm **out,
                                    struct sp_error *err) {
  struct onednn_gemm *gemm = calloc(1, sizeof *gemm);
  if (!gemm) {
    return sp_fail_memory(err, sizeof *gemm);
  }
  gemm->base.spec = *spec;
  gemm->context = context;
  int threads = enter_one_thread(context);
  dnnl_status_t status = build(gemm, weight, bias, total);
  leave_one_thread(context, threads);
  if (status != dnnl_success) {
    onednn_destroy(&gemm->base);
    return sp_fail(err, SP_EDEVICE, "oneDNN: a product of %zux%zu failed with status %d", spec->n,
                   spec->k, (int)status);
  }
  *out = &gemm->base;
  return SP_OK;
}

/* ---- lanes ---- */

/* Memory objects carry the pointers of a run, so each lane has its own. */
struct lane_gemm {
  dnnl_memory_t in, out[OUT_KINDS], scratch[OUT_KINDS];
};

struct sp_gemm_lane {
  struct sp_gemm_context *context;
  dnnl_stream_t stream;
  char *scratch; /* of the neediest gemm */
  size_t count;
  struct lane_gemm *gemms; /* (count) by index */
};

static void onednn_lane_destroy(struct sp_gemm_lane *lane) {
  if (!lane) {
    return;
  }
  for (size_t i = 0; lane->gemms && i < lane->count; i++) {
    dnnl_memory_destroy(lane->gemms[i].in);
    for (int kind = 0; kind < OUT_KINDS; kind++) {
      dnnl_memory_destroy(lane->gemms[i].out[kind]);
      dnnl_memory_destroy(lane->gemms[i].scratch[kind]);
    }
  }
  dnnl_stream_destroy(lane->stream);
  free(lane->gemms);
  free(lane->scratch);
  free(lane);
}

static dnnl_status_t lane_add(struct sp_gemm_lane *lane, const struct onednn_gemm *gemm) {
  struct lane_gemm *own = &lane->gemms[gemm->base.index];
  dnnl_engine_t engine = lane->context->engine;
  DNNL_TRY(dnnl_memory_create(&own->in, MD_VIEW(gemm->in), engine, DNNL_MEMORY_NONE));
  for (int kind = 0; kind < OUT_KINDS; kind++) {
    const struct product *product = &gemm->product[kind];
    if (product->plan) {
      md_view scratch = dnnl_primitive_desc_query_md(product->plan, dnnl_query_scratchpad_md, 0);
      DNNL_TRY(
          dnnl_memory_create(&own->out[kind], MD_VIEW(product->out), engine, DNNL_MEMORY_NONE));
      DNNL_TRY(dnnl_memory_create(&own->scratch[kind], scratch, engine, lane->scratch));
    }
  }
  return dnnl_success;
}

static dnnl_status_t lane_build(struct sp_gemm_lane *lane, const struct sp_gemm *newest) {
  size_t bytes = 0;
  for (const struct sp_gemm *base = newest; base; base = base->next) {
    const struct onednn_gemm *gemm = (const struct onednn_gemm *)base;
    bytes = sp_max_size(bytes, gemm->product[OUT_ACT].scratch_bytes);
    bytes = sp_max_size(bytes, gemm->product[OUT_F32].scratch_bytes);
  }
  lane->count = newest ? newest->index + 1 : 0;
  lane->gemms = calloc(lane->count + 1, sizeof *lane->gemms);
  lane->scratch = sp_cpu_alloc_floats(bytes / sizeof(float) + 1);
  if (!lane->gemms || !lane->scratch) {
    return dnnl_out_of_memory;
  }
  DNNL_TRY(dnnl_stream_create(&lane->stream, lane->context->engine, dnnl_stream_default_flags));
  for (const struct sp_gemm *base = newest; base; base = base->next) {
    DNNL_TRY(lane_add(lane, (const struct onednn_gemm *)base));
  }
  return dnnl_success;
}

static enum sp_status onednn_lane_create(struct sp_gemm_context *context,
                                         const struct sp_gemm *newest, struct sp_gemm_lane **out,
                                         struct sp_error *err) {
  struct sp_gemm_lane *lane = calloc(1, sizeof *lane);
  if (!lane) {
    return sp_fail_memory(err, sizeof *lane);
  }
  lane->context = context;
  dnnl_status_t status = lane_build(lane, newest);
  if (status != dnnl_success) {
    onednn_lane_destroy(lane);
    return fail(err, status, "making a stream");
  }
  *out = lane;
  return SP_OK;
}

static dnnl_status_t execute(struct sp_gemm_lane *lane, const struct onednn_gemm *gemm, size_t slab,
                             int kind, const void *in, void *out) {
  const struct product *product = &gemm->product[kind];
  struct lane_gemm *own = &lane->gemms[gemm->base.index];
  DNNL_TRY(dnnl_memory_set_data_handle(own->in, (void *)(uintptr_t)in));
  DNNL_TRY(dnnl_memory_set_data_handle(own->out[kind], out));
  dnnl_exec_arg_t args[] = {
      {DNNL_ARG_SRC, own->in},
      {DNNL_ARG_WEIGHTS, product->weights[slab]},
      {DNNL_ARG_BIAS, gemm->biases[slab]},
      {DNNL_ARG_DST, own->out[kind]},
      {DNNL_ARG_SCRATCHPAD, own->scratch[kind]},
  };
  DNNL_TRY(dnnl_primitive_execute(product->run, lane->stream, 5, args));
  return dnnl_stream_wait(lane->stream);
}

static enum sp_status onednn_run(struct sp_gemm_lane *lane, const struct sp_gemm *base, size_t slab,
                                 const void *in, size_t rows, bool out_f32, void *out,
                                 struct sp_error *err) {
  (void)rows; /* the whole tile is run, whatever it holds */
  int threads = enter_one_thread(lane->context);
  dnnl_status_t status =
      execute(lane, (const struct onednn_gemm *)base, slab, kind_of(&base->spec, out_f32), in, out);
  leave_one_thread(lane->context, threads);
  return status == dnnl_success ? SP_OK : fail(err, status, "a product");
}

const struct sp_gemm_engine sp_gemm_onednn = {
    .open = onednn_open,
    .close = onednn_close,
    .describe = onednn_describe,
    .create = onednn_create,
    .destroy = onednn_destroy,
    .lane_create = onednn_lane_create,
    .lane_destroy = onednn_lane_destroy,
    .run = onednn_run,
};
