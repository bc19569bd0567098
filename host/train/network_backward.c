/* network_backward.c - network_forward.c in reverse, one op a line.
 *
 * n->d holds the gradient of the residual stream where the walk stands; every branch adds to it. */
#include <math.h>
#include <string.h>

#include "network_state.h"

/* d_weight, d_bias of a linear, and what its input gets. */
struct branch {
  const struct sp_train_weight *weight;
  size_t d_weight, d_bias; /* offsets */
  const void *in, *pre;
  enum sp_activation activation;
  size_t rows;
  const void *d_out;
  bool d_out_f32;
  void *d_in;
  bool d_in_add;
};

static enum sp_status back(struct sp_network *n, const struct branch *b, struct sp_error *err) {
  struct sp_train_linear_backward_args args = {
      .weight = b->weight,
      .in = b->in,
      .pre = b->pre,
      .activation = b->activation,
      .rows = b->rows,
      .d_out = b->d_out,
      .d_out_f32 = b->d_out_f32,
      .d_in = b->d_in,
      .d_in_add = b->d_in_add,
      .d_weight = sp_network_gradient(n, b->d_weight),
      .d_bias = sp_network_gradient(n, b->d_bias),
  };
  return n->ops->linear_backward(n->trainer, &args, err);
}

static enum sp_status norm_back(struct sp_network *n, const struct sp_network_norm *norm,
                                const struct sp_param_norm *param, size_t rows, float *d,
                                struct sp_error *err) {
  struct sp_train_norm_backward_args args = {
      .sum = norm->sum,
      .mean = norm->mean,
      .rstd = norm->rstd,
      .gamma = sp_network_value(n, param->gamma),
      .rows = rows,
      .d = n->params->config.hidden,
      .d_y = d,
      .d_gamma = sp_network_gradient(n, param->gamma),
      .d_beta = sp_network_gradient(n, param->beta),
  };
  return n->ops->add_norm_backward(n->trainer, &args, err);
}

/* to[target[g]] += the rows of group g. */
static enum sp_status scatter(struct sp_network *n, const float *from, const uint32_t *row,
                              const uint32_t *start, const uint32_t *target, size_t groups,
                              size_t members, size_t d, float *to, struct sp_error *err) {
  struct sp_train_segment_args args = {.from = from,
                                       .row = row,
                                       .start = start,
                                       .target = target,
                                       .groups = groups,
                                       .members = members,
                                       .d = d,
                                       .to = to};
  return n->ops->segment_add(n->trainer, &args, err);
}

/* d_rows, the gradient at the scored rows, into the zeroed d. */
static enum sp_status spread(struct sp_network *n, struct sp_error *err) {
  const struct sp_network_rows *r = &n->rows;
  size_t d = n->params->config.hidden;
  SP_TRY(n->ops->fill_zero(n->trainer, n->d, n->batch.tokens * d * 4, err));
  return scatter(n, n->d_rows, r->iota, r->iota, r->scored, n->scored, n->scored, d, n->d, err);
}

static enum sp_status mlm_back(struct sp_network *n, struct sp_error *err) {
  const struct sp_params *p = n->params;
  SP_TRY(norm_back(n, &n->transform_norm, &p->transform_norm, n->scored, n->d_transform, err));
  SP_TRY(n->ops->fill_zero(n->trainer, n->d_rows, n->scored * p->config.hidden * 4, err));
  struct branch transform = {
      .weight = n->transform,
      .d_weight = p->transform.weight,
      .d_bias = p->transform.bias,
      .in = n->trim ? n->last : n->head_in,
      .pre = n->transform_pre,
      .activation = p->config.act,
      .rows = n->scored,
      .d_out = n->d_transform,
      .d_out_f32 = true,
      .d_in = n->d_rows,
      .d_in_add = true,
  };
  return back(n, &transform, err);
}

static enum sp_status cls_back(struct sp_network *n, const float *d_score, struct sp_error *err) {
  const struct sp_params *p = n->params;
  SP_TRY(n->ops->upload(n->trainer, n->d_cls[0], d_score, n->scored * 4, err));
  for (size_t i = p->n_cls; i-- > 0;) {
    size_t turn = p->n_cls - 1 - i;
    struct branch layer = {
        .weight = n->cls[i],
        .d_weight = p->cls[i].weight,
        .d_bias = p->cls[i].bias,
        .in = i == 0 ? n->cls_in : n->cls_out[i - 1],
        .pre = n->cls_pre[i],
        .activation = p->cls_act[i],
        .rows = n->scored,
        .d_out = n->d_cls[turn & 1],
        .d_out_f32 = true,
        .d_in = i == 0 ? n->d_rows : n->d_cls[(turn + 1) & 1],
    };
    SP_TRY(back(n, &layer, err));
  }
  return SP_OK;
}

/* The scheduler of a layer, from d_log_a; its input's gradient is added to d. */
static enum sp_status schedule_back(struct sp_network *n, struct sp_network_layer *layer,
                                    struct sp_error *err) {
  const struct sp_model_config *config = &n->params->config;
  const struct sp_param_linear *p = layer->param->scheduler;
  size_t last = layer->n_scheduler - 1;
  struct sp_train_soften_backward_args soften = {
      .forward = {.g = layer->g,
                  .room = n->rows.room,
                  .rows = n->batch.tokens,
                  .reach = layer->reach,
                  .tau = n->pass.tau,
                  .span = config->lookahead.span,
                  .log_a = layer->log_a},
      .d_log_a = n->d_log_a,
      .d_g = n->d_g,
  };
  SP_TRY(n->ops->soften_backward(n->trainer, &soften, err));
  struct branch dense = {.weight = layer->scheduler[last],
                         .d_weight = p[last].weight,
                         .d_bias = p[last].bias,
                         .in = last ? layer->hidden_out : layer->in_res,
                         .rows = n->batch.tokens,
                         .d_out = n->d_g,
                         .d_out_f32 = true,
                         .d_in = last ? n->d_hidden : n->d,
                         .d_in_add = !last};
  SP_TRY(back(n, &dense, err));
  if (last == 0) {
    return SP_OK;
  }
  struct branch hidden = {.weight = layer->scheduler[0],
                          .d_weight = p[0].weight,
                          .d_bias = p[0].bias,
                          .in = layer->in_res,
                          .pre = layer->hidden_pre,
                          .activation = config->scheduler_act,
                          .rows = n->batch.tokens,
                          .d_out = n->d_hidden,
                          .d_out_f32 = true,
                          .d_in = n->d,
                          .d_in_add = true};
  return back(n, &hidden, err);
}

/* What the penalty adds to d_log_a: d_a a. */
static enum sp_status add_penalty(struct sp_network *n, const struct sp_network_layer *layer,
                                  const float *d_a, struct sp_error *err) {
  size_t tokens = n->batch.tokens, j = layer->reach;
  size_t l = (size_t)(layer - n->layer);
  for (size_t t = 0; t < tokens; t++) {
    for (size_t r = 0; r < j; r++) {
      size_t at = (l * tokens + t) * n->reach + r;
      n->host_extra[t * j + r] = d_a[at] * n->host_a[at];
    }
  }
  SP_TRY(n->ops->upload(n->trainer, n->d_extra, n->host_extra, tokens * j * 4, err));
  const uint32_t *iota = n->rows.iota;
  return scatter(n, n->d_extra, iota, iota, iota, tokens, tokens, j, n->d_log_a, err);
}

static void *elements(const struct sp_network *n, void *act, size_t count) {
  return (char *)act + count * n->device->act_bytes;
}

/* Attention and the projections that feed it; d is the gradient of the layer's attention sum, and of its
 * input at the end. */
static enum sp_status attention_back(struct sp_network *n, struct sp_network_layer *layer,
                                     const float *d_a, struct sp_error *err) {
  const struct sp_param_linear *qkv = &layer->param->qkv;
  size_t d = n->params->config.hidden;
  bool trimmed = layer->trimmed;
  struct sp_train_attention_backward_args args = {
      .forward = sp_network_attention(n, layer),
      .d_out = n->d_context,
      .d_q = trimmed ? n->d_q : n->d_qkv,
      .d_k = trimmed ? n->d_qkv : elements(n, n->d_qkv, d),
      .d_v = elements(n, n->d_qkv, trimmed ? d : 2 * d),
      .d_q_stride = trimmed ? d : 3 * d,
      .d_kv_stride = trimmed ? 2 * d : 3 * d,
      .d_bias = layer->reach ? n->d_log_a : NULL,
  };
  SP_TRY(n->ops->attention_backward(n->trainer, &args, err));
  if (layer->reach) {
    SP_TRY(d_a ? add_penalty(n, layer, d_a, err) : SP_OK);
    SP_TRY(schedule_back(n, layer, err));
  }
  struct branch all = {.weight = layer->qkv,
                       .d_weight = qkv->weight,
                       .d_bias = qkv->bias,
                       .in = layer->in,
                       .rows = n->batch.tokens,
                       .d_out = n->d_qkv,
                       .d_in = n->d,
                       .d_in_add = true};
  if (!trimmed) {
    return back(n, &all, err);
  }
  struct branch q = {.weight = layer->q,
                     .d_weight = qkv->weight,
                     .d_bias = qkv->bias,
                     .in = layer->q_in,
                     .rows = n->scored,
                     .d_out = n->d_q,
                     .d_in = n->d_rows,
                     .d_in_add = true};
  SP_TRY(back(n, &q, err));
  SP_TRY(spread(n, err));
  all.weight = layer->kv;
  all.d_weight = qkv->weight + d * d;
  all.d_bias = qkv->bias + d;
  return back(n, &all, err);
}

static enum sp_status layer_back(struct sp_network *n, struct sp_network_layer *layer,
                                 const float *d_a, struct sp_error *err) {
  const struct sp_param_layer *p = layer->param;
  size_t rows = layer->trimmed ? n->scored : n->batch.tokens;
  float *d = layer->trimmed ? n->d_rows : n->d;
  SP_TRY(norm_back(n, &layer->output_norm, &p->output_norm, rows, d, err));
  struct branch down = {.weight = layer->down,
                        .d_weight = p->down.weight,
                        .d_bias = p->down.bias,
                        .in = layer->up_out,
                        .rows = rows,
                        .d_out = d,
                        .d_out_f32 = true,
                        .d_in = n->d_up};
  SP_TRY(back(n, &down, err));
  struct branch up = {.weight = layer->up,
                      .d_weight = p->up.weight,
                      .d_bias = p->up.bias,
                      .in = layer->middle,
                      .pre = layer->up_pre,
                      .activation = n->params->config.act,
                      .rows = rows,
                      .d_out = n->d_up,
                      .d_in = d,
                      .d_in_add = true};
  SP_TRY(back(n, &up, err));
  SP_TRY(norm_back(n, &layer->attention_norm, &p->attention_norm, rows, d, err));
  struct branch o = {.weight = layer->o,
                     .d_weight = p->o.weight,
                     .d_bias = p->o.bias,
                     .in = layer->context,
                     .rows = rows,
                     .d_out = d,
                     .d_out_f32 = true,
                     .d_in = n->d_context};
  SP_TRY(back(n, &o, err));
  return attention_back(n, layer, d_a, err);
}

static enum sp_status embed_back(struct sp_network *n, struct sp_error *err) {
  const struct sp_params *p = n->params;
  const struct sp_network_rows *r = &n->rows;
  size_t tokens = n->batch.tokens, d = p->config.hidden;
  SP_TRY(norm_back(n, &n->embedding_norm, &p->embedding_norm, tokens, n->d, err));
  SP_TRY(scatter(n, n->d, r->word_row, r->word_start, r->word_target, n->word_groups, tokens, d,
                 sp_network_gradient(n, p->words), err));
  SP_TRY(scatter(n, n->d, r->position_row, r->position_start, r->position_target,
                 n->position_groups, tokens, d, sp_network_gradient(n, p->positions), err));
  return scatter(n, n->d, r->iota, r->all, r->iota, 1, tokens, d, sp_network_gradient(n, p->types),
                 err);
}

enum sp_status sp_network_backward(struct sp_network *n, const float *d_score, const float *d_a,
                                   struct sp_error *err) {
  SP_TRY(n->batch.targets != 0 ? mlm_back(n, err) : cls_back(n, d_score, err));
  if (!n->trim) {
    SP_TRY(spread(n, err));
  }
  for (size_t l = n->params->config.layers; l-- > 0;) {
    SP_TRY(layer_back(n, &n->layer[l], d_a, err));
  }
  return embed_back(n, err);
}

/* ---- what was found on the way forwards ---- */

enum sp_status sp_network_losses(struct sp_network *n, float *loss, struct sp_error *err) {
  return n->ops->download(n->trainer, loss, n->loss, n->scored * 4, err);
}

enum sp_status sp_network_scores(struct sp_network *n, float *score, struct sp_error *err) {
  return n->ops->download(n->trainer, score, n->cls_out[n->params->n_cls - 1], n->scored * 4, err);
}

enum sp_status sp_network_soft_masks(struct sp_network *n, float *a, struct sp_error *err) {
  size_t tokens = n->batch.tokens, layers = n->params->config.layers;
  memset(n->host_a, 0, layers * tokens * n->reach * 4);
  for (size_t l = 0; l < layers; l++) {
    size_t j = n->layer[l].reach;
    if (j == 0) {
      continue;
    }
    SP_TRY(n->ops->download(n->trainer, n->host_extra, n->layer[l].log_a, tokens * j * 4, err));
    for (size_t t = 0; t < tokens; t++) {
      for (size_t r = 0; r < j; r++) {
        n->host_a[(l * tokens + t) * n->reach + r] = expf(n->host_extra[t * j + r]);
      }
    }
  }
  memcpy(a, n->host_a, layers * tokens * n->reach * 4);
  return SP_OK;
}
