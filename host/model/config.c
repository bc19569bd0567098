#include "config.h"

#include <stdio.h>
#include <string.h>

#include "config_lookahead.h"

#define CONFIG_CEILING ((size_t)16 << 20)

static enum sp_status refuse_true(const struct sp_config_reader *in, const char *key,
                                  const char *why) {
  bool value = false;
  SP_TRY(sp_config_bool(in, key, false, &value));
  return value ? sp_config_refuse(in, key, why) : SP_OK;
}

/* Keys whose presence (other than null, or an empty object or list) means another computation. */
static enum sp_status refuse_present(const struct sp_config_reader *in, const char *key,
                                     const char *why) {
  json_t *value = sp_config_get(in, key);
  bool empty = (json_is_object(value) && json_object_size(value) == 0) ||
               (json_is_array(value) && json_array_size(value) == 0);
  return value && !empty ? sp_config_refuse(in, key, why) : SP_OK;
}

static enum sp_status read_arch(const struct sp_config_reader *in, struct sp_model_config *out) {
  static const struct {
    const char *name;
    enum sp_arch arch;
  } known[] = {{"BertForMaskedLM", SP_BERT_MLM},
               {"BertForPreTraining", SP_BERT_MLM},
               {"BertForSequenceClassification", SP_BERT_CLS}};
  const char *type = json_string_value(sp_config_get(in, "model_type"));
  if (!type) {
    return sp_fail(in->err, SP_EMODEL, "%s: model_type is missing; \"bert\" is supported",
                   in->place);
  }
  if (strcmp(type, "bert") != 0) {
    return sp_config_refuse(in, "model_type", "only \"bert\" is supported");
  }
  const char *name = json_string_value(json_array_get(sp_config_get(in, "architectures"), 0));
  for (size_t i = 0; name && i < sizeof known / sizeof known[0]; i++) {
    if (strcmp(name, known[i].name) == 0) {
      out->arch = known[i].arch;
      memcpy(out->arch_text, name, strlen(name) + 1);
      return SP_OK;
    }
  }
  static const char why[] = "BertForMaskedLM or BertForSequenceClassification is needed";
  if (!sp_config_get(in, "architectures")) {
    return sp_fail(in->err, SP_EMODEL, "%s: architectures is missing: %s", in->place, why);
  }
  return sp_config_refuse(in, "architectures", why);
}

static enum sp_status read_sizes(const struct sp_config_reader *in, struct sp_model_config *out) {
  size_t embedding = 0;
  SP_TRY(sp_config_size(in, "num_hidden_layers", 12, 512, &out->layers));
  SP_TRY(sp_config_size(in, "hidden_size", 768, 65536, &out->hidden));
  SP_TRY(sp_config_size(in, "num_attention_heads", 12, 65536, &out->heads));
  SP_TRY(sp_config_size(in, "intermediate_size", 3072, 262144, &out->ffn));
  SP_TRY(sp_config_size(in, "vocab_size", 30522, 1 << 24, &out->vocab_size));
  SP_TRY(sp_config_size(in, "max_position_embeddings", 512, 1 << 20, &out->max_positions));
  SP_TRY(sp_config_size(in, "type_vocab_size", 2, 65536, &out->type_vocab));
  SP_TRY(sp_config_size(in, "embedding_size", out->hidden, 65536, &embedding));
  if (embedding != out->hidden) {
    return sp_config_refuse(in, "embedding_size", "it must equal hidden_size");
  }
  if (out->hidden % out->heads != 0) {
    return sp_fail(in->err, SP_EMODEL,
                   "%s: hidden_size %zu is no multiple of the %zu heads of "
                   "num_attention_heads",
                   in->place, out->hidden, out->heads);
  }
  out->head_dim = out->hidden / out->heads;
  size_t head_dim = 0;
  SP_TRY(sp_config_size(in, "head_dim", out->head_dim, 65536, &head_dim));
  return head_dim == out->head_dim
             ? SP_OK
             : sp_config_refuse(in, "head_dim", "it must be hidden_size / num_attention_heads");
}

static enum sp_status read_activations(const struct sp_config_reader *in,
                                       struct sp_model_config *out) {
  static const struct sp_config_word hidden[] = {{"gelu", SP_ACT_GELU_ERF},
                                                 {"gelu_new", SP_ACT_GELU_TANH},
                                                 {"gelu_pytorch_tanh", SP_ACT_GELU_TANH},
                                                 {"relu", SP_ACT_RELU},
                                                 {NULL, 0}};
  static const struct sp_config_word classifier[] = {
      {"tanh", SP_ACT_TANH},          {"gelu", SP_ACT_GELU_ERF},
      {"gelu_new", SP_ACT_GELU_TANH}, {"gelu_pytorch_tanh", SP_ACT_GELU_TANH},
      {"relu", SP_ACT_RELU},          {NULL, 0}};
  static const char why[] = "this activation is not supported";
  int act = 0;
  SP_TRY(sp_config_choose(in, "hidden_act", hidden, why, &act));
  out->act = (enum sp_activation)act;
  SP_TRY(sp_config_choose(in, "classifier_act", classifier, why, &act));
  out->classifier_act = (enum sp_activation)act;
  return SP_OK;
}

static enum sp_status read_eps(const struct sp_config_reader *in, float *out) {
  json_t *value = sp_config_get(in, "layer_norm_eps");
  double eps = value ? json_number_value(value) : 1e-12;
  *out = (float)eps;
  if ((value && !json_is_number(value)) || !(*out > 0.0f) || !(eps <= 1.0)) {
    return sp_config_refuse(in, "layer_norm_eps", "a number over 0 and up to 1 is needed");
  }
  return SP_OK;
}

static enum sp_status read_score_kind(const struct sp_config_reader *in,
                                      struct sp_model_config *out) {
  static const struct sp_config_word kinds[] = {
      {"logprob", SP_SCORE_LOGPROB}, {"cost", SP_SCORE_COST}, {NULL, 0}};
  int kind = 0;
  out->has_score_kind = sp_config_get(in, "score_kind") != NULL;
  SP_TRY(sp_config_choose(in, "score_kind", kinds, "\"cost\" or \"logprob\" is needed", &kind));
  out->score_kind = (enum sp_score_kind)kind;
  return SP_OK;
}

static enum sp_status refuse_others(const struct sp_config_reader *in) {
  const char *text = NULL;
  SP_TRY(sp_config_text(in, "position_embedding_type", "absolute", &text));
  if (strcmp(text, "absolute") != 0) {
    return sp_config_refuse(in, "position_embedding_type", "only \"absolute\" is supported");
  }
  SP_TRY(refuse_true(in, "is_decoder", "only encoders are supported"));
  SP_TRY(refuse_true(in, "is_encoder_decoder", "only encoders are supported"));
  SP_TRY(refuse_true(in, "add_cross_attention", "only encoders are supported"));
  SP_TRY(refuse_present(in, "quantization_config", "quantized weights are not supported"));
  SP_TRY(refuse_present(in, "pruned_heads", "pruned heads are not supported"));
  return refuse_present(in, "auto_map", "the model has code of its own, which is not run");
}

static enum sp_status read_dtype_text(const struct sp_config_reader *in,
                                      struct sp_model_config *out) {
  const char *text = NULL, *fallback = NULL;
  SP_TRY(sp_config_text(in, "dtype", "", &fallback));
  SP_TRY(sp_config_text(in, "torch_dtype", fallback, &text));
  snprintf(out->dtype_text, sizeof out->dtype_text, "%s", text);
  return SP_OK;
}

static enum sp_status read_all(const struct sp_config_reader *in, struct sp_model_config *out) {
  *out = (struct sp_model_config){0};
  if (!json_is_object(in->object)) {
    return sp_fail(in->err, SP_EMODEL, "%s is not a JSON object", in->place);
  }
  SP_TRY(read_arch(in, out));
  SP_TRY(refuse_others(in));
  SP_TRY(read_sizes(in, out));
  SP_TRY(read_activations(in, out));
  SP_TRY(read_eps(in, &out->layer_norm_eps));
  SP_TRY(read_score_kind(in, out));
  SP_TRY(sp_config_bool(in, "tie_word_embeddings", true, &out->tied));
  SP_TRY(sp_config_read_lookahead(in, out));
  return read_dtype_text(in, out);
}

enum sp_status sp_model_config_parse(struct sp_text json, const char *place,
                                     struct sp_model_config *out, struct sp_error *err) {
  json_error_t fault;
  json_t *root = json_loadb(json.len ? json.data : "", json.len, JSON_REJECT_DUPLICATES, &fault);
  if (!root) {
    return sp_fail(err, SP_EMODEL, "%s:%d: %s", place, fault.line, fault.text);
  }
  struct sp_config_reader in = {root, place, "", err};
  enum sp_status status = read_all(&in, out);
  json_decref(root);
  return status;
}

enum sp_status sp_model_config_read(const struct sp_folder *folder, struct sp_model_config *out,
                                    struct sp_error *err) {
  struct sp_buf path = {0}, text = {.ceiling = CONFIG_CEILING};
  enum sp_status status;
  if (!sp_folder_has(folder, "config.json")) {
    return sp_fail(err, SP_EMODEL, "%s is not a model directory: it has no config.json",
                   folder->path);
  }
  SP_TRY_GOTO(sp_folder_path(folder, "config.json", &path, err), release);
  status = sp_folder_read(folder, "config.json", &text, err);
  if (status == SP_EINPUT) { /* too large */
    status = SP_EMODEL;
  }
  SP_TRY_GOTO(status, release);
  status = sp_model_config_parse((struct sp_text){text.data, text.len}, path.data, out, err);
release:
  sp_buf_release(&text);
  sp_buf_release(&path);
  return status;
}

size_t sp_model_max_tokens(const struct sp_model_config *config) {
  return config->max_positions > 2 ? config->max_positions - 2 : 0;
}

enum sp_status sp_model_check_vocabulary(const struct sp_model_config *config,
                                         const char *directory, const char *source, size_t pieces,
                                         struct sp_error *err) {
  enum { max_padding_ids = 127 };
  if (pieces > config->vocab_size || config->vocab_size - pieces > max_padding_ids) {
    return sp_fail(err, SP_EMODEL,
                   "%s: %s has %zu pieces, but the model's vocab_size is %zu (only up to %d "
                   "trailing padding ids may have no piece)",
                   directory, source, pieces, config->vocab_size, max_padding_ids);
  }
  return SP_OK;
}

const char *sp_activation_name(enum sp_activation act) {
  static const char *const names[] = {[SP_ACT_NONE] = "none",
                                      [SP_ACT_GELU_ERF] = "gelu",
                                      [SP_ACT_GELU_TANH] = "gelu_new",
                                      [SP_ACT_RELU] = "relu",
                                      [SP_ACT_TANH] = "tanh"};
  return names[act];
}
