/* train_products.c - products by shape, packed weights, buffers. */
#include "train_products.h"

#include <stdlib.h>
#include <string.h>

#include "checked.h"

enum sp_status sp_train_buffer_grow(struct sp_train_buffer *buffer, size_t bytes,
                                    struct sp_error *err) {
  if (bytes <= buffer->bytes) {
    return SP_OK;
  }
  free(buffer->data);
  buffer->bytes = 0;
  buffer->data = bytes < (size_t)-1 ? sp_cpu_alloc_floats(bytes / sizeof(float) + 1) : NULL;
  if (!buffer->data) {
    return sp_fail(err, SP_EDEVICE, "out of memory: %zu bytes for training", bytes);
  }
  buffer->bytes = bytes;
  return SP_OK;
}

static bool same_spec(const struct sp_product_spec *a, const struct sp_product_spec *b) {
  return a->type == b->type && a->m == b->m && a->n == b->n && a->k == b->k &&
         a->b_rows == b->b_rows && a->transposed == b->transposed && a->bias == b->bias &&
         a->add == b->add && a->out_f32 == b->out_f32 && a->like == b->like;
}

enum sp_status sp_train_product_get(struct sp_trainer *trainer, const struct sp_product_spec *spec,
                                    struct sp_product **out, struct sp_error *err) {
  struct sp_train_products *products = trainer->products;
  for (struct sp_product *p = products->newest; p; p = p->next) {
    if (same_spec(&p->spec, spec)) {
      *out = p;
      return SP_OK;
    }
  }
  SP_TRY(products->engine->create(products->context, spec, out, err));
  (*out)->next = products->newest;
  products->newest = *out;
  return SP_OK;
}

static enum sp_status outer_part(struct sp_trainer *trainer, enum sp_compute type, size_t m,
                                 size_t k, struct sp_product *out[2], struct sp_error *err) {
  out[0] = out[1] = NULL;
  for (size_t i = 0; m > 0 && i < 2; i++) {
    struct sp_product_spec spec = {.type = type,
                                   .m = m,
                                   .n = k,
                                   .k = i == 0 ? SP_TRAIN_PIECE : SP_TRAIN_TILE,
                                   .b_rows = true,
                                   .add = true,
                                   .out_f32 = true};
    SP_TRY(sp_train_product_get(trainer, &spec, &out[i], err));
  }
  return SP_OK;
}

enum sp_status sp_train_outer_get(struct sp_trainer *trainer, enum sp_compute type, size_t n,
                                  size_t k, struct sp_train_outer *out, struct sp_error *err) {
  size_t whole = n >= SP_TRAIN_BLOCK_ROWS ? SP_TRAIN_BLOCK_ROWS : 0;
  SP_TRY(outer_part(trainer, type, whole, k, out->whole, err));
  return outer_part(trainer, type, n % SP_TRAIN_BLOCK_ROWS, k, out->rest, err);
}

/* ---- weights ---- */

static enum sp_status plan_weight(struct sp_trainer *trainer, struct sp_train_weight *weight,
                                  struct sp_error *err) {
  struct sp_product_spec forward = {.type = weight->type,
                                    .m = SP_TRAIN_TILE,
                                    .n = weight->slab,
                                    .k = weight->k,
                                    .transposed = true,
                                    .bias = true};
  struct sp_product_spec backward = {
      .type = weight->type, .m = SP_TRAIN_TILE, .n = weight->k, .k = weight->slab};
  SP_TRY(sp_train_product_get(trainer, &forward, &weight->forward, err));
  SP_TRY(sp_train_product_get(trainer, &backward, &weight->backward, err));
  size_t forward_floats = sp_mul_sat(weight->slabs, weight->forward->packed_bytes) / 4 + 1;
  size_t backward_floats = sp_mul_sat(weight->slabs, weight->backward->packed_bytes) / 4 + 1;
  weight->packed_forward = sp_cpu_alloc_floats(forward_floats);
  weight->packed_backward = sp_cpu_alloc_floats(backward_floats);
  if (!weight->packed_forward || !weight->packed_backward) {
    return sp_fail(err, SP_EDEVICE, "out of memory for a weight of %zux%zu", weight->n, weight->k);
  }
  return SP_OK;
}

void sp_cpu_train_weight_destroy(struct sp_train_weight *weight) {
  if (weight) {
    free(weight->packed_forward);
    free(weight->packed_backward);
    free(weight);
  }
}

enum sp_status sp_cpu_train_weight_create(struct sp_trainer *trainer, enum sp_compute type,
                                          const float *master, size_t n, size_t k,
                                          struct sp_train_weight **out, struct sp_error *err) {
  if (n == 0 || k == 0 || k > trainer->limits.width ||
      n > sp_max_size(trainer->limits.width, trainer->limits.vocab)) {
    return sp_fail(err, SP_EMODEL, "a weight of %zux%zu; the trainer has room for %zux%zu", n, k,
                   sp_max_size(trainer->limits.width, trainer->limits.vocab),
                   trainer->limits.width);
  }
  struct sp_train_weight *weight = calloc(1, sizeof *weight);
  if (!weight) {
    return sp_fail_memory(err, sizeof *weight);
  }
  bool whole = n <= sp_max_size(trainer->limits.width, SP_TRAIN_SLAB);
  *weight = (struct sp_train_weight){.trainer = trainer,
                                     .type = type,
                                     .master = master,
                                     .n = n,
                                     .k = k,
                                     .slab = whole ? n : SP_TRAIN_SLAB};
  weight->slabs = (n + weight->slab - 1) / weight->slab;
  enum sp_status status = SP_OK;
  SP_TRY_GOTO(plan_weight(trainer, weight, err), fail);
  SP_TRY_GOTO(sp_cpu_train_weight_refresh(trainer, weight, err), fail);
  *out = weight;
  return SP_OK;

fail:
  sp_cpu_train_weight_destroy(weight);
  return status;
}

struct refresh {
  struct sp_trainer *trainer;
  struct sp_train_weight *weight;
  atomic_int failure;
};

/* Slab task / 2 for one of the two products. The last slab is filled up with zeros. */
static void refresh_slab(void *arg, size_t task, size_t thread) {
  struct refresh *refresh = arg;
  const struct sp_train_weight *weight = refresh->weight;
  struct sp_train_products *products = refresh->trainer->products;
  size_t slab = task / 2;
  const float *from = weight->master + slab * weight->slab * weight->k;
  size_t rows = sp_min_size(weight->n - slab * weight->slab, weight->slab);
  if (rows < weight->slab) {
    size_t floats = weight->slab * weight->k;
    float *filled = (float *)products->tiles.data + thread * floats;
    memset(filled, 0, floats * sizeof *filled);
    memcpy(filled, from, rows * weight->k * sizeof *filled);
    from = filled;
  }
  const struct sp_product *product = task % 2 ? weight->backward : weight->forward;
  char *to = task % 2 ? weight->packed_backward : weight->packed_forward;
  to += slab * product->packed_bytes;
  sp_train_note(&refresh->failure,
                products->engine->pack(products->context, product, thread, from, to));
}

enum sp_status sp_cpu_train_weight_refresh(struct sp_trainer *trainer,
                                           struct sp_train_weight *weight, struct sp_error *err) {
  if (weight->n % weight->slab > 0) {
    size_t bytes = sp_mul_sat(sp_mul_sat(weight->slab, weight->k), sizeof(float));
    bytes = sp_mul_sat(bytes, sp_team_threads(trainer->team));
    SP_TRY(sp_train_buffer_grow(&trainer->products->tiles, bytes, err));
  }
  struct refresh refresh = {.trainer = trainer, .weight = weight};
  atomic_init(&refresh.failure, SP_OK);
  sp_team_run(trainer->team, 2 * weight->slabs, refresh_slab, &refresh);
  return sp_train_outcome(&refresh.failure, err);
}

/* ---- open and close ---- */

/* Products come from the engine that the device scores with. */
static const struct sp_product_engine *choose_engine(const struct sp_trainer *trainer) {
#if defined(SP_HAVE_ONEDNN) && defined(__x86_64__)
  if (trainer->device->products.engine == &sp_gemm_onednn) {
    return &sp_product_onednn;
  }
#endif
  return trainer->kernels->portable;
}

enum sp_status sp_train_products_open(struct sp_trainer *trainer, struct sp_error *err) {
  struct sp_train_products *products = calloc(1, sizeof *products);
  if (!products) {
    return sp_fail_memory(err, sizeof *products);
  }
  products->engine = choose_engine(trainer);
  enum sp_status status = products->engine->open(
      trainer->device->products.context, sp_team_threads(trainer->team), &products->context, err);
  if (status != SP_OK) {
    free(products);
    return status;
  }
  trainer->products = products;
  return SP_OK;
}

void sp_train_products_close(struct sp_trainer *trainer) {
  struct sp_train_products *products = trainer->products;
  if (!products) {
    return;
  }
  while (products->newest) {
    struct sp_product *product = products->newest;
    products->newest = product->next;
    products->engine->destroy(products->context, product);
  }
  products->engine->close(products->context);
  free(products->d_pre.data);
  free(products->packed.data);
  free(products->sums.data);
  free(products->exps.data);
  free(products->stats.data);
  free(products->tiles.data);
  free(products);
}
