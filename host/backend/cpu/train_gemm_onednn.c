/* train_gemm_onednn.c - the products of training by oneDNN.
 *
 * Shapes    as train_product.h says.  Packed weights lie as oneDNN asks for them; rows lie in blocks of
 *           16 pairs by 64 columns, which its bf16 kernels read as they are, or plain
 * Parallel  one thread inside every call; memory objects and scratch are one set a thread
 * Numerics  f32 x f32 or bf16 x bf16, summed in f32; f32 stays f32 whatever the environment asks */
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "onednn_context.h"
#include "train_product.h"

enum { PAIR_COLUMNS = 64, PROBE = 128 };

struct sp_product_context {
  struct sp_gemm_context *shared;
  size_t threads;
  dnnl_stream_t *streams; /* (threads) */
  char **scratch;         /* (threads) of the neediest product */
  size_t scratch_bytes;
  bool pairs; /* bf16 rows are read in pairs */
};

/* Memory objects carry the pointers of a run, so each thread has its own. */
struct lane {
  dnnl_memory_t a, b, bias, c, scratch;
  dnnl_memory_t from; /* of pack */
};

struct onednn_product {
  struct sp_product base;
  dnnl_memory_desc_t a, b, bias, c, from;
  dnnl_primitive_desc_t plan, pack_plan;
  dnnl_primitive_t run, pack;
  struct lane *lanes; /* (threads) */
  size_t scratch_bytes;
};

static dnnl_data_type_t type_of(enum sp_compute type) {
  return type == SP_COMPUTE_BF16 ? dnnl_bf16 : dnnl_f32;
}

static dnnl_status_t set_attributes(dnnl_primitive_attr_t attr, bool add) {
  DNNL_TRY(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user));
  DNNL_TRY(dnnl_primitive_attr_set_fpmath_mode(attr, dnnl_fpmath_mode_strict));
  if (!add) {
    return dnnl_success;
  }
  dnnl_post_ops_t ops;
  DNNL_TRY(dnnl_post_ops_create(&ops));
  dnnl_status_t status = append_sum(ops);
  if (status == dnnl_success) {
    status = dnnl_primitive_attr_set_post_ops(attr, ops);
  }
  dnnl_post_ops_destroy(ops);
  return status;
}

static md_view planned(const struct onednn_product *product, dnnl_query_t what) {
  return dnnl_primitive_desc_query_md(product->plan, what, 0);
}

/* b as rows lie, as the other product has it, or as oneDNN likes it. */
static dnnl_status_t describe_b(const struct sp_product_context *context,
                                struct onednn_product *product, const dnnl_dims_t dims) {
  const struct sp_product_spec *spec = &product->base.spec;
  if (spec->like) {
    const struct onednn_product *like = (const struct onednn_product *)spec->like;
    return md_copy(&product->b, planned(like, dnnl_query_weights_md));
  }
  dnnl_format_tag_t tag = dnnl_format_tag_any;
  if (spec->b_rows) {
    tag = spec->type == SP_COMPUTE_BF16 && context->pairs ? dnnl_BA16a64b2a : dnnl_ab;
  }
  return md_init(&product->b, dims, type_of(spec->type), tag);
}

static dnnl_status_t describe(const struct sp_product_context *context,
                              struct onednn_product *product) {
  const struct sp_product_spec *spec = &product->base.spec;
  dnnl_dim_t m = (dnnl_dim_t)spec->m, n = (dnnl_dim_t)spec->n, k = (dnnl_dim_t)spec->k;
  dnnl_data_type_t type = type_of(spec->type);
  dnnl_dims_t a = {m, k}, b = {k, n}, bias = {1, n}, c = {m, n};
  DNNL_TRY(md_init(&product->a, a, type, dnnl_ab));
  DNNL_TRY(describe_b(context, product, b));
  DNNL_TRY(md_init(&product->bias, bias, dnnl_f32, dnnl_ab));
  DNNL_TRY(md_init(&product->c, c, spec->out_f32 ? dnnl_f32 : type, dnnl_ab));
  return md_init(&product->from, b, dnnl_f32, spec->transposed ? dnnl_ba : dnnl_ab);
}

static dnnl_status_t plan(const struct sp_product_context *context,
                          struct onednn_product *product) {
  const struct sp_product_spec *spec = &product->base.spec;
  dnnl_primitive_attr_t attr;
  DNNL_TRY(dnnl_primitive_attr_create(&attr));
  dnnl_status_t status = set_attributes(attr, spec->add);
  if (status == dnnl_success) {
    status = plan_create(&product->plan, context->shared->engine, MD_VIEW(product->a),
                         MD_VIEW(product->b), spec->bias ? MD_VIEW(product->bias) : NULL,
                         MD_VIEW(product->c), attr);
  }
  dnnl_primitive_attr_destroy(attr);
  DNNL_TRY(status);
  product->scratch_bytes = dnnl_memory_desc_get_size(planned(product, dnnl_query_scratchpad_md));
  return dnnl_primitive_create(&product->run, product->plan);
}

static dnnl_status_t plan_pack(const struct sp_product_context *context,
                               struct onednn_product *product) {
  dnnl_engine_t engine = context->shared->engine;
  md_view to = planned(product, dnnl_query_weights_md);
  product->base.packed_bytes = dnnl_memory_desc_get_size(to);
  DNNL_TRY(dnnl_reorder_primitive_desc_create(&product->pack_plan, MD_VIEW(product->from), engine,
                                              to, engine, NULL));
  return dnnl_primitive_create(&product->pack, product->pack_plan);
}

static dnnl_status_t create_lane(const struct sp_product_context *context,
                                 const struct onednn_product *product, struct lane *lane) {
  dnnl_engine_t engine = context->shared->engine;
  DNNL_TRY(dnnl_memory_create(&lane->a, MD_VIEW(product->a), engine, DNNL_MEMORY_NONE));
  DNNL_TRY(dnnl_memory_create(&lane->b, planned(product, dnnl_query_weights_md), engine,
                              DNNL_MEMORY_NONE));
  DNNL_TRY(dnnl_memory_create(&lane->bias, MD_VIEW(product->bias), engine, DNNL_MEMORY_NONE));
  DNNL_TRY(dnnl_memory_create(&lane->c, MD_VIEW(product->c), engine, DNNL_MEMORY_NONE));
  DNNL_TRY(dnnl_memory_create(&lane->from, MD_VIEW(product->from), engine, DNNL_MEMORY_NONE));
  return dnnl_memory_create(&lane->scratch, planned(product, dnnl_query_scratchpad_md), engine,
                            DNNL_MEMORY_NONE);
}

static void destroy_lane(struct lane *lane) {
  dnnl_memory_destroy(lane->a);
  dnnl_memory_destroy(lane->b);
  dnnl_memory_destroy(lane->bias);
  dnnl_memory_destroy(lane->c);
  dnnl_memory_destroy(lane->from);
  dnnl_memory_destroy(lane->scratch);
}

static void onednn_destroy(struct sp_product_context *context, struct sp_product *base) {
  struct onednn_product *product = (struct onednn_product *)base;
  if (!product) {
    return;
  }
  for (size_t i = 0; product->lanes && i < context->threads; i++) {
    destroy_lane(&product->lanes[i]);
  }
  free(product->lanes);
  dnnl_primitive_destroy(product->run);
  dnnl_primitive_destroy(product->pack);
  dnnl_primitive_desc_destroy(product->plan);
  dnnl_primitive_desc_destroy(product->pack_plan);
  md_release(product->a);
  md_release(product->b);
  md_release(product->bias);
  md_release(product->c);
  md_release(product->from);
  free(product);
}

static bool grow_scratch(struct sp_product_context *context, size_t bytes) {
  if (bytes <= context->scratch_bytes) {
    return true;
  }
  context->scratch_bytes = 0;
  for (size_t i = 0; i < context->threads; i++) {
    free(context->scratch[i]);
    context->scratch[i] = sp_cpu_alloc_floats(bytes / sizeof(float) + 1);
    if (!context->scratch[i]) {
      return false;
    }
  }
  context->scratch_bytes = bytes;
  return true;
}

static dnnl_status_t build(struct sp_product_context *context, struct onednn_product *product) {
  DNNL_TRY(describe(context, product));
  DNNL_TRY(plan(context, product));
  if (!product->base.spec.b_rows) {
    DNNL_TRY(plan_pack(context, product));
  }
  product->lanes = calloc(context->threads, sizeof *product->lanes);
  if (!product->lanes || !grow_scratch(context, product->scratch_bytes)) {
    return dnnl_out_of_memory;
  }
  for (size_t i = 0; i < context->threads; i++) {
    DNNL_TRY(create_lane(context, product, &product->lanes[i]));
  }
  return dnnl_success;
}

static enum sp_status onednn_create(struct sp_product_context *context,
                                    const struct sp_product_spec *spec, struct sp_product **out,
                                    struct sp_error *err) {
  struct onednn_product *product = calloc(1, sizeof *product);
  if (!product) {
    return sp_fail_memory(err, sizeof *product);
  }
  product->base.spec = *spec;
  int before = enter_one_thread(context->shared);
  dnnl_status_t status = build(context, product);
  leave_one_thread(context->shared, before);
  if (status != dnnl_success) {
    onednn_destroy(context, &product->base);
    return sp_fail(err, SP_EDEVICE, "oneDNN: a product of %zux%zux%zu failed with status %d",
                   spec->m, spec->n, spec->k, (int)status);
  }
  *out = &product->base;
  return SP_OK;
}

static dnnl_status_t execute_pack(const struct sp_product_context *context,
                                  const struct onednn_product *product, size_t thread,
                                  const float *from, void *to) {
  const struct lane *lane = &product->lanes[thread];
  DNNL_TRY(dnnl_memory_set_data_handle(lane->from, (void *)(uintptr_t)from));
  DNNL_TRY(dnnl_memory_set_data_handle(lane->b, to));
  dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, lane->from}, {DNNL_ARG_TO, lane->b}};
  DNNL_TRY(dnnl_primitive_execute(product->pack, context->streams[thread], 2, args));
  return dnnl_stream_wait(context->streams[thread]);
}

static enum sp_status onednn_pack(struct sp_product_context *context, const struct sp_product *base,
                                  size_t thread, const float *from, void *to) {
  int before = enter_one_thread(context->shared);
  dnnl_status_t status =
      execute_pack(context, (const struct onednn_product *)base, thread, from, to);
  leave_one_thread(context->shared, before);
  return status == dnnl_success ? SP_OK : SP_EDEVICE;
}

static dnnl_status_t execute(const struct sp_product_context *context,
                             const struct onednn_product *product, size_t thread, const void *a,
                             const void *b, const float *bias, void *c) {
  const struct lane *lane = &product->lanes[thread];
  DNNL_TRY(dnnl_memory_set_data_handle(lane->a, (void *)(uintptr_t)a));
  DNNL_TRY(dnnl_memory_set_data_handle(lane->b, (void *)(uintptr_t)b));
  DNNL_TRY(dnnl_memory_set_data_handle(lane->c, c));
  DNNL_TRY(dnnl_memory_set_data_handle(lane->scratch, context->scratch[thread]));
  dnnl_exec_arg_t args[5] = {{DNNL_ARG_SRC, lane->a},
                             {DNNL_ARG_WEIGHTS, lane->b},
                             {DNNL_ARG_DST, lane->c},
                             {DNNL_ARG_SCRATCHPAD, lane->scratch},
                             {DNNL_ARG_BIAS, lane->bias}};
  if (product->base.spec.bias) {
    DNNL_TRY(dnnl_memory_set_data_handle(lane->bias, (void *)(uintptr_t)bias));
  }
  int count = product->base.spec.bias ? 5 : 4;
  DNNL_TRY(dnnl_primitive_execute(product->run, context->streams[thread], count, args));
  return dnnl_stream_wait(context->streams[thread]);
}

static enum sp_status onednn_run(struct sp_product_context *context, const struct sp_product *base,
                                 size_t thread, const void *a, const void *b, const float *bias,
                                 void *c) {
  int before = enter_one_thread(context->shared);
  dnnl_status_t status =
      execute(context, (const struct onednn_product *)base, thread, a, b, bias, c);
  leave_one_thread(context->shared, before);
  return status == dnnl_success ? SP_OK : SP_EDEVICE;
}

static struct sp_row_layout onednn_row_layout(const struct sp_product_context *context,
                                              enum sp_compute type) {
  bool bf16 = type == SP_COMPUTE_BF16;
  bool pairs = bf16 && context->pairs;
  return (struct sp_row_layout){bf16, pairs, pairs ? PAIR_COLUMNS : 1};
}

/* Whether bf16 products of blocked rows come from the kernels that are made for them. */
static bool reads_pairs(struct sp_product_context *context) {
  struct sp_product_spec spec = {.type = SP_COMPUTE_BF16,
                                 .m = PROBE,
                                 .n = PROBE,
                                 .k = PROBE,
                                 .b_rows = true,
                                 .add = true,
                                 .out_f32 = true};
  struct sp_product *probe;
  context->pairs = true;
  if (onednn_create(context, &spec, &probe, NULL) != SP_OK) {
    return false;
  }
  const char *kind = "";
  dnnl_primitive_desc_query(((struct onednn_product *)probe)->plan, dnnl_query_impl_info_str, 0,
                            (void *)&kind);
  bool made_for_it = strncmp(kind, "brg", 3) == 0;
  onednn_destroy(context, probe);
  return made_for_it;
}

static void onednn_close(struct sp_product_context *context) {
  if (!context) {
    return;
  }
  for (size_t i = 0; context->streams && context->scratch && i < context->threads; i++) {
    dnnl_stream_destroy(context->streams[i]);
    free(context->scratch[i]);
  }
  free(context->streams);
  free(context->scratch);
  free(context);
}

static enum sp_status onednn_open(struct sp_gemm_context *shared, size_t threads,
                                  struct sp_product_context **out, struct sp_error *err) {
  struct sp_product_context *context = calloc(1, sizeof *context);
  if (!context) {
    return sp_fail_memory(err, sizeof *context);
  }
  context->shared = shared;
  context->threads = threads;
  context->streams = calloc(threads, sizeof *context->streams);
  context->scratch = calloc(threads, sizeof *context->scratch);
  dnnl_status_t status = context->streams && context->scratch ? dnnl_success : dnnl_out_of_memory;
  for (size_t i = 0; status == dnnl_success && i < threads; i++) {
    status = dnnl_stream_create(&context->streams[i], shared->engine, dnnl_stream_default_flags);
  }
  if (status != dnnl_success) {
    onednn_close(context);
    return sp_fail(err, SP_EDEVICE, "oneDNN: making a trainer's streams failed with status %d",
                   (int)status);
  }
  context->pairs = reads_pairs(context);
  *out = context;
  return SP_OK;
}

const struct sp_product_engine sp_product_onednn = {
    .open = onednn_open,
    .close = onednn_close,
    .row_layout = onednn_row_layout,
    .create = onednn_create,
    .destroy = onednn_destroy,
    .pack = onednn_pack,
    .run = onednn_run,
};
