/* training_model.c - what is trained: a model directory or a config, its lookahead, its first values. */
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "training_state.h"

/* An initialised scheduler looks ahead with probability 1 / (1 + exp(-1)). */
static const float scheduler_bias = 1.0f;
static const float initializer_range = 0.02f;

static bool wants_cls(const struct sp_training *t) {
  return t->settings->data.objective != SP_OBJECTIVE_MLM;
}

static enum sp_status copy_text(const char *directory, const char *name, char **out,
                                struct sp_error *err) {
  size_t room = strlen(directory) + strlen(name) + 2;
  *out = malloc(room);
  if (!*out) {
    return sp_fail_memory(err, room);
  }
  snprintf(*out, room, "%s%s%s", directory, *name ? "/" : "", name);
  return SP_OK;
}

/* ---- --lookahead ---- */

/* "dynamic:R[,R..]" makes schedulers; everything else is as `score --mask` reads it. */
static enum sp_status parse_rule(const char *text, struct sp_lookahead *out, struct sp_error *err) {
  char as_layerwise[SP_LOOKAHEAD_TEXT];
  bool reaches = strncmp(text, "dynamic:", 8) == 0;
  int length = snprintf(as_layerwise, sizeof as_layerwise, "layerwise:%s", reaches ? text + 8 : "");
  if ((size_t)length >= sizeof as_layerwise ||
      sp_lookahead_parse(reaches ? as_layerwise : text, out, NULL) != SP_OK) {
    return sp_fail(err, SP_EUSAGE,
                   "--lookahead '%s': it takes full, causal, chunked:C, or layerwise:R[,R..] or "
                   "dynamic:R[,R..] with R from 1 to %d (0 too in a list of one a layer)",
                   text, SP_MAX_REACH);
  }
  out->policy = reaches ? SP_MASK_DYNAMIC : out->policy;
  return SP_OK;
}

/* A list of reaches is one a layer. */
static bool fits_layers(const struct sp_lookahead *rule, size_t layers) {
  return rule->n_reach <= 1 || rule->n_reach == layers;
}

static enum sp_status apply_lookahead(struct sp_training *t, struct sp_model_config *config,
                                      struct sp_error *err) {
  const char *text = t->settings->lookahead, *cells = t->settings->lookahead_cells;
  if (text) {
    struct sp_lookahead rule;
    SP_TRY(parse_rule(text, &rule, err));
    if (rule.policy == SP_MASK_DYNAMIC && rule.n_reach == 0 &&
        config->lookahead.policy != SP_MASK_DYNAMIC) {
      return sp_fail(
          err, SP_EUSAGE,
          "--lookahead dynamic: the model has no schedulers; say how far new ones may look: "
          "dynamic:4");
    }
    if (rule.policy != SP_MASK_DYNAMIC || rule.n_reach != 0) {
      rule.left = config->lookahead.left;
      rule.cls_last = config->lookahead.cls_last;
      rule.cls_view = config->lookahead.cls_view;
      rule.tau = 1;
      config->lookahead = rule;
    }
  }
  if (!fits_layers(&config->lookahead, config->layers)) {
    return sp_fail(err, SP_EUSAGE, "--lookahead %s: the model has %zu layers",
                   text ? text : "of the model", config->layers);
  }
  if (cells && config->lookahead.policy != SP_MASK_DYNAMIC) {
    return sp_fail(
        err, SP_EUSAGE,
        "--lookahead-cells %s: the model has no schedulers; --lookahead dynamic:R makes them",
        cells);
  }
  if (cells) {
    config->lookahead.span = strcmp(cells, "span") == 0;
  }
  if (t->settings->cls_row) {
    config->lookahead.cls_last = strcmp(t->settings->cls_row, "last") == 0;
  }
  return SP_OK;
}

/* ---- where it begins ---- */

/* "0,2,5" as indices; *n of them, each below `layers`. */
static enum sp_status parse_layers(const char *text, size_t layers, uint32_t *out, size_t *n,
                                   struct sp_error *err) {
  const char *at = text;
  *n = 0;
  do {
    char *end;
    unsigned long value = strtoul(at, &end, 10);
    bool whole = *at >= '0' && *at <= '9' && (*end == '\0' || (*end == ',' && end[1] != '\0'));
    if (!whole || value >= layers || *n >= SP_MAX_LAYERS) {
      return sp_fail(err, SP_EUSAGE,
                     "--init-layers '%s': it takes layers of the model, from 0 to %zu, with commas",
                     text, layers - 1);
    }
    out[(*n)++] = (uint32_t)value;
    at = *end ? end + 1 : NULL;
  } while (at);
  return SP_OK;
}

static enum sp_status open_checkpoint(struct sp_training *t, struct sp_model_config *config,
                                      struct sp_error *err) {
  const struct sp_train_settings *s = t->settings;
  SP_TRY(sp_checkpoint_open(s->model, &t->checkpoint, err));
  *config = t->checkpoint->config;
  if (!wants_cls(t) && !t->checkpoint->has_mlm) {
    return sp_fail(err, SP_EMODEL,
                   "%s has no masked-language-model head; --objective mlm needs one", s->model);
  }
  if (s->init_layers) {
    uint32_t from[SP_MAX_LAYERS];
    SP_TRY(parse_layers(s->init_layers, config->layers, from, &config->layers, err));
  }
  SP_TRY(copy_text(s->model, "config.json", &t->config_from, err));
  return copy_text(s->vocab ? s->vocab : s->model, "", &t->tokenizer_from, err);
}

static enum sp_status open_config(struct sp_training *t, struct sp_model_config *config,
                                  struct sp_error *err) {
  struct sp_buf text = {0};
  enum sp_status status = sp_file_read(t->settings->config, &text, err);
  if (status == SP_OK) {
    status = sp_model_config_parse((struct sp_text){text.data, text.len}, t->settings->config,
                                   config, err);
  }
  sp_buf_release(&text);
  SP_TRY(status);
  SP_TRY(copy_text(t->settings->config, "", &t->config_from, err));
  return copy_text(t->settings->vocab, "", &t->tokenizer_from, err);
}

static enum sp_status check_source(const struct sp_train_settings *s, struct sp_error *err) {
  if (!s->model == !s->config) {
    return sp_fail(err, SP_EUSAGE,
                   "train takes either --model DIR (go on from it) or --config FILE "
                   "(from scratch)");
  }
  if (s->config && !s->vocab) {
    return sp_fail(err, SP_EUSAGE,
                   "--config needs --vocab DIR, a directory with a tokenizer "
                   "(`secondpass vocab` makes one)");
  }
  if (s->config && s->init_layers) {
    return sp_fail(err, SP_EUSAGE, "--init-layers needs --model, whose layers are taken");
  }
  return SP_OK;
}

/* A head whose row sees none of the text would learn one number for all. */
static enum sp_status check_cls_row(const struct sp_training *t,
                                    const struct sp_model_config *config, struct sp_error *err) {
  char rule[SP_LOOKAHEAD_TEXT];
  if (!wants_cls(t) ||
      sp_lookahead_cls_tokens(&config->lookahead, config->layers, config->max_positions) > 0) {
    return SP_OK;
  }
  sp_lookahead_print(&config->lookahead, rule, sizeof rule);
  return sp_fail(
      err, SP_EUSAGE,
      "under the mask %s the row that the cls head scores sees no token of a text; --cls last "
      "scores the one that has seen all",
      rule);
}

enum sp_status sp_training_open_model(struct sp_training *t, struct sp_error *err) {
  const struct sp_train_settings *s = t->settings;
  struct sp_model_config config;
  SP_TRY(check_source(s, err));
  SP_TRY(s->model ? open_checkpoint(t, &config, err) : open_config(t, &config, err));
  SP_TRY(apply_lookahead(t, &config, err));
  SP_TRY(check_cls_row(t, &config, err));
  SP_TRY(sp_tokenizer_open(t->tokenizer_from, &t->tokenizer, err));
  const struct sp_tokenizer_info *info = sp_tokenizer_get_info(t->tokenizer);
  SP_TRY(
      sp_model_check_vocabulary(&config, t->tokenizer_from, info->source, info->vocab_size, err));
  const struct sp_cls_head *like =
      wants_cls(t) && t->checkpoint && t->checkpoint->has_cls ? &t->checkpoint->cls : NULL;
  return sp_params_create(&config, !wants_cls(t), wants_cls(t), like, &t->params, err);
}

enum sp_status sp_training_fill_values(struct sp_training *t, struct sp_error *err) {
  const struct sp_train_settings *s = t->settings;
  uint32_t from[SP_MAX_LAYERS];
  size_t n;
  char fresh[400], note[480];
  sp_params_init(t->params, s->seed, initializer_range, scheduler_bias, t->host.param);
  if (!t->checkpoint) {
    return SP_OK;
  }
  if (s->init_layers) {
    SP_TRY(parse_layers(s->init_layers, t->checkpoint->config.layers, from, &n, err));
  }
  SP_TRY(sp_params_load(t->params, t->checkpoint, s->init_layers ? from : NULL, t->host.param,
                        fresh, sizeof fresh, err));
  if (fresh[0] && t->events->note) {
    snprintf(note, sizeof note, "new, not in %s: %s", s->model, fresh);
    t->events->note(t->events->arg, note);
  }
  return SP_OK;
}
