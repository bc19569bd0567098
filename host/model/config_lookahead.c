#include "config_lookahead.h"

#include <float.h>
#include <stdio.h>
#include <string.h>

enum {
  full = 1 << SP_MASK_FULL,
  layerwise = 1 << SP_MASK_LAYERWISE,
  chunked = 1 << SP_MASK_CHUNKED,
  dynamic = 1 << SP_MASK_DYNAMIC,
  masked = 1 << SP_MASK_CAUSAL | layerwise | chunked | dynamic
};

static const struct {
  const char *name;
  unsigned policies; /* that take it */
} keys[] = {{"policy", full | masked},
            {"max", layerwise | dynamic},
            {"layers", layerwise | dynamic},
            {"chunk", chunked},
            {"left", masked},
            {"cells", dynamic},
            {"tau", dynamic},
            {"hidden_size", dynamic},
            {"hidden_act", dynamic},
            {"cls", masked},
            {"cls_view", masked}};

enum { n_keys = sizeof keys / sizeof *keys };

static enum sp_status check_key(const struct sp_config_reader *in, const char *key,
                                enum sp_mask_policy policy) {
  char why[160];
  for (size_t i = 0; i < n_keys; i++) {
    if (strcmp(key, keys[i].name) != 0) {
      continue;
    }
    if ((keys[i].policies >> policy & 1) || !sp_config_get(in, key)) {
      return SP_OK;
    }
    snprintf(why, sizeof why, "the policy \"%s\" does not take it",
             sp_lookahead_policy_name(policy));
    return sp_config_refuse(in, key, why);
  }
  size_t at = (size_t)snprintf(why, sizeof why, "the keys are");
  for (size_t i = 0; i < n_keys; i++) {
    at += (size_t)snprintf(why + at, sizeof why - at, "%s %s", i ? "," : "", keys[i].name);
  }
  return sp_config_refuse(in, key, why);
}

static enum sp_status check_keys(const struct sp_config_reader *in, enum sp_mask_policy policy) {
  const char *key;
  json_t *value;
  json_object_foreach(in->object, key, value) {
    SP_TRY(check_key(in, key, policy));
  }
  return SP_OK;
}

static enum sp_status need(const struct sp_config_reader *in, const char *key) {
  return sp_config_get(in, key)
             ? SP_OK
             : sp_fail(in->err, SP_EMODEL, "%s: %s%s is missing", in->place, in->prefix, key);
}

static enum sp_status read_policy(const struct sp_config_reader *in, enum sp_mask_policy *out) {
  const char *text = NULL;
  SP_TRY(need(in, "policy"));
  SP_TRY(sp_config_text(in, "policy", "", &text));
  for (int p = 0; p <= SP_MASK_DYNAMIC; p++) {
    if (strcmp(text, sp_lookahead_policy_name((enum sp_mask_policy)p)) == 0) {
      *out = (enum sp_mask_policy)p;
      return SP_OK;
    }
  }
  return sp_config_refuse(
      in, "policy", "\"full\", \"causal\", \"layerwise\", \"chunked\" or \"dynamic\" is needed");
}

static enum sp_status read_layers(const struct sp_config_reader *in, size_t layers, size_t max,
                                  struct sp_lookahead *out) {
  json_t *list = sp_config_get(in, "layers");
  char why[96];
  bool ahead = false;
  if (!json_is_array(list) || json_array_size(list) != layers) {
    snprintf(why, sizeof why, "a list of %zu numbers is needed, one a layer", layers);
    return sp_config_refuse(in, "layers", why);
  }
  for (size_t l = 0; l < layers; l++) {
    json_t *item = json_array_get(list, l);
    json_int_t reach = json_integer_value(item);
    if (!json_is_integer(item) || reach < 0 || (uint64_t)reach > max) {
      snprintf(why, sizeof why, "whole numbers from 0 to max, %zu, are needed", max);
      return sp_config_refuse(in, "layers", why);
    }
    out->reach[l] = (uint32_t)reach;
    ahead = ahead || reach > 0;
  }
  out->n_reach = layers;
  return ahead || out->policy == SP_MASK_LAYERWISE
             ? SP_OK
             : sp_config_refuse(in, "layers",
                                "no layer looks ahead; the policy of that is \"causal\"");
}

static enum sp_status read_reach(const struct sp_config_reader *in,
                                 const struct sp_model_config *config, struct sp_lookahead *out) {
  bool chunk = out->policy == SP_MASK_CHUNKED;
  const char *key = chunk ? "chunk" : "max";
  size_t reach = 0;
  if (out->policy == SP_MASK_FULL || out->policy == SP_MASK_CAUSAL) {
    return SP_OK;
  }
  SP_TRY(need(in, key));
  SP_TRY(sp_config_size(in, key, 0, chunk ? config->max_positions : SP_MAX_REACH, &reach));
  out->n_reach = 1;
  out->reach[0] = (uint32_t)reach;
  if (sp_config_get(in, "layers")) {
    SP_TRY(read_layers(in, config->layers, reach, out));
  }
  sp_lookahead_simplify(out);
  return SP_OK;
}

static enum sp_status read_cells(const struct sp_config_reader *in, struct sp_lookahead *out) {
  static const struct sp_config_word cells[] = {{"independent", false}, {"span", true}, {NULL, 0}};
  json_t *tau = sp_config_get(in, "tau");
  int span = 0;
  SP_TRY(sp_config_choose(in, "cells", cells, "\"independent\" or \"span\" is needed", &span));
  out->span = span;
  if (!tau) {
    return SP_OK;
  }
  if (!out->span) {
    return sp_config_refuse(in, "tau", "only \"cells\": \"span\" has it");
  }
  double value = json_number_value(tau);
  out->tau = (float)value;
  return json_is_number(tau) && value <= FLT_MAX && out->tau > 0.0f
             ? SP_OK
             : sp_config_refuse(in, "tau",
                                "a number over 0 is needed, and no more than a float holds");
}

static enum sp_status read_scheduler(const struct sp_config_reader *in,
                                     struct sp_model_config *out) {
  static const struct sp_config_word acts[] = {{"tanh", SP_ACT_TANH},
                                               {"gelu", SP_ACT_GELU_ERF},
                                               {"gelu_new", SP_ACT_GELU_TANH},
                                               {"relu", SP_ACT_RELU},
                                               {NULL, 0}};
  int act = 0;
  SP_TRY(read_cells(in, &out->lookahead));
  SP_TRY(sp_config_size(in, "hidden_size", 0, 65536, &out->scheduler_hidden));
  SP_TRY(sp_config_choose(in, "hidden_act", acts,
                          "\"tanh\", \"gelu\", \"gelu_new\" or \"relu\" is needed", &act));
  out->scheduler_act = (enum sp_activation)act;
  return out->scheduler_hidden > 0 || !sp_config_get(in, "hidden_act")
             ? SP_OK
             : sp_config_refuse(in, "hidden_act", "only a scheduler with hidden_size has it");
}

static enum sp_status read_cls(const struct sp_config_reader *in, struct sp_lookahead *out) {
  static const struct sp_config_word rows[] = {{"first", false}, {"last", true}, {NULL, 0}};
  static const struct sp_config_word views[] = {{"bound", SP_CLS_BOUND},
                                                {"last-layer", SP_CLS_LAST_LAYER},
                                                {"hidden", SP_CLS_HIDDEN},
                                                {NULL, 0}};
  int last = 0, view = 0;
  SP_TRY(sp_config_choose(in, "cls", rows, "\"first\" or \"last\" is needed", &last));
  SP_TRY(sp_config_choose(in, "cls_view", views,
                          "\"bound\", \"last-layer\" or \"hidden\" is needed", &view));
  out->cls_last = last;
  out->cls_view = (enum sp_cls_view)view;
  return SP_OK;
}

enum sp_status sp_config_read_lookahead(const struct sp_config_reader *root,
                                        struct sp_model_config *out) {
  struct sp_lookahead *rule = &out->lookahead;
  struct sp_config_reader in = {sp_config_get(root, "lookahead"), root->place, "lookahead.",
                                root->err};
  *rule = (struct sp_lookahead){.policy = SP_MASK_FULL, .tau = 1.0f};
  out->scheduler_act = SP_ACT_TANH;
  if (!in.object) {
    return SP_OK;
  }
  if (!json_is_object(in.object)) {
    return sp_config_refuse(root, "lookahead", "an object is needed");
  }
  SP_TRY(read_policy(&in, &rule->policy));
  SP_TRY(check_keys(&in, rule->policy));
  SP_TRY(read_reach(&in, out, rule));
  SP_TRY(sp_config_size(&in, "left", 0, out->max_positions, &rule->left));
  SP_TRY(read_scheduler(&in, out));
  return read_cls(&in, rule);
}
