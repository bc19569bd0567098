/* model.c - `secondpass model`: what a model directory holds and which methods it can score. */
#include <stdlib.h>

#include "checkpoint.h"
#include "commands.h"
#include "output.h"
#include "score_line.h"
#include "tokenizer.h"

enum { extra_shown = 10 };

struct model_args {
  bool json;
};

struct model_facts {
  struct sp_checkpoint *checkpoint;
  struct sp_tokenizer *tokenizer;
  const struct sp_tokenizer_info *tokens;
  size_t padding_ids; /* ids of the embeddings that the vocabulary does not have */
  size_t max_tokens;  /* of one hypothesis, without [CLS] and [SEP] */
};

static void close_model(struct model_facts *facts) {
  sp_tokenizer_close(facts->tokenizer);
  if (facts->checkpoint) {
    sp_checkpoint_close(facts->checkpoint);
  }
}

static enum sp_status open_model(const char *directory, struct model_facts *facts,
                                 struct sp_error *err) {
  SP_TRY(sp_checkpoint_open(directory, &facts->checkpoint, err));
  SP_TRY(sp_tokenizer_open(directory, &facts->tokenizer, err));
  facts->tokens = sp_tokenizer_get_info(facts->tokenizer);
  const struct sp_model_config *config = &facts->checkpoint->config;
  facts->max_tokens = sp_model_max_tokens(config);
  SP_TRY(sp_model_check_vocabulary(config, directory, facts->tokens->source,
                                   facts->tokens->vocab_size, err));
  facts->padding_ids = config->vocab_size - facts->tokens->vocab_size;
  return SP_OK;
}

/* What keeps a model from a method; NULL: nothing. */
static const char *missing_for(const struct model_facts *facts, enum sp_method method) {
  if (method == SP_CLS) {
    return facts->checkpoint->has_cls ? NULL : "a scalar head";
  }
  if (!facts->checkpoint->has_mlm) {
    return "a masked-LM head";
  }
  return method != SP_MASKLESS && facts->tokens->mask < 0 ? "[MASK] in the vocabulary" : NULL;
}

static const char *case_reason(const struct sp_tokenizer_info *tokens) {
  return tokens->lowercase_from_config ? "tokenizer's config" : "vocabulary";
}

static void print_sizes(const struct sp_checkpoint *checkpoint) {
  const struct sp_model_config *config = &checkpoint->config;
  sp_row("architecture", "%s", config->arch_text);
  sp_row("layers", "%zu of width %zu, %zu heads of %zu, feed-forward %zu (%s)", config->layers,
         config->hidden, config->heads, config->head_dim, config->ffn,
         sp_activation_name(config->act));
  sp_row("layer norm epsilon", "%g", (double)config->layer_norm_eps);
  sp_row("positions", "%zu", config->max_positions);
  sp_row("vocabulary ids", "%s", sp_number(config->vocab_size).text);
  sp_row("parameters", "%s (stored as %s)", sp_number(checkpoint->parameters).text,
         sp_dtype_name(checkpoint->dtype));
  sp_row("hash", "%s", checkpoint->hash);
}

/* "3", or "5,0,2" where layers differ. */
static void reach_text(const struct sp_lookahead *rule, char *out, size_t capacity) {
  size_t at = 0;
  *out = '\0';
  for (size_t l = 0; l < rule->n_reach && at < capacity; l++) {
    at += (size_t)snprintf(out + at, capacity - at, "%s%u", l ? "," : "", rule->reach[l]);
  }
}

static void print_scheduler(const struct sp_checkpoint *checkpoint) {
  const struct sp_model_config *config = &checkpoint->config;
  char hidden[64] = "";
  if (config->scheduler_hidden > 0) {
    snprintf(hidden, sizeof hidden, ", hidden layer of %zu (%s)", config->scheduler_hidden,
             sp_activation_name(config->scheduler_act));
  }
  sp_row("schedulers", "%s parameters, %s cells%s",
         sp_number(checkpoint->scheduler_parameters).text,
         config->lookahead.span ? "span" : "independent", hidden);
}

static void print_cls_row(const struct sp_model_config *config) {
  const struct sp_lookahead *rule = &config->lookahead;
  size_t most = sp_model_max_tokens(config);
  size_t seen = sp_lookahead_cls_tokens(rule, config->layers, most + 2);
  char depends[64] = "";
  if (seen == 0) {
    snprintf(depends, sizeof depends, ": nothing of the text");
  } else if (seen < most) {
    snprintf(depends, sizeof depends, ": the %s %zu tokens at most",
             rule->cls_last ? "last" : "first", seen);
  }
  sp_row("cls row", "%s, sees %s%s", rule->cls_last ? "last" : "first",
         rule->cls_view == SP_CLS_BOUND        ? "no more than any row"
         : rule->cls_view == SP_CLS_LAST_LAYER ? "everything in the last layer"
                                               : "everything, and no other row sees it",
         depends);
}

static void print_lookahead(const struct sp_checkpoint *checkpoint) {
  const struct sp_lookahead *rule = &checkpoint->config.lookahead;
  char reach[SP_LOOKAHEAD_TEXT];
  struct sp_phrase left = {"all of the past"};
  reach_text(rule, reach, sizeof reach);
  if (rule->policy == SP_MASK_FULL) {
    sp_row("lookahead", "full: every position sees every other");
    return;
  }
  if (rule->left > 0) {
    left = sp_count_of(rule->left, "past position", "past positions");
  }
  sp_row("lookahead", "%s%s%s; %s", sp_lookahead_policy_name(rule->policy), *reach ? ":" : "",
         reach, left.text);
  print_cls_row(&checkpoint->config);
  if (rule->policy == SP_MASK_DYNAMIC) {
    print_scheduler(checkpoint);
  }
}

static void print_heads(const struct sp_checkpoint *checkpoint) {
  if (checkpoint->has_mlm) {
    sp_row("masked-LM head", "%s decoder", checkpoint->mlm.tied ? "tied" : "own");
  } else {
    sp_row("masked-LM head", "none");
  }
  if (checkpoint->has_cls) {
    sp_row("scalar head", "%zu dense layer%s%s, trained as a %s", checkpoint->cls.n_layers,
           checkpoint->cls.n_layers == 1 ? "" : "s", checkpoint->cls.pooler ? " with pooler" : "",
           checkpoint->config.score_kind == SP_SCORE_COST ? "cost" : "log-probability");
  } else {
    sp_row("scalar head", "none");
  }
}

static void print_tokenizer(const struct model_facts *facts) {
  const struct sp_tokenizer_info *tokens = facts->tokens;
  sp_row("tokenizer", "%s of %s pieces from %s", tokens->kind, sp_number(tokens->vocab_size).text,
         tokens->source);
  sp_row("letter case", "%s (from the %s)", tokens->lowercase ? "lowered" : "kept",
         case_reason(tokens));
  sp_row("accents", "%s", tokens->strip_accents ? "stripped" : "kept");
  sp_row("special ids", "[CLS] %d, [SEP] %d, [MASK] %d, [PAD] %d, [UNK] %d", (int)tokens->cls,
         (int)tokens->sep, (int)tokens->mask, (int)tokens->pad, (int)tokens->unk);
  sp_row("longest hypothesis", "%s", sp_count_of(facts->max_tokens, "token", "tokens").text);
  if (facts->padding_ids > 0) {
    sp_row("padding ids", "%zu at the end, without a piece", facts->padding_ids);
  }
}

static void print_extra(const struct sp_checkpoint *checkpoint) {
  if (checkpoint->n_extra > 0) {
    sp_row("ignored tensors", "%zu", checkpoint->n_extra);
  }
  for (size_t i = 0; i < checkpoint->n_extra && i < extra_shown; i++) {
    sp_row("", "%s", checkpoint->extra[i]);
  }
  if (checkpoint->n_extra > extra_shown) {
    sp_row("", "and %zu more", checkpoint->n_extra - extra_shown);
  }
}

static void print_table(const struct model_facts *facts) {
  print_sizes(facts->checkpoint);
  print_lookahead(facts->checkpoint);
  print_heads(facts->checkpoint);
  print_tokenizer(facts);
  for (int method = 0; method < SP_METHOD_COUNT; method++) {
    const char *missing = missing_for(facts, (enum sp_method)method);
    char label[32];
    snprintf(label, sizeof label, "method %s", sp_method_key((enum sp_method)method));
    sp_row(label, "%s%s", missing ? "no: the model lacks " : "yes", missing ? missing : "");
  }
  print_extra(facts->checkpoint);
}

static json_t *integer(size_t value) {
  return json_integer((json_int_t)value);
}

static json_t *methods_json(const struct model_facts *facts) {
  json_t *object = json_object();
  for (int i = 0; i < SP_METHOD_COUNT; i++) {
    const char *missing = missing_for(facts, (enum sp_method)i);
    json_t *entry = json_object();
    json_object_set_new(entry, "available", json_boolean(!missing));
    json_object_set_new(entry, "missing", missing ? json_string(missing) : json_null());
    json_object_set_new(object, sp_method_key((enum sp_method)i), entry);
  }
  return object;
}

static json_t *tokenizer_json(const struct model_facts *facts) {
  const struct sp_tokenizer_info *tokens = facts->tokens;
  json_t *object = json_object();
  json_object_set_new(object, "kind", sp_json_text(tokens->kind));
  json_object_set_new(object, "source", sp_json_text(tokens->source));
  json_object_set_new(object, "pieces", integer(tokens->vocab_size));
  json_object_set_new(object, "lowercase", json_boolean(tokens->lowercase));
  json_object_set_new(object, "lowercase_from", json_string(case_reason(tokens)));
  json_object_set_new(object, "strip_accents", json_boolean(tokens->strip_accents));
  json_object_set_new(object, "split_cjk", json_boolean(tokens->split_cjk));
  json_object_set_new(object, "clean_text", json_boolean(tokens->clean_text));
  json_object_set_new(object, "cls", json_integer(tokens->cls));
  json_object_set_new(object, "sep", json_integer(tokens->sep));
  json_object_set_new(object, "mask", json_integer(tokens->mask));
  json_object_set_new(object, "pad", json_integer(tokens->pad));
  json_object_set_new(object, "unk", json_integer(tokens->unk));
  json_object_set_new(object, "padding_ids", integer(facts->padding_ids));
  json_object_set_new(object, "max_tokens", integer(facts->max_tokens));
  return object;
}

static json_t *config_json(const struct sp_model_config *config) {
  json_t *object = json_object();
  json_object_set_new(object, "layers", integer(config->layers));
  json_object_set_new(object, "hidden", integer(config->hidden));
  json_object_set_new(object, "heads", integer(config->heads));
  json_object_set_new(object, "head_dim", integer(config->head_dim));
  json_object_set_new(object, "ffn", integer(config->ffn));
  json_object_set_new(object, "vocab_size", integer(config->vocab_size));
  json_object_set_new(object, "max_positions", integer(config->max_positions));
  json_object_set_new(object, "activation", json_string(sp_activation_name(config->act)));
  char eps[32]; /* as the config wrote it: the float's own digits would be 9.99999996e-13 */
  snprintf(eps, sizeof eps, "%.6g", (double)config->layer_norm_eps);
  json_object_set_new(object, "layer_norm_eps", sp_json_real(strtod(eps, NULL)));
  return object;
}

static json_t *reach_json(const struct sp_model_config *config) {
  const struct sp_lookahead *rule = &config->lookahead;
  json_t *list = json_array();
  for (size_t l = 0; rule->n_reach > 0 && l < config->layers; l++) {
    json_array_append_new(list, integer(sp_lookahead_reach(rule, l)));
  }
  return list;
}

static json_t *lookahead_json(const struct sp_checkpoint *checkpoint) {
  const struct sp_model_config *config = &checkpoint->config;
  const struct sp_lookahead *rule = &config->lookahead;
  bool dynamic = rule->policy == SP_MASK_DYNAMIC;
  char text[SP_LOOKAHEAD_TEXT];
  json_t *object = json_object();
  sp_lookahead_print(rule, text, sizeof text);
  json_object_set_new(object, "mask", json_string(text));
  json_object_set_new(object, "policy", json_string(sp_lookahead_policy_name(rule->policy)));
  json_object_set_new(object, "reach", reach_json(config));
  json_object_set_new(object, "left", rule->left ? integer(rule->left) : json_null());
  json_object_set_new(object, "cls", json_string(rule->cls_last ? "last" : "first"));
  json_object_set_new(object, "cls_view", json_string(sp_lookahead_cls_view_name(rule)));
  json_object_set_new(object, "cells",
                      dynamic ? json_string(rule->span ? "span" : "independent") : json_null());
  json_object_set_new(object, "tau", rule->span ? sp_json_real((double)rule->tau) : json_null());
  json_object_set_new(object, "scheduler_hidden",
                      dynamic ? integer(config->scheduler_hidden) : json_null());
  json_object_set_new(object, "scheduler_parameters",
                      json_integer((json_int_t)checkpoint->scheduler_parameters));
  return object;
}

static json_t *heads_json(const struct sp_checkpoint *checkpoint) {
  json_t *heads = json_object();
  json_object_set_new(heads, "mlm", json_boolean(checkpoint->has_mlm));
  json_object_set_new(heads, "cls", json_boolean(checkpoint->has_cls));
  json_object_set_new(heads, "pooler", json_boolean(checkpoint->has_cls && checkpoint->cls.pooler));
  json_object_set_new(heads, "tied_decoder",
                      json_boolean(checkpoint->has_mlm && checkpoint->mlm.tied));
  return heads;
}

static void add_model(json_t *object, const struct model_facts *facts) {
  const struct sp_checkpoint *checkpoint = facts->checkpoint;
  json_t *extra = json_array();
  for (size_t i = 0; i < checkpoint->n_extra; i++) {
    json_array_append_new(extra, sp_json_text(checkpoint->extra[i]));
  }
  json_object_set_new(object, "architecture", sp_json_text(checkpoint->config.arch_text));
  json_object_set_new(object, "config", config_json(&checkpoint->config));
  json_object_set_new(object, "parameters", json_integer((json_int_t)checkpoint->parameters));
  json_object_set_new(object, "dtype", json_string(sp_dtype_name(checkpoint->dtype)));
  json_object_set_new(object, "hash", json_string(checkpoint->hash));
  json_object_set_new(object, "lookahead", lookahead_json(checkpoint));
  json_object_set_new(object, "heads", heads_json(checkpoint));
  json_object_set_new(object, "methods", methods_json(facts));
  json_object_set_new(object, "tokenizer", tokenizer_json(facts));
  json_object_set_new(object, "ignored_tensors", extra);
}

static enum sp_status print_json(const struct model_facts *facts, const char *directory,
                                 enum sp_status status, struct sp_error *err) {
  json_t *object = sp_json_begin("model", status, err);
  json_object_set_new(object, "model", sp_json_text(directory));
  if (status == SP_OK) {
    add_model(object, facts);
  }
  struct sp_error lost;
  enum sp_status printed = sp_json_print(object, stdout, status == SP_OK ? err : &lost);
  return status == SP_OK ? printed : status;
}

static enum sp_status run_model(const void *values, const struct sp_operands *operands,
                                struct sp_error *err) {
  const struct model_args *args = values;
  const char *directory = operands->items[0];
  struct model_facts facts = {0};
  enum sp_status status = open_model(directory, &facts, err);
  if (args->json) {
    status = print_json(&facts, directory, status, err);
  } else if (status == SP_OK) {
    print_table(&facts);
  }
  close_model(&facts);
  return status;
}

static const struct sp_opt options[] = {
    {.name = "json",
     .kind = SP_OPT_FLAG,
     .offset = offsetof(struct model_args, json),
     .help = "print one JSON object"},
};
static const struct sp_opt_group group = {"Options", options, sizeof options / sizeof *options};
static const struct sp_opt_group *const groups[] = {&group, NULL};

const struct sp_command sp_command_model = {
    .name = "model",
    .summary = "shows what was read of a model directory",
    .example = "secondpass model bert-base-uncased",
    .usage = "[--json] DIR",
    .description =
        "Reads a Hugging Face model directory whole, as `score` does: architecture, sizes, heads, "
        "tokenizer, hash, and which methods it can score. Exit code 4: it is damaged, incomplete "
        "or not supported; the message names the file, the tensor or the setting.",
    .groups = groups,
    .values_bytes = sizeof(struct model_args),
    .min_operands = 1,
    .max_operands = 1,
    .run = run_model,
};
