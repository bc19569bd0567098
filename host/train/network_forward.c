/* network_forward.c - the encoder and its heads forwards, one op a line, keeping what the way back needs.
 *
 * As host/model/forward_plain.c, but for the residual stream, which is f32, and soft masks. */
#include "network_state.h"

static const void *elements(const struct sp_network *n, const void *act, size_t count) {
  return (const char *)act + count * n->device->act_bytes;
}

static enum sp_status linear(struct sp_network *n, const struct sp_train_weight *weight,
                             size_t bias, const void *in, size_t rows, void *out,
                             struct sp_error *err) {
  struct sp_train_linear_args args = {
      .weight = weight, .bias = sp_network_value(n, bias), .in = in, .rows = rows, .out = out};
  return n->ops->linear(n->trainer, &args, err);
}

static enum sp_status linear_f32(struct sp_network *n, const struct sp_train_weight *weight,
                                 size_t bias, const void *in, size_t rows, float *out,
                                 struct sp_error *err) {
  struct sp_train_linear_args args = {.weight = weight,
                                      .bias = sp_network_value(n, bias),
                                      .in = in,
                                      .rows = rows,
                                      .out = out,
                                      .out_f32 = true};
  return n->ops->linear(n->trainer, &args, err);
}

static enum sp_status activated(struct sp_network *n, const struct sp_train_weight *weight,
                                size_t bias, enum sp_activation activation, const void *in,
                                size_t rows, void *pre, void *out, bool out_f32,
                                struct sp_error *err) {
  struct sp_train_linear_args args = {.weight = weight,
                                      .bias = sp_network_value(n, bias),
                                      .in = in,
                                      .rows = rows,
                                      .activation = activation,
                                      .pre = pre,
                                      .out = out,
                                      .out_f32 = out_f32};
  return n->ops->linear(n->trainer, &args, err);
}

static enum sp_status norm(struct sp_network *n, const struct sp_network_norm *norm,
                           const struct sp_param_norm *param, const float *residual, size_t rows,
                           float *res, void *act, struct sp_error *err) {
  struct sp_train_norm_args args = {
      .x = norm->sum,
      .residual = residual,
      .gamma = sp_network_value(n, param->gamma),
      .beta = sp_network_value(n, param->beta),
      .eps = n->params->config.layer_norm_eps,
      .rows = rows,
      .d = n->params->config.hidden,
      .sum = norm->sum,
      .mean = norm->mean,
      .rstd = norm->rstd,
      .res = res,
      .act = act,
  };
  return n->ops->add_norm(n->trainer, &args, err);
}

static enum sp_status embed(struct sp_network *n, struct sp_error *err) {
  const struct sp_params *p = n->params;
  struct sp_train_embed_args args = {
      .words = sp_network_value(n, p->words),
      .positions = sp_network_value(n, p->positions),
      .type = sp_network_value(n, p->types),
      .ids = n->rows.ids,
      .position = n->rows.positions,
      .rows = n->batch.tokens,
      .d = p->config.hidden,
      .x = n->embedding_norm.sum,
  };
  SP_TRY(n->ops->embed(n->trainer, &args, err));
  float *res = n->layer[0].in_res ? n->layer[0].in_res : n->residual[0];
  return norm(n, &n->embedding_norm, &p->embedding_norm, NULL, n->batch.tokens, res, n->layer[0].in,
              err);
}

/* log_a of a layer's rows from its own input. */
static enum sp_status schedule(struct sp_network *n, struct sp_network_layer *layer,
                               struct sp_error *err) {
  const struct sp_model_config *config = &n->params->config;
  const struct sp_param_linear *p = layer->param->scheduler;
  size_t rows = n->batch.tokens, last = layer->n_scheduler - 1;
  const float *in = layer->in_res;
  if (last == 1) {
    SP_TRY(activated(n, layer->scheduler[0], p[0].bias, config->scheduler_act, in, rows,
                     layer->hidden_pre, layer->hidden_out, true, err));
    in = layer->hidden_out;
  }
  SP_TRY(linear_f32(n, layer->scheduler[last], p[last].bias, in, rows, layer->g, err));
  struct sp_train_soften_args args = {
      .g = layer->g,
      .room = n->rows.room,
      .rows = rows,
      .reach = layer->reach,
      .tau = n->pass.tau,
      .span = config->lookahead.span,
      .hard = n->pass.hard,
      .log_a = layer->log_a,
  };
  return n->ops->soften(n->trainer, &args, err);
}

/* Positions as attention counts the soft keys from; in the layers that exempt the cls row, beyond its keys
 * there. */
static const uint32_t *row_positions(const struct sp_network *n,
                                     const struct sp_network_layer *layer) {
  const struct sp_model_config *config = &n->params->config;
  struct sp_mask_args mask =
      sp_lookahead_mask(&config->lookahead, (size_t)(layer - n->layer), config->layers);
  bool exempt = layer->reach > 0 && mask.exempt != SP_EXEMPT_NONE;
  return exempt ? n->rows.attention_position : n->rows.positions;
}

struct sp_train_attention_args sp_network_attention(const struct sp_network *n,
                                                    const struct sp_network_layer *layer) {
  const struct sp_model_config *config = &n->params->config;
  const struct sp_network_rows *rows = &n->rows;
  size_t d = config->hidden;
  struct sp_train_attention_args args = {
      .q = layer->qkv_out,
      .k = elements(n, layer->qkv_out, d),
      .v = elements(n, layer->qkv_out, 2 * d),
      .q_stride = 3 * d,
      .kv_stride = 3 * d,
      .heads = config->heads,
      .head_dim = config->head_dim,
      .sequences = n->batch.sequences,
      .rows = n->batch.tokens,
      .keys = n->batch.tokens,
      .row_start = rows->row_start,
      .key_start = rows->row_start,
      .row_position = row_positions(n, layer),
      .mask = layer->mask,
      .mask_start = layer->mask ? rows->mask_start : NULL,
      .bias = layer->reach ? layer->log_a : NULL,
      .reach = layer->reach,
      .out = layer->context,
      .lse = layer->lse,
  };
  if (layer->trimmed) {
    args.q = layer->q_out;
    args.k = layer->qkv_out;
    args.v = elements(n, layer->qkv_out, d);
    args.q_stride = d;
    args.kv_stride = 2 * d;
    args.rows = n->scored;
    args.row_start = rows->scored_start;
    args.row_position = rows->scored_position;
    args.mask_start = layer->mask ? rows->scored_mask_start : NULL;
  }
  return args;
}

/* q, k and v; q at the scored rows alone where trimmed, whose residual is gathered into *res. */
static enum sp_status project(struct sp_network *n, struct sp_network_layer *layer, float **res,
                              struct sp_error *err) {
  size_t d = n->params->config.hidden, bias = layer->param->qkv.bias;
  if (!layer->trimmed) {
    return linear(n, layer->qkv, bias, layer->in, n->batch.tokens, layer->qkv_out, err);
  }
  float *gathered = *res == n->residual[0] ? n->residual[1] : n->residual[0];
  SP_TRY(n->ops->gather(n->trainer, *res, d * 4, n->rows.scored, n->scored, gathered, err));
  SP_TRY(n->ops->gather(n->trainer, layer->in, d * n->device->act_bytes, n->rows.scored, n->scored,
                        layer->q_in, err));
  *res = gathered;
  SP_TRY(linear(n, layer->kv, bias + d, layer->in, n->batch.tokens, layer->qkv_out, err));
  return linear(n, layer->q, bias, layer->q_in, n->scored, layer->q_out, err);
}

/* One layer; *res is its input's residual and becomes its output's, act goes to `next`. */
static enum sp_status run_layer(struct sp_network *n, struct sp_network_layer *layer, float **res,
                                float *next_res, void *next, struct sp_error *err) {
  const struct sp_param_layer *p = layer->param;
  size_t rows = layer->trimmed ? n->scored : n->batch.tokens;
  if (layer->reach) {
    SP_TRY(schedule(n, layer, err));
  }
  SP_TRY(project(n, layer, res, err));
  struct sp_train_attention_args attention = sp_network_attention(n, layer);
  SP_TRY(n->ops->attention(n->trainer, &attention, err));
  SP_TRY(linear_f32(n, layer->o, p->o.bias, layer->context, rows, layer->attention_norm.sum, err));
  float *middle = *res == n->residual[0] ? n->residual[1] : n->residual[0];
  SP_TRY(
      norm(n, &layer->attention_norm, &p->attention_norm, *res, rows, middle, layer->middle, err));
  SP_TRY(activated(n, layer->up, p->up.bias, n->params->config.act, layer->middle, rows,
                   layer->up_pre, layer->up_out, false, err));
  SP_TRY(
      linear_f32(n, layer->down, p->down.bias, layer->up_out, rows, layer->output_norm.sum, err));
  *res = next_res ? next_res : middle == n->residual[0] ? n->residual[1] : n->residual[0];
  return norm(n, &layer->output_norm, &p->output_norm, middle, rows, *res, next, err);
}

static enum sp_status encode(struct sp_network *n, struct sp_error *err) {
  size_t layers = n->params->config.layers;
  SP_TRY(embed(n, err));
  float *res = n->layer[0].in_res ? n->layer[0].in_res : n->residual[0];
  for (size_t l = 0; l < layers; l++) {
    bool last = l + 1 == layers;
    SP_TRY(run_layer(n, &n->layer[l], &res, last ? NULL : n->layer[l + 1].in_res,
                     last ? n->last : n->layer[l + 1].in, err));
  }
  n->last_res = res;
  return SP_OK;
}

/* Losses of the targets, and on the way their vocabulary's gradients. */
static enum sp_status mlm_head(struct sp_network *n, struct sp_error *err) {
  const struct sp_params *p = n->params;
  const void *in = n->last;
  if (!n->trim) {
    size_t bytes = p->config.hidden * n->device->act_bytes;
    SP_TRY(n->ops->gather(n->trainer, n->last, bytes, n->rows.scored, n->scored, n->head_in, err));
    in = n->head_in;
  }
  SP_TRY(activated(n, n->transform, p->transform.bias, p->config.act, in, n->scored,
                   n->transform_pre, n->transform_norm.sum, true, err));
  SP_TRY(norm(n, &n->transform_norm, &p->transform_norm, NULL, n->scored, NULL, n->transform_out,
              err));
  struct sp_train_vocab_args args = {
      .weight = n->decoder,
      .bias = sp_network_value(n, p->decoder.bias),
      .h = n->transform_out,
      .target = n->rows.target,
      .rows = n->scored,
      .loss = n->loss,
      .backward = n->pass.backward,
      .scale = n->pass.mlm_scale,
      .d_h = n->d_transform,
      .d_weight = sp_network_gradient(n, p->decoder.weight),
      .d_bias = sp_network_gradient(n, p->decoder.bias),
  };
  return n->ops->vocab_loss(n->trainer, &args, err);
}

static enum sp_status cls_head(struct sp_network *n, struct sp_error *err) {
  const struct sp_params *p = n->params;
  const uint32_t *row = n->trim ? n->rows.iota : n->rows.scored;
  SP_TRY(n->ops->gather(n->trainer, n->last_res, p->config.hidden * 4, row, n->scored, n->cls_in,
                        err));
  const float *in = n->cls_in;
  for (size_t i = 0; i < p->n_cls; i++) {
    bool active = p->cls_act[i] != SP_ACT_NONE;
    SP_TRY(activated(n, n->cls[i], p->cls[i].bias, p->cls_act[i], in, n->scored,
                     active ? n->cls_pre[i] : NULL, n->cls_out[i], true, err));
    in = n->cls_out[i];
  }
  return SP_OK;
}

enum sp_status sp_network_forward(struct sp_network *n, const struct sp_train_batch *batch,
                                  const struct sp_network_pass *pass, struct sp_error *err) {
  n->pass = *pass;
  SP_TRY(sp_network_load(n, batch, err));
  SP_TRY(encode(n, err));
  return batch->targets != 0 ? mlm_head(n, err) : cls_head(n, err);
}
