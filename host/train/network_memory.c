/* network_memory.c - creation and end of a network: one allocation of the device, and its weights. */
#include <stdlib.h>

#include "checked.h"
#include "network_state.h"

/* Hands out aligned pieces; without a base it only counts. */
struct cursor {
  char *base;
  size_t at;
};

static void *take(struct cursor *c, size_t rows, size_t row_bytes) {
  size_t at = c->at;
  c->at = sp_round_up(at + rows * row_bytes, 256);
  return c->base ? c->base + at : NULL;
}

static struct sp_network_norm take_norm(struct cursor *c, size_t rows, size_t d) {
  return (struct sp_network_norm){
      .sum = take(c, rows, d * 4), .mean = take(c, rows, 4), .rstd = take(c, rows, 4)};
}

static size_t padded(const struct sp_network *n, size_t rows) {
  return sp_round_up(rows, n->device->row_quantum);
}

/* Rows that may reach a head. */
static size_t scored_limit(const struct sp_network_limits *limits) {
  return sp_max_size(limits->targets, limits->sequences);
}

static size_t mask_words(const struct sp_network *n) {
  return (n->params->config.max_positions + 63) / 64;
}

static void place_layer(struct sp_network *n, struct sp_network_layer *layer, struct cursor *c) {
  const struct sp_model_config *config = &n->params->config;
  size_t rows = padded(n, n->limits.tokens), act = n->device->act_bytes;
  size_t d = config->hidden, f = config->ffn, j = layer->reach;
  layer->in = take(c, rows, d * act);
  layer->qkv_out = take(c, rows, 3 * d * act);
  layer->context = take(c, rows, d * act);
  layer->lse = take(c, rows, config->heads * 4);
  layer->attention_norm = take_norm(c, rows, d);
  layer->middle = take(c, rows, d * act);
  layer->up_pre = take(c, rows, f * act);
  layer->up_out = take(c, rows, f * act);
  layer->output_norm = take_norm(c, rows, d);
  if (layer->trimmed) {
    layer->q_in = take(c, rows, d * act);
    layer->q_out = take(c, rows, d * act);
  }
  if (j != 0) {
    layer->in_res = take(c, rows, d * 4);
    layer->hidden_pre = take(c, rows, config->scheduler_hidden * 4);
    layer->hidden_out = take(c, rows, config->scheduler_hidden * 4);
    layer->g = take(c, rows, j * 4);
    layer->log_a = take(c, rows, j * 4);
  }
  if (layer->own_mask) {
    layer->mask = take(c, n->limits.tokens * mask_words(n), 8);
  }
}

static void place_rows(struct sp_network *n, struct cursor *c) {
  struct sp_network_rows *r = &n->rows;
  size_t t = padded(n, n->limits.tokens) + 1, s = n->limits.sequences + 1;
  uint32_t **of_tokens[] = {&r->positions,       &r->attention_position,
                            &r->scored_position, &r->room,
                            &r->scored,          &r->iota,
                            &r->word_row,        &r->word_start,
                            &r->word_target,     &r->position_row,
                            &r->position_start,  &r->position_target};
  for (size_t i = 0; i < sizeof of_tokens / sizeof *of_tokens; i++) {
    *of_tokens[i] = take(c, t, 4);
  }
  r->ids = take(c, t, 4);
  r->target = take(c, t, 4);
  r->row_start = take(c, s, 4);
  r->scored_start = take(c, s, 4);
  r->mask_start = take(c, s, 8);
  r->scored_mask_start = take(c, s, 8);
  r->all = take(c, 2, 4);
}

static void place_heads(struct sp_network *n, struct cursor *c) {
  const struct sp_params *p = n->params;
  size_t rows = padded(n, scored_limit(&n->limits)), d = p->config.hidden, widest = d;
  size_t act = n->device->act_bytes;
  n->d_rows = take(c, sp_max_size(rows, n->trim ? padded(n, n->limits.tokens) : 0), d * 4);
  n->loss = take(c, rows, 4);
  if (p->has_mlm) {
    n->head_in = take(c, rows, d * act);
    n->transform_pre = take(c, rows, d * act);
    n->transform_norm = take_norm(c, rows, d);
    n->transform_out = take(c, rows, d * act);
    n->d_transform = take(c, rows, d * 4);
  }
  if (p->has_cls) {
    n->cls_in = take(c, rows, d * 4);
    for (size_t i = 0; i < p->n_cls; i++) {
      n->cls_pre[i] = take(c, rows, p->cls[i].n * 4);
      n->cls_out[i] = take(c, rows, p->cls[i].n * 4);
      widest = sp_max_size(widest, p->cls[i].n);
    }
    n->d_cls[0] = take(c, rows, widest * 4);
    n->d_cls[1] = take(c, rows, widest * 4);
  }
}

static size_t place_all(struct sp_network *n, char *base) {
  const struct sp_model_config *config = &n->params->config;
  size_t rows = padded(n, n->limits.tokens), act = n->device->act_bytes, d = config->hidden;
  struct cursor c = {.base = base};
  n->values = take(&c, n->params->count, 4);
  n->gradients = take(&c, n->params->count, 4);
  place_rows(n, &c);
  n->embedding_norm = take_norm(&c, rows, d);
  for (size_t l = 0; l < config->layers; l++) {
    place_layer(n, &n->layer[l], &c);
    if (l > 0 && !n->layer[l].own_mask) {
      n->layer[l].mask = n->layer[l - 1].mask;
    }
  }
  n->residual[0] = take(&c, rows, d * 4);
  n->residual[1] = take(&c, rows, d * 4);
  n->last = take(&c, rows, d * act);
  place_heads(n, &c);
  n->d = take(&c, rows, d * 4);
  n->d_context = take(&c, rows, d * act);
  n->d_up = take(&c, rows, config->ffn * act);
  n->d_q = take(&c, rows, d * act);
  n->d_qkv = take(&c, rows, 3 * d * act);
  n->d_log_a = take(&c, rows, n->reach * 4);
  n->d_extra = take(&c, rows, n->reach * 4);
  n->d_g = take(&c, rows, n->reach * 4);
  n->d_hidden = take(&c, rows, config->scheduler_hidden * 4);
  return c.at;
}

/* Whether two layers' static masks are one. */
static bool same_mask(const struct sp_lookahead *rule, size_t l, size_t layers) {
  struct sp_mask_args a = sp_lookahead_mask(rule, l - 1, layers);
  struct sp_mask_args b = sp_lookahead_mask(rule, l, layers);
  return a.policy == b.policy && a.reach == b.reach && a.left == b.left && a.exempt == b.exempt &&
         a.exempt_last == b.exempt_last;
}

static void describe_layers(struct sp_network *n) {
  const struct sp_model_config *config = &n->params->config;
  const struct sp_lookahead *rule = &config->lookahead;
  n->trim = rule->policy != SP_MASK_DYNAMIC;
  for (size_t l = 0; l < config->layers; l++) {
    struct sp_network_layer *layer = &n->layer[l];
    layer->param = &n->params->layers[l];
    layer->trimmed = n->trim && l + 1 == config->layers;
    layer->n_scheduler = layer->param->n_scheduler;
    if (layer->n_scheduler != 0) {
      layer->reach = sp_lookahead_reach(rule, l);
      n->reach = sp_max_size(n->reach, layer->reach);
    }
    layer->own_mask = rule->policy != SP_MASK_FULL &&
                      (l == 0 || layer->trimmed || !same_mask(rule, l, config->layers));
  }
}

static enum sp_status make_weight(struct sp_network *n, enum sp_compute type, size_t offset,
                                  size_t rows, size_t columns, struct sp_train_weight **out,
                                  struct sp_error *err) {
  return n->ops->weight_create(n->trainer, type, sp_network_value(n, offset), rows, columns, out,
                               err);
}

static enum sp_status make_linear(struct sp_network *n, enum sp_compute type,
                                  const struct sp_param_linear *linear,
                                  struct sp_train_weight **out, struct sp_error *err) {
  return make_weight(n, type, linear->weight, linear->n, linear->k, out, err);
}

static enum sp_status make_layer(struct sp_network *n, struct sp_network_layer *layer,
                                 struct sp_error *err) {
  const struct sp_param_layer *p = layer->param;
  enum sp_compute type = n->device->compute;
  size_t d = n->params->config.hidden;
  if (layer->trimmed) {
    SP_TRY(make_weight(n, type, p->qkv.weight, d, d, &layer->q, err));
    SP_TRY(make_weight(n, type, p->qkv.weight + d * d, 2 * d, d, &layer->kv, err));
  } else {
    SP_TRY(make_linear(n, type, &p->qkv, &layer->qkv, err));
  }
  SP_TRY(make_linear(n, type, &p->o, &layer->o, err));
  SP_TRY(make_linear(n, type, &p->up, &layer->up, err));
  SP_TRY(make_linear(n, type, &p->down, &layer->down, err));
  for (size_t i = 0; i < layer->n_scheduler; i++) {
    SP_TRY(make_linear(n, SP_COMPUTE_F32, &p->scheduler[i], &layer->scheduler[i], err));
  }
  return SP_OK;
}

static enum sp_status make_weights(struct sp_network *n, struct sp_error *err) {
  const struct sp_params *p = n->params;
  for (size_t l = 0; l < p->config.layers; l++) {
    SP_TRY(make_layer(n, &n->layer[l], err));
  }
  if (p->has_mlm) {
    SP_TRY(make_linear(n, n->device->compute, &p->transform, &n->transform, err));
    SP_TRY(make_linear(n, n->device->compute, &p->decoder, &n->decoder, err));
  }
  for (size_t i = 0; i < p->n_cls; i++) {
    SP_TRY(make_linear(n, SP_COMPUTE_F32, &p->cls[i], &n->cls[i], err));
  }
  return SP_OK;
}

static enum sp_status open_trainer(struct sp_network *n, struct sp_error *err) {
  const struct sp_model_config *config = &n->params->config;
  struct sp_train_limits limits = {
      .rows = n->limits.tokens,
      .scored = scored_limit(&n->limits),
      .sequences = n->limits.sequences,
      .length = config->max_positions,
      .width = sp_max_size(3 * config->hidden, config->ffn),
      .heads = config->heads,
      .head_dim = config->head_dim,
      .vocab = n->params->has_mlm ? config->vocab_size : 0,
      .threads = n->limits.threads,
  };
  limits.width = sp_max_size(limits.width, config->scheduler_hidden);
  for (size_t i = 0; i < n->params->n_cls; i++) {
    limits.width = sp_max_size(limits.width, n->params->cls[i].n);
  }
  return n->ops->open(n->device, &limits, &n->trainer, err);
}

/* Numbers that never change: 0, 1, .. */
static enum sp_status fill_iota(struct sp_network *n, struct sp_error *err) {
  for (size_t i = 0; i <= n->limits.tokens; i++) {
    n->scratch[i] = (uint32_t)i;
  }
  return n->ops->upload(n->trainer, n->rows.iota, n->scratch, (n->limits.tokens + 1) * 4, err);
}

static enum sp_status take_memory(struct sp_network *n, struct sp_error *err) {
  size_t tokens = n->limits.tokens, layers = n->params->config.layers;
  size_t scratch = sp_network_scratch(n->params, &n->limits);
  n->scratch = malloc(scratch * 4);
  n->mask_scratch = malloc(sp_mul_sat(tokens * mask_words(n), 8));
  if (n->reach != 0) {
    n->host_a = calloc(sp_mul_sat(layers * tokens, n->reach), 4);
    n->host_extra = calloc(sp_mul_sat(tokens, n->reach), 4);
  }
  if (!n->scratch || !n->mask_scratch || (n->reach != 0 && (!n->host_a || !n->host_extra))) {
    return sp_fail_memory(err, tokens * mask_words(n) * 8);
  }
  SP_TRY(n->device->backend->alloc(n->device, place_all(n, NULL), (void **)&n->memory, err));
  place_all(n, n->memory);
  return SP_OK;
}

static enum sp_status fill(struct sp_network *n, struct sp_error *err) {
  if (!n->ops) {
    return sp_fail(err, SP_EDEVICE, "%s: models cannot be trained on this device", n->device->name);
  }
  n->layer = calloc(n->params->config.layers, sizeof *n->layer);
  if (!n->layer) {
    return sp_fail_memory(err, n->params->config.layers * sizeof *n->layer);
  }
  describe_layers(n);
  SP_TRY(open_trainer(n, err));
  SP_TRY(take_memory(n, err));
  SP_TRY(make_weights(n, err));
  return fill_iota(n, err);
}

enum sp_status sp_network_create(struct sp_device *device, const struct sp_params *params,
                                 const struct sp_network_limits *limits, struct sp_network **out,
                                 struct sp_error *err) {
  struct sp_network *n = calloc(1, sizeof *n);
  if (!n) {
    return sp_fail_memory(err, sizeof *n);
  }
  n->device = device;
  n->ops = device->backend->train;
  n->params = params;
  n->limits = *limits;
  enum sp_status status = fill(n, err);
  if (status != SP_OK) {
    sp_network_destroy(n);
    return status;
  }
  *out = n;
  return SP_OK;
}

static void destroy_layer(const struct sp_network *n, struct sp_network_layer *layer) {
  struct sp_train_weight *weights[] = {
      layer->qkv, layer->q,    layer->kv,           layer->o,
      layer->up,  layer->down, layer->scheduler[0], layer->scheduler[1]};
  for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
    n->ops->weight_destroy(weights[i]);
  }
}

void sp_network_destroy(struct sp_network *n) {
  if (!n) {
    return;
  }
  for (size_t l = 0; n->layer && l < n->params->config.layers; l++) {
    destroy_layer(n, &n->layer[l]);
  }
  if (n->ops) {
    n->ops->weight_destroy(n->transform);
    n->ops->weight_destroy(n->decoder);
    for (size_t i = 0; i < SP_MAX_CLS_LAYERS; i++) {
      n->ops->weight_destroy(n->cls[i]);
    }
    n->ops->close(n->trainer);
  }
  if (n->memory) {
    n->device->backend->free(n->device, n->memory);
  }
  free(n->layer);
  free(n->scratch);
  free(n->mask_scratch);
  free(n->host_a);
  free(n->host_extra);
  free(n);
}

static enum sp_status refresh_all(struct sp_network *n, struct sp_train_weight *const *weights,
                                  size_t count, struct sp_error *err) {
  for (size_t i = 0; i < count; i++) {
    if (weights[i]) {
      SP_TRY(n->ops->weight_refresh(n->trainer, weights[i], err));
    }
  }
  return SP_OK;
}

enum sp_status sp_network_refresh(struct sp_network *n, struct sp_error *err) {
  for (size_t l = 0; l < n->params->config.layers; l++) {
    const struct sp_network_layer *layer = &n->layer[l];
    struct sp_train_weight *weights[] = {
        layer->qkv, layer->q,    layer->kv,           layer->o,
        layer->up,  layer->down, layer->scheduler[0], layer->scheduler[1]};
    SP_TRY(refresh_all(n, weights, sizeof weights / sizeof *weights, err));
  }
  SP_TRY(refresh_all(n, n->cls, n->params->n_cls, err));
  struct sp_train_weight *head[] = {n->transform, n->decoder};
  return refresh_all(n, head, 2, err);
}

struct sp_trainer *sp_network_trainer(struct sp_network *n) {
  return n->trainer;
}
float *sp_network_values(struct sp_network *n) {
  return n->values;
}
float *sp_network_gradients(struct sp_network *n) {
  return n->gradients;
}
