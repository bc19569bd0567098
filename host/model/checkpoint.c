#include "checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "model_hash.h"
#include "names.h"
#include "tensor_check.h"

enum { max_classifier_layers = 16, tensors_per_layer = 20, tensors_outside = 16, base_bytes = 128 };

/* A tensor with the shape that it must have; checked when all names are known. */
struct need {
  const struct sp_tensor *tensor;
  size_t rank, shape[2];
};

struct loader {
  struct sp_checkpoint *model;
  bool values; /* of the tensors are there */
  const char *directory;
  struct sp_names names;
  struct need *needs; /* (capacity) */
  size_t n_needs, capacity;
  struct sp_error *err;
};

/* cols 0: a vector of `rows`. */
static enum sp_status want(struct loader *in, const struct sp_tensor **out, size_t rows,
                           size_t cols, const char *base, const char *tail) {
  SP_TRY(sp_names_get(&in->names, out, in->err, "%s%s", base, tail));
  if (in->n_needs == in->capacity) {
    return sp_fail(in->err, SP_EMODEL, "%s: too many tensors", in->directory);
  }
  in->needs[in->n_needs++] = (struct need){*out, cols ? 2 : 1, {rows, cols}};
  return SP_OK;
}

static enum sp_status want_linear(struct loader *in, struct sp_ckpt_linear *linear, size_t out_size,
                                  size_t in_size, const char *base) {
  linear->out = out_size;
  linear->in = in_size;
  SP_TRY(want(in, &linear->weight, out_size, in_size, base, ".weight"));
  return want(in, &linear->bias, out_size, 0, base, ".bias");
}

static enum sp_status want_norm(struct loader *in, struct sp_ckpt_norm *norm, const char *base) {
  size_t hidden = in->model->config.hidden;
  SP_TRY(want(in, &norm->gamma, hidden, 0, base, ".weight"));
  return want(in, &norm->beta, hidden, 0, base, ".bias");
}

/* The base name of a part of the encoder. */
static const char *part(const struct loader *in, char out[base_bytes], const char *name) {
  snprintf(out, base_bytes, "%s%s", in->names.prefix, name);
  return out;
}

static const char *layer_part(const struct loader *in, char out[base_bytes], size_t layer,
                              const char *name) {
  snprintf(out, base_bytes, "%sencoder.layer.%zu.%s", in->names.prefix, layer, name);
  return out;
}

static enum sp_status want_embeddings(struct loader *in) {
  struct sp_checkpoint *model = in->model;
  const struct sp_model_config *config = &model->config;
  char name[base_bytes];
  SP_TRY(want(in, &model->word_embeddings, config->vocab_size, config->hidden,
              part(in, name, "embeddings.word_embeddings"), ".weight"));
  SP_TRY(want(in, &model->position_embeddings, config->max_positions, config->hidden,
              part(in, name, "embeddings.position_embeddings"), ".weight"));
  SP_TRY(want(in, &model->token_type_embeddings, config->type_vocab, config->hidden,
              part(in, name, "embeddings.token_type_embeddings"), ".weight"));
  return want_norm(in, &model->embedding_norm, part(in, name, "embeddings.LayerNorm"));
}

static enum sp_status want_layer(struct loader *in, size_t i, struct sp_bert_layer *layer) {
  size_t hidden = in->model->config.hidden, ffn = in->model->config.ffn;
  const struct {
    struct sp_ckpt_linear *linear;
    size_t out, in;
    const char *name;
  } linears[] = {{&layer->q, hidden, hidden, "attention.self.query"},
                 {&layer->k, hidden, hidden, "attention.self.key"},
                 {&layer->v, hidden, hidden, "attention.self.value"},
                 {&layer->o, hidden, hidden, "attention.output.dense"},
                 {&layer->up, ffn, hidden, "intermediate.dense"},
                 {&layer->down, hidden, ffn, "output.dense"}};
  char name[base_bytes];
  for (size_t j = 0; j < sizeof linears / sizeof linears[0]; j++) {
    SP_TRY(want_linear(in, linears[j].linear, linears[j].out, linears[j].in,
                       layer_part(in, name, i, linears[j].name)));
  }
  SP_TRY(
      want_norm(in, &layer->attention_norm, layer_part(in, name, i, "attention.output.LayerNorm")));
  return want_norm(in, &layer->output_norm, layer_part(in, name, i, "output.LayerNorm"));
}

static enum sp_status want_scheduler(struct loader *in, size_t i, struct sp_bert_layer *layer) {
  const struct sp_model_config *config = &in->model->config;
  size_t reach = sp_lookahead_reach(&config->lookahead, i), width = config->hidden;
  char name[base_bytes];
  if (config->lookahead.policy != SP_MASK_DYNAMIC || reach == 0) {
    return SP_OK;
  }
  if (config->scheduler_hidden > 0) {
    SP_TRY(want_linear(in, &layer->scheduler[layer->n_scheduler++], config->scheduler_hidden, width,
                       layer_part(in, name, i, "lookahead.hidden")));
    width = config->scheduler_hidden;
  }
  return want_linear(in, &layer->scheduler[layer->n_scheduler++], reach, width,
                     layer_part(in, name, i, "lookahead.dense"));
}

static enum sp_status want_layers(struct loader *in) {
  size_t count = in->model->config.layers;
  struct sp_bert_layer *layers = sp_arena_calloc(&in->model->arena, count, sizeof *layers);
  if (!layers) {
    return sp_fail_memory(in->err, sp_mul_sat(count, sizeof *layers));
  }
  for (size_t i = 0; i < count; i++) {
    SP_TRY(want_layer(in, i, &layers[i]));
    SP_TRY(want_scheduler(in, i, &layers[i]));
  }
  in->model->layers = layers;
  return SP_OK;
}

static bool same_bytes(const struct sp_tensor *a, const struct sp_tensor *b) {
  return a->dtype == b->dtype && a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0;
}

/* A config that ties and a file with two different tensors contradict each other; which one wins
 * depends on the library's version, so neither is chosen. */
static enum sp_status check_tied(const struct loader *in, const struct sp_tensor *one,
                                 const struct sp_tensor *other) {
  if (!one || !other || !in->values || same_bytes(one, other)) {
    return SP_OK;
  }
  return sp_fail(in->err, SP_EMODEL,
                 "%s: tie_word_embeddings is true, but tensors %s and %s differ; set it to false "
                 "in config.json if the model was trained so",
                 in->directory, one->name, other->name);
}

#define DECODER "cls.predictions.decoder"

static enum sp_status want_decoder_weight(struct loader *in, struct sp_ckpt_linear *decoder) {
  struct sp_checkpoint *model = in->model;
  bool explicit_weight = sp_names_has(&in->names, DECODER ".weight");
  model->mlm.tied = model->config.tied;
  if (!explicit_weight && model->mlm.tied) {
    decoder->weight = model->word_embeddings;
    return SP_OK;
  }
  SP_TRY(want(in, &decoder->weight, decoder->out, decoder->in, DECODER, ".weight"));
  if (model->mlm.tied) {
    SP_TRY(check_tied(in, decoder->weight, model->word_embeddings));
    decoder->weight = model->word_embeddings;
  }
  return SP_OK;
}

/* decoder.bias is what an untied head adds; a tied one has it only as a copy. */
static enum sp_status want_decoder_bias(struct loader *in, struct sp_ckpt_linear *decoder) {
  bool own = sp_names_has(&in->names, DECODER ".bias");
  bool shared = sp_names_has(&in->names, "cls.predictions.bias");
  if (own) {
    SP_TRY(want(in, &decoder->bias, decoder->out, 0, DECODER, ".bias"));
  }
  if (!own || (shared && in->model->config.tied)) {
    const struct sp_tensor *copy = decoder->bias;
    SP_TRY(want(in, &decoder->bias, decoder->out, 0, "cls.predictions", ".bias"));
    return check_tied(in, copy, decoder->bias);
  }
  return SP_OK;
}

static enum sp_status want_mlm_head(struct loader *in) {
  const struct sp_model_config *config = &in->model->config;
  struct sp_mlm_head *head = &in->model->mlm;
  in->model->has_mlm = config->arch == SP_BERT_MLM ||
                       sp_names_has(&in->names, "cls.predictions.transform.dense.weight");
  if (!in->model->has_mlm) {
    return SP_OK;
  }
  SP_TRY(want_linear(in, &head->transform, config->hidden, config->hidden,
                     "cls.predictions.transform.dense"));
  SP_TRY(want_norm(in, &head->norm, "cls.predictions.transform.LayerNorm"));
  head->decoder.out = config->vocab_size;
  head->decoder.in = config->hidden;
  SP_TRY(want_decoder_weight(in, &head->decoder));
  return want_decoder_bias(in, &head->decoder);
}

struct base_name {
  char text[base_bytes];
};

enum { weight_bytes = base_bytes + 8 };

static void weight_name(const struct base_name *base, char out[weight_bytes]) {
  snprintf(out, weight_bytes, "%.*s.weight", base_bytes - 1, base->text);
}

/* The names of the classifier's dense layers, in order: one Linear, dense and out_proj, or the
 * numbered members of a sequence. */
static size_t list_classifier(const struct loader *in, struct base_name *names) {
  size_t count = 0;
  if (sp_names_has(&in->names, "classifier.dense.weight") ||
      sp_names_has(&in->names, "classifier.out_proj.weight")) {
    snprintf(names[0].text, base_bytes, "classifier.dense");
    snprintf(names[1].text, base_bytes, "classifier.out_proj");
    return 2;
  }
  for (int i = 0; i < 4 * max_classifier_layers && count < max_classifier_layers; i++) {
    char weight[base_bytes];
    snprintf(weight, sizeof weight, "classifier.%d.weight", i);
    if (sp_names_has(&in->names, weight)) {
      snprintf(names[count++].text, base_bytes, "classifier.%d", i);
    }
  }
  if (count == 0) {
    snprintf(names[count++].text, base_bytes, "classifier");
  }
  return count;
}

/* The outputs of a layer are what its weight has. */
static enum sp_status want_classifier_layer(struct loader *in, const struct base_name *base,
                                            bool last, size_t *width,
                                            struct sp_ckpt_linear *linear) {
  char weight[weight_bytes];
  weight_name(base, weight);
  const struct sp_tensor *tensor = sp_safetensors_find(in->model->tensors, weight);
  size_t outputs = tensor && tensor->rank == 2 ? tensor->shape[0] : 1;
  if (last && outputs != 1) {
    return sp_fail(in->err, SP_EMODEL, "%s: tensor %s has %zu outputs (labels); a score is one",
                   in->directory, weight, outputs);
  }
  SP_TRY(want_linear(in, linear, outputs, *width, base->text));
  *width = outputs;
  return SP_OK;
}

static enum sp_status want_pooler(struct loader *in, struct sp_cls_head *head,
                                  struct sp_cls_layer *layer) {
  char name[base_bytes], weight[base_bytes];
  size_t hidden = in->model->config.hidden;
  head->pooler = sp_names_has(&in->names, part(in, weight, "pooler.dense.weight"));
  if (!head->pooler) {
    return SP_OK;
  }
  head->n_layers = 1;
  layer->act = SP_ACT_TANH;
  return want_linear(in, &layer->linear, hidden, hidden, part(in, name, "pooler.dense"));
}

static bool has_classifier(const struct loader *in) {
  struct base_name names[max_classifier_layers];
  char weight[weight_bytes];
  size_t count = list_classifier(in, names);
  weight_name(&names[count - 1], weight);
  return sp_names_has(&in->names, weight);
}

static enum sp_status want_cls_head(struct loader *in) {
  struct sp_checkpoint *model = in->model;
  struct sp_cls_head *head = &model->cls;
  struct base_name names[max_classifier_layers];
  model->has_cls = model->config.arch == SP_BERT_CLS || has_classifier(in);
  if (!model->has_cls) {
    return SP_OK;
  }
  size_t count = list_classifier(in, names), width = model->config.hidden;
  struct sp_cls_layer *layers = sp_arena_calloc(&model->arena, count + 1, sizeof *layers);
  if (!layers) {
    return sp_fail_memory(in->err, sp_mul_sat(count + 1, sizeof *layers));
  }
  head->layers = layers;
  SP_TRY(want_pooler(in, head, &layers[0]));
  for (size_t i = 0; i < count; i++) {
    struct sp_cls_layer *layer = &layers[head->n_layers++];
    bool last = i + 1 == count;
    layer->act = last ? SP_ACT_NONE : model->config.classifier_act;
    SP_TRY(want_classifier_layer(in, &names[i], last, &width, &layer->linear));
  }
  return SP_OK;
}

/* A scheduler that nothing uses: the weights were trained for another policy than the config's. */
static enum sp_status check_schedulers(const struct loader *in) {
  const struct sp_checkpoint *model = in->model;
  char prefix[base_bytes], rule[256];
  size_t len = strlen(part(in, prefix, "encoder.layer."));
  for (size_t i = 0; i < model->n_extra; i++) {
    const char *name = model->extra[i];
    if (strncmp(name, prefix, len) == 0 && strstr(name + len, ".lookahead.")) {
      sp_lookahead_print(&model->config.lookahead, rule, sizeof rule);
      return sp_fail(in->err, SP_EMODEL,
                     "%s: tensor %s contradicts the lookahead policy of config.json, %s, which has "
                     "no such scheduler",
                     in->directory, name, rule);
    }
  }
  return SP_OK;
}

static void count_schedulers(struct sp_checkpoint *model) {
  for (size_t l = 0; l < model->config.layers; l++) {
    for (size_t i = 0; i < model->layers[l].n_scheduler; i++) {
      const struct sp_ckpt_linear *linear = &model->layers[l].scheduler[i];
      model->scheduler_parameters += linear->out * (linear->in + 1);
    }
  }
}

static enum sp_status check_needs(struct loader *in) {
  SP_TRY(sp_names_check(&in->names, in->directory, in->err));
  for (size_t i = 0; i < in->n_needs; i++) {
    const struct need *need = &in->needs[i];
    SP_TRY((in->values ? sp_tensor_check : sp_tensor_check_shape)(
        need->tensor, need->shape, need->rank, in->directory, in->err));
    in->model->parameters += need->rank == 2 ? need->shape[0] * need->shape[1] : need->shape[0];
  }
  return SP_OK;
}

static enum sp_status resolve(struct loader *in) {
  struct sp_checkpoint *model = in->model;
  in->capacity =
      model->config.layers * tensors_per_layer + tensors_outside + 2 * max_classifier_layers;
  in->needs = sp_arena_alloc(&model->arena, in->capacity, sizeof *in->needs);
  if (!in->needs) {
    return sp_fail_memory(in->err, sp_mul_sat(in->capacity, sizeof *in->needs));
  }
  SP_TRY(want_embeddings(in));
  SP_TRY(want_layers(in));
  SP_TRY(want_mlm_head(in));
  SP_TRY(want_cls_head(in));
  SP_TRY(check_needs(in));
  model->dtype = model->word_embeddings->dtype;
  count_schedulers(model);
  SP_TRY(sp_names_extra(&in->names, &model->arena, &model->extra, &model->n_extra, in->err));
  return check_schedulers(in);
}

/* `hash` NULL: that of the files. */
static enum sp_status load(struct sp_checkpoint *model, const struct sp_folder *folder,
                           const char *hash, struct sp_error *err) {
  SP_TRY(sp_model_stamp(folder, &model->stamp, err));
  SP_TRY(sp_model_config_read(folder, &model->config, err));
  SP_TRY(sp_safetensors_open_in(folder, &model->tensors, err));
  struct loader in = {.model = model, .values = !hash, .directory = folder->path, .err = err};
  enum sp_status status = SP_OK;
  SP_TRY_GOTO(sp_names_init(&in.names, model->tensors, &model->arena, err), release_names);
  SP_TRY_GOTO(resolve(&in), release_names);
  if (hash) {
    snprintf(model->hash, sizeof model->hash, "%.32s", hash);
  } else {
    status = sp_model_hash(folder, model->tensors, model->hash, err);
  }
release_names:
  sp_names_release(&in.names);
  return status;
}

static enum sp_status open_hashed(const struct sp_folder *folder, const char *hash,
                                  struct sp_checkpoint **out, struct sp_error *err) {
  struct sp_checkpoint *model = calloc(1, sizeof *model);
  if (!model) {
    return sp_fail_memory(err, sizeof *model);
  }
  enum sp_status status = load(model, folder, hash, err);
  if (status != SP_OK) {
    sp_checkpoint_close(model);
    return status;
  }
  *out = model;
  return SP_OK;
}

enum sp_status sp_checkpoint_open_in(const struct sp_folder *folder, struct sp_checkpoint **out,
                                     struct sp_error *err) {
  return open_hashed(folder, NULL, out, err);
}

enum sp_status sp_checkpoint_open_shapes(const struct sp_folder *folder, const char hash[33],
                                         struct sp_checkpoint **out, struct sp_error *err) {
  return open_hashed(folder, hash, out, err);
}

enum sp_status sp_checkpoint_open(const char *directory, struct sp_checkpoint **out,
                                  struct sp_error *err) {
  struct sp_folder folder = sp_folder_at(directory);
  return sp_checkpoint_open_in(&folder, out, err);
}

enum sp_status sp_checkpoint_check_unchanged(const struct sp_checkpoint *checkpoint,
                                             const struct sp_folder *folder, struct sp_error *err) {
  return sp_model_check_stamp(folder, checkpoint->stamp, err);
}

void sp_checkpoint_close(struct sp_checkpoint *checkpoint) {
  if (!checkpoint) {
    return;
  }
  sp_safetensors_close(checkpoint->tensors);
  sp_arena_release(&checkpoint->arena);
  free(checkpoint);
}
