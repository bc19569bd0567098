#include <stdio.h>
#include <string.h>

#include "params.h"
#include "tensor_check.h"

struct load {
  const struct sp_params *params;
  const struct sp_checkpoint *from;
  float *values;
  char *fresh; /* (room) */
  size_t room, fresh_len;
  struct sp_error *err;
};

/* A list that is too long ends at an entry. */
static void note_fresh(struct load *in, const char *format, size_t layer) {
  char name[96];
  snprintf(name, sizeof name, format, layer);
  const char *comma = in->fresh_len ? ", " : "";
  size_t len = strlen(comma) + strlen(name);
  if (len < in->room - in->fresh_len) {
    in->fresh_len +=
        (size_t)snprintf(in->fresh + in->fresh_len, in->room - in->fresh_len, "%s%s", comma, name);
  }
}

static void print_shape(char out[48], size_t rows, size_t cols) {
  if (cols > 0) {
    snprintf(out, 48, "(%zu, %zu)", rows, cols);
  } else {
    snprintf(out, 48, "(%zu)", rows);
  }
}

/* cols 0: a vector. */
static enum sp_status copy(struct load *in, const struct sp_tensor *tensor, size_t rows,
                           size_t cols, size_t offset) {
  size_t rank = cols > 0 ? 2 : 1;
  if (tensor->rank != rank || tensor->shape[0] != rows || (cols > 0 && tensor->shape[1] != cols)) {
    char have[48], want[48];
    print_shape(have, tensor->shape[0], tensor->rank == 2 ? tensor->shape[1] : 0);
    print_shape(want, rows, cols);
    return sp_fail(in->err, SP_EMODEL,
                   "tensor %s of the model to begin from has the shape %s; %s is trained",
                   tensor->name, have, want);
  }
  sp_tensor_to_f32(tensor, 0, cols > 0 ? rows * cols : rows, in->values + offset);
  return SP_OK;
}

static enum sp_status copy_linear(struct load *in, const struct sp_ckpt_linear *from,
                                  const struct sp_param_linear *to) {
  SP_TRY(copy(in, from->weight, to->n, to->k, to->weight));
  return copy(in, from->bias, to->n, 0, to->bias);
}

static enum sp_status copy_norm(struct load *in, const struct sp_ckpt_norm *from,
                                const struct sp_param_norm *to) {
  size_t hidden = in->params->config.hidden;
  SP_TRY(copy(in, from->gamma, hidden, 0, to->gamma));
  return copy(in, from->beta, hidden, 0, to->beta);
}

static enum sp_status copy_embeddings(struct load *in) {
  const struct sp_params *to = in->params;
  const struct sp_checkpoint *from = in->from;
  const struct sp_model_config *config = &to->config;
  size_t hidden = config->hidden;
  SP_TRY(copy(in, from->word_embeddings, config->vocab_size, hidden, to->words));
  SP_TRY(copy(in, from->position_embeddings, config->max_positions, hidden, to->positions));
  SP_TRY(copy(in, from->token_type_embeddings, config->type_vocab, hidden, to->types));
  return copy_norm(in, &from->embedding_norm, &to->embedding_norm);
}

/* Part i of q, k and v in the tensor that they are together. */
static struct sp_param_linear third(const struct sp_param_linear *qkv, size_t i) {
  size_t n = qkv->n / 3;
  return (struct sp_param_linear){
      .weight = qkv->weight + i * n * qkv->k, .bias = qkv->bias + i * n, .n = n, .k = qkv->k};
}

static enum sp_status copy_scheduler(struct load *in, const struct sp_bert_layer *from, size_t l) {
  const struct sp_param_layer *to = &in->params->layers[l];
  if (to->n_scheduler > 0 && from->n_scheduler == 0) {
    note_fresh(in, "bert.encoder.layer.%zu.lookahead", l);
    return SP_OK;
  }
  if (to->n_scheduler > 0 && to->n_scheduler != from->n_scheduler) {
    return sp_fail(in->err, SP_EMODEL,
                   "the scheduler of layer %zu of the model to begin from %s; the one trained %s",
                   l, from->n_scheduler == 2 ? "has a hidden layer" : "has no hidden layer",
                   to->n_scheduler == 2 ? "has" : "has not");
  }
  for (size_t i = 0; i < to->n_scheduler; i++) {
    SP_TRY(copy_linear(in, &from->scheduler[i], &to->scheduler[i]));
  }
  return SP_OK;
}

static enum sp_status copy_layer(struct load *in, size_t from_layer, size_t l) {
  const struct sp_bert_layer *from = &in->from->layers[from_layer];
  const struct sp_param_layer *to = &in->params->layers[l];
  const struct sp_ckpt_linear *const parts[] = {&from->q, &from->k, &from->v};
  for (size_t i = 0; i < 3; i++) {
    struct sp_param_linear part = third(&to->qkv, i);
    SP_TRY(copy_linear(in, parts[i], &part));
  }
  SP_TRY(copy_linear(in, &from->o, &to->o));
  SP_TRY(copy_norm(in, &from->attention_norm, &to->attention_norm));
  SP_TRY(copy_linear(in, &from->up, &to->up));
  SP_TRY(copy_linear(in, &from->down, &to->down));
  SP_TRY(copy_norm(in, &from->output_norm, &to->output_norm));
  return copy_scheduler(in, from, l);
}

static enum sp_status copy_layers(struct load *in, const uint32_t *layer_from) {
  size_t ours = in->params->config.layers, theirs = in->from->config.layers;
  if (!layer_from && ours != theirs) {
    return sp_fail(in->err, SP_EMODEL,
                   "the model to begin from has %zu layers, the one trained %zu: say which of its "
                   "layers are taken",
                   theirs, ours);
  }
  for (size_t l = 0; l < ours; l++) {
    size_t from = layer_from ? layer_from[l] : l;
    if (from >= theirs) {
      return sp_fail(in->err, SP_EUSAGE,
                     "layer %zu cannot be taken: the model to begin from has the layers 0 to %zu",
                     from, theirs - 1);
    }
    SP_TRY(copy_layer(in, from, l));
  }
  return SP_OK;
}

static enum sp_status copy_mlm(struct load *in) {
  const struct sp_params *to = in->params;
  const struct sp_mlm_head *from = &in->from->mlm;
  if (!to->has_mlm) {
    return SP_OK;
  }
  if (!in->from->has_mlm) {
    note_fresh(in, "cls.predictions", 0);
    return SP_OK;
  }
  if (to->config.tied && !from->tied) {
    return sp_fail(in->err, SP_EMODEL,
                   "the model to begin from has a decoder of its own; one that is tied to the word "
                   "embeddings would lose it");
  }
  SP_TRY(copy_linear(in, &from->transform, &to->transform));
  SP_TRY(copy_norm(in, &from->norm, &to->transform_norm));
  return copy_linear(in, &from->decoder, &to->decoder);
}

/* A pretrained encoder has a pooler that nothing in its file reads. */
static enum sp_status copy_lone_pooler(struct load *in) {
  static const char *const names[][2] = {{"bert.pooler.dense.weight", "bert.pooler.dense.bias"},
                                         {"pooler.dense.weight", "pooler.dense.bias"}};
  const struct sp_param_linear *to = &in->params->cls[0];
  for (size_t i = 0; i < 2; i++) {
    struct sp_ckpt_linear from = {.weight = sp_safetensors_find(in->from->tensors, names[i][0]),
                                  .bias = sp_safetensors_find(in->from->tensors, names[i][1])};
    const size_t weight_shape[] = {to->n, to->k}, bias_shape[] = {to->n};
    if (from.weight && from.bias) {
      SP_TRY(sp_tensor_check(from.weight, weight_shape, 2, "model to begin from", in->err));
      SP_TRY(sp_tensor_check(from.bias, bias_shape, 1, "model to begin from", in->err));
      return copy_linear(in, &from, to);
    }
  }
  note_fresh(in, "bert.pooler", 0);
  return SP_OK;
}

static enum sp_status copy_cls(struct load *in) {
  const struct sp_params *to = in->params;
  const struct sp_cls_head *from = &in->from->cls;
  if (!to->has_cls) {
    return SP_OK;
  }
  if (!in->from->has_cls) {
    if (to->pooler) {
      SP_TRY(copy_lone_pooler(in));
    }
    note_fresh(in, "classifier", 0);
    return SP_OK;
  }
  if (from->pooler != to->pooler || from->n_layers != to->n_cls) {
    return sp_fail(in->err, SP_EMODEL,
                   "the classifier of the model to begin from has %zu layers%s, the one trained "
                   "%zu%s",
                   from->n_layers, from->pooler ? " with its pooler" : "", to->n_cls,
                   to->pooler ? " with its pooler" : "");
  }
  for (size_t i = 0; i < to->n_cls; i++) {
    SP_TRY(copy_linear(in, &from->layers[i].linear, &to->cls[i]));
  }
  return SP_OK;
}

enum sp_status sp_params_load(const struct sp_params *params,
                              const struct sp_checkpoint *checkpoint, const uint32_t *layer_from,
                              float *values, char *fresh, size_t room, struct sp_error *err) {
  struct load in = {.params = params,
                    .from = checkpoint,
                    .values = values,
                    .fresh = fresh,
                    .room = room,
                    .err = err};
  if (room > 0) {
    fresh[0] = '\0';
  }
  SP_TRY(copy_embeddings(&in));
  SP_TRY(copy_layers(&in, layer_from));
  SP_TRY(copy_mlm(&in));
  return copy_cls(&in);
}
