#include "params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"

enum { tensors_per_layer = 20, tensors_outside = 16, base_bytes = 100 };

/* The array is laid out in two walks over the model's parts: matrices that decay, then the rest. */
struct layout {
  struct sp_params *params;
  bool decay;      /* which of them this walk places */
  size_t capacity; /* of params->tensor */
  struct sp_error *err;
};

enum place { aligned, following }; /* at the next boundary, or right behind the tensor before */

static enum sp_status place_tensor(struct layout *in, struct sp_param *tensor, enum place place) {
  struct sp_params *params = in->params;
  size_t end, begin = params->count;
  if (place == aligned) {
    begin = sp_round_up(begin, SP_PARAM_ALIGN);
  }
  tensor->count = 1;
  for (size_t i = 0; i < tensor->rank; i++) {
    tensor->count = sp_mul_sat(tensor->count, tensor->shape[i]);
  }
  if (!sp_add_size(begin, tensor->count, &end) || end > SIZE_MAX / 2 / sizeof(float)) {
    return sp_fail(in->err, SP_EMODEL, "tensor %s does not fit into memory", tensor->name);
  }
  tensor->offset = begin;
  params->count = end;
  params->parameters += tensor->count;
  return SP_OK;
}

/* cols 0: a vector of `rows`. Nothing when the other walk places it. */
static enum sp_status add(struct layout *in, const struct sp_param *like, enum place place,
                          size_t *offset, const char *base, const char *tail) {
  struct sp_params *params = in->params;
  if (like->decay != in->decay) {
    return SP_OK;
  }
  if (params->n_tensors == in->capacity) {
    return sp_fail(in->err, SP_EMODEL, "the model has too many tensors");
  }
  struct sp_param *tensor = &params->tensor[params->n_tensors++];
  *tensor = *like;
  snprintf(tensor->name, sizeof tensor->name, "%s%s", base, tail);
  SP_TRY(place_tensor(in, tensor, place));
  if (place == aligned) {
    *offset = tensor->offset;
  }
  return SP_OK;
}

static enum sp_status add_matrix(struct layout *in, size_t rows, size_t cols, bool decay,
                                 enum place place, size_t *offset, const char *base) {
  const struct sp_param like = {
      .rank = 2, .shape = {rows, cols}, .decay = decay, .init = SP_INIT_NORMAL};
  return add(in, &like, place, offset, base, ".weight");
}

static enum sp_status add_vector(struct layout *in, size_t count, enum sp_param_init init,
                                 enum place place, size_t *offset, const char *base,
                                 const char *tail) {
  const struct sp_param like = {.rank = 1, .shape = {count}, .init = init};
  return add(in, &like, place, offset, base, tail);
}

static enum sp_status add_linear(struct layout *in, struct sp_param_linear *linear, size_t n,
                                 size_t k, const char *base) {
  linear->n = n;
  linear->k = k;
  SP_TRY(add_matrix(in, n, k, true, aligned, &linear->weight, base));
  return add_vector(in, n, SP_INIT_ZERO, aligned, &linear->bias, base, ".bias");
}

static enum sp_status add_norm(struct layout *in, struct sp_param_norm *norm, const char *base) {
  size_t hidden = in->params->config.hidden;
  SP_TRY(add_vector(in, hidden, SP_INIT_ONE, aligned, &norm->gamma, base, ".weight"));
  return add_vector(in, hidden, SP_INIT_ZERO, aligned, &norm->beta, base, ".bias");
}

static enum sp_status add_embeddings(struct layout *in) {
  struct sp_params *params = in->params;
  const struct sp_model_config *config = &params->config;
  size_t hidden = config->hidden;
  SP_TRY(add_matrix(in, config->vocab_size, hidden, true, aligned, &params->words,
                    "bert.embeddings.word_embeddings"));
  SP_TRY(add_matrix(in, config->max_positions, hidden, true, aligned, &params->positions,
                    "bert.embeddings.position_embeddings"));
  SP_TRY(add_matrix(in, config->type_vocab, hidden, false, aligned, &params->types,
                    "bert.embeddings.token_type_embeddings"));
  return add_norm(in, &params->embedding_norm, "bert.embeddings.LayerNorm");
}

static const char *layer_base(char out[base_bytes], size_t layer, const char *name) {
  snprintf(out, base_bytes, "bert.encoder.layer.%zu.%s", layer, name);
  return out;
}

/* Three tensors of files without a gap: one (3D, D) of the product. */
static enum sp_status add_qkv(struct layout *in, size_t layer, struct sp_param_linear *qkv) {
  static const char *const names[] = {"attention.self.query", "attention.self.key",
                                      "attention.self.value"};
  size_t hidden = in->params->config.hidden;
  char base[base_bytes];
  qkv->n = 3 * hidden;
  qkv->k = hidden;
  for (size_t i = 0; i < 3; i++) {
    enum place place = i == 0 ? aligned : following;
    layer_base(base, layer, names[i]);
    SP_TRY(add_matrix(in, hidden, hidden, true, place, &qkv->weight, base));
    SP_TRY(add_vector(in, hidden, SP_INIT_ZERO, place, &qkv->bias, base, ".bias"));
  }
  return SP_OK;
}

static enum sp_status add_scheduler(struct layout *in, size_t i, struct sp_param_layer *layer) {
  const struct sp_model_config *config = &in->params->config;
  size_t reach = sp_lookahead_reach(&config->lookahead, i), width = config->hidden;
  char base[base_bytes];
  layer->n_scheduler = 0;
  if (config->lookahead.policy != SP_MASK_DYNAMIC || reach == 0) {
    return SP_OK;
  }
  if (config->scheduler_hidden > 0) {
    SP_TRY(add_linear(in, &layer->scheduler[layer->n_scheduler++], config->scheduler_hidden, width,
                      layer_base(base, i, "lookahead.hidden")));
    width = config->scheduler_hidden;
  }
  return add_linear(in, &layer->scheduler[layer->n_scheduler++], reach, width,
                    layer_base(base, i, "lookahead.dense"));
}

static enum sp_status add_layer(struct layout *in, size_t i, struct sp_param_layer *layer) {
  size_t hidden = in->params->config.hidden, ffn = in->params->config.ffn;
  char base[base_bytes];
  SP_TRY(add_qkv(in, i, &layer->qkv));
  SP_TRY(add_linear(in, &layer->o, hidden, hidden, layer_base(base, i, "attention.output.dense")));
  SP_TRY(add_norm(in, &layer->attention_norm, layer_base(base, i, "attention.output.LayerNorm")));
  SP_TRY(add_linear(in, &layer->up, ffn, hidden, layer_base(base, i, "intermediate.dense")));
  SP_TRY(add_linear(in, &layer->down, hidden, ffn, layer_base(base, i, "output.dense")));
  SP_TRY(add_norm(in, &layer->output_norm, layer_base(base, i, "output.LayerNorm")));
  return add_scheduler(in, i, layer);
}

/* decoder.bias is what an untied head adds; a tied one's stands beside the transform. */
static enum sp_status add_mlm(struct layout *in) {
  struct sp_params *params = in->params;
  const struct sp_model_config *config = &params->config;
  struct sp_param_linear *decoder = &params->decoder;
  if (!params->has_mlm) {
    return SP_OK;
  }
  SP_TRY(add_linear(in, &params->transform, config->hidden, config->hidden,
                    "cls.predictions.transform.dense"));
  SP_TRY(add_norm(in, &params->transform_norm, "cls.predictions.transform.LayerNorm"));
  if (!config->tied) {
    return add_linear(in, decoder, config->vocab_size, config->hidden, "cls.predictions.decoder");
  }
  *decoder =
      (struct sp_param_linear){params->words, decoder->bias, config->vocab_size, config->hidden};
  return add_vector(in, decoder->n, SP_INIT_ZERO, aligned, &decoder->bias, "cls.predictions",
                    ".bias");
}

/* A tensor's name without ".weight", and with the encoder's prefix where a pooler has none. */
static void cls_base(const struct sp_cls_head *like, size_t i, char out[base_bytes]) {
  const char *name = like->layers[i].linear.weight->name;
  bool bare = i == 0 && like->pooler && strncmp(name, "bert.", 5) != 0;
  snprintf(out, base_bytes, "%s%.*s", bare ? "bert." : "", (int)(strlen(name) - strlen(".weight")),
           name);
}

static enum sp_status add_cls_like(struct layout *in, const struct sp_cls_head *like) {
  struct sp_params *params = in->params;
  char base[base_bytes];
  if (like->n_layers > SP_MAX_CLS_LAYERS) {
    return sp_fail(in->err, SP_EMODEL, "the classifier has %zu layers; at most %d are trained",
                   like->n_layers, SP_MAX_CLS_LAYERS);
  }
  params->pooler = like->pooler;
  params->n_cls = like->n_layers;
  for (size_t i = 0; i < like->n_layers; i++) {
    const struct sp_cls_layer *layer = &like->layers[i];
    cls_base(like, i, base);
    params->cls_act[i] = layer->act;
    SP_TRY(add_linear(in, &params->cls[i], layer->linear.out, layer->linear.in, base));
  }
  return SP_OK;
}

static enum sp_status add_cls_new(struct layout *in) {
  struct sp_params *params = in->params;
  size_t hidden = params->config.hidden;
  params->pooler = true;
  params->n_cls = 2;
  params->cls_act[0] = SP_ACT_TANH;
  params->cls_act[1] = SP_ACT_NONE;
  SP_TRY(add_linear(in, &params->cls[0], hidden, hidden, "bert.pooler.dense"));
  return add_linear(in, &params->cls[1], 1, hidden, "classifier");
}

static enum sp_status walk(struct layout *in, const struct sp_cls_head *like) {
  struct sp_params *params = in->params;
  SP_TRY(add_embeddings(in));
  for (size_t i = 0; i < params->config.layers; i++) {
    SP_TRY(add_layer(in, i, &params->layers[i]));
  }
  SP_TRY(add_mlm(in));
  if (params->has_cls) {
    SP_TRY(like ? add_cls_like(in, like) : add_cls_new(in));
  }
  params->count = sp_round_up(params->count, SP_PARAM_ALIGN);
  return SP_OK;
}

static enum sp_status lay_out(struct sp_params *params, const struct sp_cls_head *like,
                              struct sp_error *err) {
  size_t layers = params->config.layers;
  struct layout in = {.params = params, .decay = true, .err = err};
  in.capacity = layers * tensors_per_layer + tensors_outside + 2 * SP_MAX_CLS_LAYERS;
  params->tensor = sp_arena_calloc(&params->arena, in.capacity, sizeof *params->tensor);
  params->layers = sp_arena_calloc(&params->arena, layers, sizeof *params->layers);
  if (!params->tensor || !params->layers) {
    return sp_fail_memory(err, sp_mul_sat(in.capacity, sizeof *params->tensor));
  }
  SP_TRY(walk(&in, like));
  params->n_decay = params->count;
  in.decay = false;
  return walk(&in, like);
}

enum sp_status sp_params_create(const struct sp_model_config *config, bool with_mlm, bool with_cls,
                                const struct sp_cls_head *like, struct sp_params **out,
                                struct sp_error *err) {
  struct sp_params *params = calloc(1, sizeof *params);
  if (!params) {
    return sp_fail_memory(err, sizeof *params);
  }
  params->config = *config;
  params->has_mlm = with_mlm;
  params->has_cls = with_cls;
  enum sp_status status = lay_out(params, like, err);
  if (status != SP_OK) {
    sp_params_destroy(params);
    return status;
  }
  *out = params;
  return SP_OK;
}

void sp_params_destroy(struct sp_params *params) {
  if (params) {
    sp_arena_release(&params->arena);
    free(params);
  }
}
