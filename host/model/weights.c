#include "weights.h"

#include <stdlib.h>

#include "checked.h"

/* Widens tensors into one scratch buffer, part after part, and hands it to the device; or hands over
 * nothing but shapes. */
struct packer {
  struct sp_device *device;
  const struct sp_backend *backend;
  bool shapes_only;
  float *weight, *bias; /* NULL as long as only shapes are handed over */
  size_t weight_room, bias_room;
  struct sp_error *err;
};

static bool grow(float **data, size_t *room, size_t want) {
  if (want <= *room) {
    return true;
  }
  float *grown = realloc(*data, sp_mul_sat(want, sizeof **data));
  if (!grown) {
    return false;
  }
  *data = grown;
  *room = want;
  return true;
}

static size_t elements(const struct sp_tensor *tensor) {
  return tensor->bytes / sp_dtype_bytes(tensor->dtype);
}

/* Stacks the linears' weights and biases: their outputs one after the other. */
static enum sp_status stack(struct packer *p, const struct sp_ckpt_linear *const *parts, size_t n) {
  size_t weights = 0, biases = 0;
  if (p->shapes_only) {
    return SP_OK;
  }
  for (size_t i = 0; i < n; i++) {
    weights += elements(parts[i]->weight);
    biases += parts[i]->out;
  }
  if (!grow(&p->weight, &p->weight_room, weights) || !grow(&p->bias, &p->bias_room, biases)) {
    return sp_fail_memory(p->err, weights * sizeof(float));
  }
  size_t w = 0, b = 0;
  for (size_t i = 0; i < n; i++) {
    size_t count = elements(parts[i]->weight);
    sp_tensor_to_f32(parts[i]->weight, 0, count, p->weight + w);
    sp_tensor_to_f32(parts[i]->bias, 0, parts[i]->out, p->bias + b);
    w += count;
    b += parts[i]->out;
  }
  return SP_OK;
}

static enum sp_status make_linear(struct packer *p, const struct sp_ckpt_linear *const *parts,
                                  size_t n, enum sp_activation activation, enum sp_row_kind rows,
                                  bool out_res, struct sp_linear **out) {
  SP_TRY(stack(p, parts, n));
  size_t width = 0;
  for (size_t i = 0; i < n; i++) {
    width += parts[i]->out;
  }
  return p->backend->linear_create(p->device, p->weight, p->bias, width, parts[0]->in, activation,
                                   rows, out_res, out, p->err);
}

static enum sp_status read_norm(struct packer *p, const struct sp_ckpt_norm *from, size_t d) {
  if (p->shapes_only) {
    return SP_OK;
  }
  if (!grow(&p->weight, &p->weight_room, d) || !grow(&p->bias, &p->bias_room, d)) {
    return sp_fail_memory(p->err, d * sizeof(float));
  }
  sp_tensor_to_f32(from->gamma, 0, d, p->weight);
  sp_tensor_to_f32(from->beta, 0, d, p->bias);
  return SP_OK;
}

static enum sp_status make_norm(struct packer *p, const struct sp_ckpt_norm *from, float eps,
                                struct sp_norm **out) {
  size_t d = elements(from->gamma);
  SP_TRY(read_norm(p, from, d));
  return p->backend->norm_create(p->device, p->weight, p->bias, d, eps, out, p->err);
}

/* weight: the words, then type 0; bias: the positions. */
static enum sp_status read_embedding(struct packer *p, const struct sp_checkpoint *from) {
  size_t hidden = from->config.hidden;
  size_t words = elements(from->word_embeddings), positions = elements(from->position_embeddings);
  if (p->shapes_only) {
    return SP_OK;
  }
  if (!grow(&p->weight, &p->weight_room, words + hidden) ||
      !grow(&p->bias, &p->bias_room, positions)) {
    return sp_fail_memory(p->err, words * sizeof(float));
  }
  sp_tensor_to_f32(from->word_embeddings, 0, words, p->weight);
  sp_tensor_to_f32(from->token_type_embeddings, 0, hidden, p->weight + words);
  sp_tensor_to_f32(from->position_embeddings, 0, positions, p->bias);
  return SP_OK;
}

static enum sp_status make_embedding(struct packer *p, const struct sp_checkpoint *from,
                                     struct sp_embedding **out) {
  const struct sp_model_config *c = &from->config;
  SP_TRY(read_embedding(p, from));
  const float *type0 = p->shapes_only ? NULL : p->weight + elements(from->word_embeddings);
  return p->backend->embedding_create(p->device, p->weight, p->bias, type0, c->vocab_size,
                                      c->max_positions, c->hidden, out, p->err);
}

static enum sp_status make_dense(struct packer *p, const struct sp_ckpt_linear *from,
                                 enum sp_activation activation, struct sp_dense **out) {
  SP_TRY(stack(p, &from, 1));
  return p->backend->dense_create(p->device, p->weight, p->bias, from->out, from->in, activation,
                                  out, p->err);
}

/* The last of a scheduler's layers gives its logits. */
static enum sp_status make_scheduler(struct packer *p, const struct sp_model_config *c,
                                     const struct sp_bert_layer *from, struct sp_layer *to) {
  for (size_t i = 0; i < from->n_scheduler; i++) {
    enum sp_activation act = i + 1 < from->n_scheduler ? c->scheduler_act : SP_ACT_NONE;
    SP_TRY(make_dense(p, &from->scheduler[i], act, &to->scheduler[i]));
    to->n_scheduler++;
  }
  return SP_OK;
}

static enum sp_status make_layer(struct packer *p, const struct sp_model_config *c,
                                 const struct sp_bert_layer *from, bool last, struct sp_layer *to) {
  const struct sp_ckpt_linear *qkv[] = {&from->q, &from->k, &from->v};
  const struct sp_ckpt_linear *o[] = {&from->o}, *up[] = {&from->up}, *down[] = {&from->down};
  enum sp_row_kind rows = last ? SP_ROWS_SCORED : SP_ROWS_TOKENS;
  if (last) {
    SP_TRY(make_linear(p, qkv, 1, SP_ACT_NONE, SP_ROWS_SCORED, false, &to->q));
    SP_TRY(make_linear(p, qkv + 1, 2, SP_ACT_NONE, SP_ROWS_TOKENS, false, &to->kv));
  } else {
    SP_TRY(make_linear(p, qkv, 3, SP_ACT_NONE, SP_ROWS_TOKENS, false, &to->qkv));
  }
  SP_TRY(make_linear(p, o, 1, SP_ACT_NONE, rows, true, &to->o));
  SP_TRY(make_linear(p, up, 1, c->act, rows, false, &to->up));
  SP_TRY(make_linear(p, down, 1, SP_ACT_NONE, rows, true, &to->down));
  SP_TRY(make_norm(p, &from->attention_norm, c->layer_norm_eps, &to->attention_norm));
  SP_TRY(make_norm(p, &from->output_norm, c->layer_norm_eps, &to->output_norm));
  return make_scheduler(p, c, from, to);
}

static enum sp_status make_mlm(struct packer *p, const struct sp_checkpoint *from,
                               struct sp_weights *to) {
  const struct sp_ckpt_linear *transform[] = {&from->mlm.transform};
  const struct sp_ckpt_linear *decoder[] = {&from->mlm.decoder};
  SP_TRY(make_linear(p, transform, 1, from->config.act, SP_ROWS_SCORED, true, &to->transform));
  SP_TRY(make_norm(p, &from->mlm.norm, from->config.layer_norm_eps, &to->transform_norm));
  SP_TRY(stack(p, decoder, 1));
  return p->backend->vocab_create(p->device, p->weight, p->bias, from->config.vocab_size,
                                  from->config.hidden, &to->vocab, p->err);
}

static enum sp_status make_cls(struct packer *p, const struct sp_checkpoint *from,
                               struct sp_weights *to) {
  to->cls = calloc(from->cls.n_layers, sizeof *to->cls);
  if (!to->cls) {
    return sp_fail_memory(p->err, from->cls.n_layers * sizeof *to->cls);
  }
  for (size_t i = 0; i < from->cls.n_layers; i++) {
    const struct sp_cls_layer *layer = &from->cls.layers[i];
    SP_TRY(make_dense(p, &layer->linear, layer->act, &to->cls[i]));
    to->n_cls++;
  }
  return SP_OK;
}

static enum sp_status make_all(struct packer *p, const struct sp_checkpoint *from, bool with_mlm,
                               bool with_cls, struct sp_weights *to) {
  size_t n = from->config.layers;
  to->layers = calloc(n, sizeof *to->layers);
  if (!to->layers) {
    return sp_fail_memory(p->err, n * sizeof *to->layers);
  }
  SP_TRY(make_embedding(p, from, &to->embedding));
  SP_TRY(make_norm(p, &from->embedding_norm, from->config.layer_norm_eps, &to->embedding_norm));
  for (size_t l = 0; l < n; l++) {
    SP_TRY(make_layer(p, &from->config, &from->layers[l], l + 1 == n, &to->layers[l]));
  }
  if (with_mlm) {
    SP_TRY(make_mlm(p, from, to));
  }
  return with_cls ? make_cls(p, from, to) : SP_OK;
}

static enum sp_status create(struct packer *p, const struct sp_checkpoint *checkpoint,
                             bool with_mlm, bool with_cls, struct sp_weights **out) {
  *out = NULL;
  struct sp_weights *weights = calloc(1, sizeof *weights);
  if (!weights) {
    return sp_fail_memory(p->err, sizeof *weights);
  }
  weights->device = p->device;
  weights->config = checkpoint->config;
  enum sp_status status = make_all(p, checkpoint, with_mlm, with_cls, weights);
  free(p->weight);
  free(p->bias);
  if (status != SP_OK) {
    sp_weights_destroy(weights);
    return status;
  }
  *out = weights;
  return SP_OK;
}

enum sp_status sp_weights_create(struct sp_device *device, const struct sp_checkpoint *checkpoint,
                                 bool with_mlm, bool with_cls, struct sp_weights **out,
                                 struct sp_error *err) {
  struct packer p = {.device = device, .backend = device->backend, .err = err};
  return create(&p, checkpoint, with_mlm, with_cls, out);
}

enum sp_status sp_weights_reserve(struct sp_device *device, const struct sp_checkpoint *checkpoint,
                                  bool with_mlm, bool with_cls, struct sp_weights **out,
                                  struct sp_error *err) {
  struct packer p = {.device = device, .backend = device->backend, .shapes_only = true, .err = err};
  return create(&p, checkpoint, with_mlm, with_cls, out);
}

void sp_weights_destroy(struct sp_weights *weights) {
  if (!weights) {
    return;
  }
  const struct sp_backend *b = weights->device->backend;
  for (size_t l = 0; weights->layers && l < weights->config.layers; l++) {
    struct sp_layer *layer = &weights->layers[l];
    struct sp_linear *linears[] = {layer->qkv, layer->q,  layer->kv,
                                   layer->o,   layer->up, layer->down};
    for (size_t i = 0; i < sizeof linears / sizeof linears[0]; i++) {
      b->linear_destroy(linears[i]);
    }
    b->norm_destroy(layer->attention_norm);
    b->norm_destroy(layer->output_norm);
    for (size_t i = 0; i < layer->n_scheduler; i++) {
      b->dense_destroy(layer->scheduler[i]);
    }
  }
  for (size_t i = 0; i < weights->n_cls; i++) {
    b->dense_destroy(weights->cls[i]);
  }
  b->linear_destroy(weights->transform);
  b->norm_destroy(weights->transform_norm);
  b->vocab_destroy(weights->vocab);
  b->embedding_destroy(weights->embedding);
  b->norm_destroy(weights->embedding_norm);
  free(weights->layers);
  free(weights->cls);
  free(weights);
}
