#include "model_config.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "file.h"

enum { config_ceiling = 64 << 20 };

/* jansson's setters refuse NULL, which is what its makers give when memory is out: a failure anywhere is
 * seen once, at the end. */
struct editor {
  json_t *object;
  bool failed;
};

static void set(struct editor *in, const char *key, json_t *value) {
  in->failed |= json_object_set_new(in->object, key, value) != 0;
}

static void set_size(struct editor *in, const char *key, size_t value) {
  set(in, key, json_integer((json_int_t)value));
}

static void set_sizes(struct editor *in, const struct sp_model_config *config) {
  set(in, "model_type", json_string("bert"));
  set_size(in, "num_hidden_layers", config->layers);
  set_size(in, "hidden_size", config->hidden);
  set_size(in, "num_attention_heads", config->heads);
  set_size(in, "intermediate_size", config->ffn);
  set_size(in, "vocab_size", config->vocab_size);
  set_size(in, "max_position_embeddings", config->max_positions);
  set_size(in, "type_vocab_size", config->type_vocab);
  set(in, "tie_word_embeddings", json_boolean(config->tied));
}

/* Of both heads the one that reads whole texts is named. */
static void set_heads(struct editor *in, const struct sp_params *params) {
  const char *arch = params->has_cls ? "BertForSequenceClassification" : "BertForMaskedLM";
  set(in, "architectures", json_pack("[s]", arch));
  if (!params->has_cls) {
    json_object_del(in->object, "score_kind");
    return;
  }
  set_size(in, "num_labels", 1);
  set(in, "problem_type", json_string("regression"));
  set(in, "id2label", json_pack("{s:s}", "0", "LABEL_0"));
  set(in, "label2id", json_pack("{s:i}", "LABEL_0", 0));
  set(in, "score_kind", json_string("logprob"));
}

/* Newer transformers write "dtype"; both keys must agree. */
static void set_dtype(struct editor *in, enum sp_dtype dtype) {
  const char *name = dtype == SP_BF16 ? "bfloat16" : "float32";
  set(in, "torch_dtype", json_string(name));
  if (json_object_get(in->object, "dtype")) {
    set(in, "dtype", json_string(name));
  }
}

static void set_reach(struct editor *in, const struct sp_lookahead *rule) {
  size_t max = 0;
  if (rule->policy == SP_MASK_CHUNKED) {
    set_size(in, "chunk", rule->reach[0]);
  }
  if (rule->policy != SP_MASK_LAYERWISE && rule->policy != SP_MASK_DYNAMIC) {
    return;
  }
  for (size_t l = 0; l < rule->n_reach; l++) {
    max = sp_max_size(max, rule->reach[l]);
  }
  set_size(in, "max", max);
  if (rule->n_reach > 1) {
    json_t *layers = json_array();
    for (size_t l = 0; l < rule->n_reach; l++) {
      in->failed |= json_array_append_new(layers, json_integer(rule->reach[l])) != 0;
    }
    set(in, "layers", layers);
  }
}

static void set_scheduler(struct editor *in, const struct sp_model_config *config) {
  if (config->lookahead.policy != SP_MASK_DYNAMIC) {
    return;
  }
  set(in, "cells", json_string(config->lookahead.span ? "span" : "independent"));
  if (config->lookahead.span) {
    set(in, "tau", json_real((double)config->lookahead.tau));
  }
  if (config->scheduler_hidden > 0) {
    set_size(in, "hidden_size", config->scheduler_hidden);
    set(in, "hidden_act", json_string(sp_activation_name(config->scheduler_act)));
  }
}

static void set_cls_row(struct editor *in, const struct sp_lookahead *rule) {
  if (rule->left > 0) {
    set_size(in, "left", rule->left);
  }
  if (rule->cls_last) {
    set(in, "cls", json_string("last"));
  }
  if (rule->cls_view != SP_CLS_BOUND) {
    set(in, "cls_view", json_string(sp_lookahead_cls_view_name(rule)));
  }
}

/* As config_lookahead.c reads it; the full mask has no key. */
static void set_lookahead(struct editor *in, const struct sp_model_config *config) {
  struct sp_lookahead rule = config->lookahead;
  sp_lookahead_simplify(&rule);
  json_object_del(in->object, "lookahead");
  if (rule.policy == SP_MASK_FULL) {
    return;
  }
  struct editor inner = {.object = json_object()};
  set(&inner, "policy", json_string(sp_lookahead_policy_name(rule.policy)));
  set_reach(&inner, &rule);
  set_scheduler(&inner, config);
  set_cls_row(&inner, &rule);
  in->failed |= inner.failed;
  set(in, "lookahead", inner.object);
}

/* Fifteen digits are how people write numbers; seventeen are needed where these do not give it back. */
static char *print(const json_t *root) {
  const size_t flags = JSON_INDENT(2) | JSON_ENCODE_ANY;
  char *text = json_dumps(root, flags | JSON_REAL_PRECISION(15));
  json_t *again = text ? json_loads(text, 0, NULL) : NULL;
  if (!json_equal(root, again)) {
    free(text);
    text = json_dumps(root, flags | JSON_REAL_PRECISION(17));
  }
  json_decref(again);
  return text;
}

static enum sp_status edit(json_t *root, const struct sp_params *params, enum sp_dtype dtype,
                           struct sp_buf *out, struct sp_error *err) {
  struct editor in = {.object = root};
  set_heads(&in, params);
  set_sizes(&in, &params->config);
  set_dtype(&in, dtype);
  set_lookahead(&in, &params->config);
  char *text = in.failed ? NULL : print(root);
  enum sp_status status =
      text ? sp_buf_printf(out, err, "%s\n", text) : sp_fail_memory(err, config_ceiling);
  free(text);
  return status;
}

enum sp_status sp_model_config_print(const struct sp_params *params, enum sp_dtype dtype,
                                     const char *from, struct sp_buf *out, struct sp_error *err) {
  struct sp_buf text = {.ceiling = config_ceiling};
  json_error_t fault;
  json_t *root = NULL;
  enum sp_status status;
  SP_TRY_GOTO(sp_file_read(from, &text, err), release);
  root = json_loadb(text.len ? text.data : "", text.len, JSON_REJECT_DUPLICATES, &fault);
  if (!root) {
    status = sp_fail(err, SP_EMODEL, "%s:%d: %s", from, fault.line, fault.text);
  } else if (!json_is_object(root)) {
    status = sp_fail(err, SP_EMODEL, "%s is not a JSON object", from);
  } else {
    status = edit(root, params, dtype, out, err);
  }
release:
  json_decref(root);
  sp_buf_release(&text);
  return status;
}
