#include "settings.h"

#include <string.h>

#include "forward.h"
#include "utf8_valid.h"

static const char *const long_names[] = {"null", "error", "truncate"};
static const char *const case_names[] = {"auto", "keep", "lower"};
static const char *const sign_names[] = {"auto", "logprob", "cost"};
static const char *const compute_names[] = {"f32", "bf16"};

const char *sp_on_long_name(enum sp_on_long on_long) {
  return long_names[on_long];
}
const char *sp_letter_case_name(enum sp_letter_case c) {
  return case_names[c];
}
const char *sp_compute_name(enum sp_compute compute) {
  return compute_names[compute];
}

/* Index of `text` in `names`; NULL text is index 0. */
static enum sp_status choose(const char *option, const char *text, const char *const *names,
                             size_t n, int *out, struct sp_error *err) {
  char list[128] = "";
  for (size_t i = 0; i < n; i++) {
    if (!text || strcmp(text, names[i]) == 0) {
      *out = (int)i;
      return SP_OK;
    }
    strncat(list, i ? ", " : "", sizeof list - strlen(list) - 1);
    strncat(list, names[i], sizeof list - strlen(list) - 1);
  }
  return sp_fail(err, SP_EUSAGE, "%s '%s' is unknown; it takes one of: %s", option, text, list);
}

typedef enum sp_status (*word_fn)(const char *word, size_t len, unsigned *bits,
                                  struct sp_error *err);

/* Calls `each` for every comma-separated word. */
static enum sp_status each_word(const char *option, const char *text, word_fn each, unsigned *bits,
                                struct sp_error *err) {
  for (const char *at = text;;) {
    size_t len = strcspn(at, ",");
    if (len == 0) {
      return sp_fail(err, SP_EUSAGE, "%s '%s' has an empty name", option, text);
    }
    SP_TRY(each(at, len, bits, err));
    if (at[len] == '\0') {
      return SP_OK;
    }
    at += len + 1;
  }
}

static enum sp_status add_method(const char *word, size_t len, unsigned *bits,
                                 struct sp_error *err) {
  for (int m = 0; m < SP_METHOD_COUNT; m++) {
    const char *key = sp_method_key((enum sp_method)m);
    if (strlen(key) == len && memcmp(word, key, len) == 0) {
      *bits |= 1u << m;
      return SP_OK;
    }
  }
  return sp_fail(err, SP_EUSAGE, "method '%.*s' is unknown; it takes pll, pll_l2r, cls, maskless",
                 (int)len, word);
}

const char *const sp_saving_names[] = {"head", "trim", "pack", "dedupe", "nodes"};

static enum sp_status drop_saving(const char *word, size_t len, unsigned *bits,
                                  struct sp_error *err) {
  for (size_t i = 0; i < SP_N_SAVINGS; i++) {
    const char *name = sp_saving_names[i];
    if (strlen(name) == len && memcmp(word, name, len) == 0) {
      *bits &= ~(1u << i);
      return SP_OK;
    }
  }
  return sp_fail(err, SP_EUSAGE, "--without '%.*s' is unknown; it takes head, trim, pack, dedupe",
                 (int)len, word);
}

static enum sp_status resolve_dtype(const char *text, struct sp_settings *out,
                                    struct sp_error *err) {
  static const char *const names[] = {"auto", "f32", "bf16"};
  int dtype = 0;
  SP_TRY(choose("--dtype", text, names, 3, &dtype, err));
  out->dtype_auto = dtype == 0;
  out->compute = dtype == 2 ? SP_COMPUTE_BF16 : SP_COMPUTE_F32;
  return SP_OK;
}

static enum sp_status resolve_eos(const char *text, struct sp_settings *out, struct sp_error *err) {
  if (!text) {
    return SP_OK;
  }
  out->eos = (struct sp_text){text, strlen(text)};
  if (out->eos.len == 0 || !sp_utf8_valid(out->eos)) {
    return sp_fail(err, SP_EUSAGE, "--eos takes a text of valid UTF-8 that is not empty");
  }
  return SP_OK;
}

/* Costs that are no numbers, and costs of what is not measured. */
static enum sp_status check_latency(const struct sp_score_options *options, struct sp_error *err) {
  const struct {
    const char *name;
    double value;
  } costs[] = {{"--capacity", options->capacity},
               {"--node-cost", options->node_cost},
               {"--key-cost", options->key_cost},
               {"--scheduler-cost", options->scheduler_cost}};
  for (size_t i = 0; i < sizeof costs / sizeof *costs; i++) {
    if (!(costs[i].value >= 0 && costs[i].value <= SP_COST_CEILING)) {
      return sp_fail(err, SP_EUSAGE, "%s takes a number from 0 to %g", costs[i].name,
                     SP_COST_CEILING);
    }
    if (costs[i].value > 0 && !options->latency) {
      return sp_fail(err, SP_EUSAGE, "%s needs --latency", costs[i].name);
    }
  }
  return SP_OK;
}

enum sp_status sp_settings_set_mask(struct sp_settings *settings, const char *text, bool force,
                                    struct sp_error *err) {
  bool own = !text || strcmp(text, "model") == 0;
  settings->mask_text = own ? NULL : text;
  settings->force_mask = force;
  return own ? SP_OK : sp_lookahead_parse(text, &settings->mask, err);
}

enum sp_status sp_settings_resolve(const struct sp_score_options *options, struct sp_settings *out,
                                   struct sp_error *err) {
  int choice = 0;
  *out = (struct sp_settings){.options = options, .savings = SP_SAVING_ALL};
  if (!options->model) {
    return sp_fail(err, SP_EUSAGE, "no model directory was given (--model DIR)");
  }
  if (options->n_archives == 0) {
    return sp_fail(err, SP_EUSAGE, "no archive was given");
  }
  SP_TRY(sp_archive_format_parse(options->format ? options->format : "auto", &out->archive.format,
                                 err));
  out->archive.tsv = options->tsv;
  out->archive.beam_size = options->beam_size;
  SP_TRY(each_word("--method", options->methods ? options->methods : "pll", add_method,
                   &out->methods, err));
  SP_TRY(choose("--on-long", options->on_long, long_names, 3, &choice, err));
  out->on_long = (enum sp_on_long)choice;
  SP_TRY(choose("--case", options->letter_case, case_names, 3, &choice, err));
  out->letter_case = (enum sp_letter_case)choice;
  SP_TRY(choose("--cls-sign", options->cls_sign, sign_names, 3, &choice, err));
  out->cls_sign = (enum sp_cls_sign)choice;
  if (options->without) {
    SP_TRY(each_word("--without", options->without, drop_saving, &out->savings, err));
  }
  SP_TRY(sp_settings_set_mask(out, options->mask, options->force_mask, err));
  SP_TRY(resolve_dtype(options->dtype, out, err));
  SP_TRY(resolve_eos(options->eos, out, err));
  SP_TRY(check_latency(options, err));
  out->trace = options->latency;
  out->threads = options->threads ? options->threads : sp_usable_cpus();
  if (out->threads > 1024) {
    return sp_fail(err, SP_EUSAGE, "--threads %zu is too many (1024 at most)", out->threads);
  }
  if (options->batch_tokens > (size_t)1 << 24) {
    return sp_fail(err, SP_EUSAGE, "--batch-tokens %zu is too many (%zu at most)",
                   options->batch_tokens, (size_t)1 << 24);
  }
  return SP_OK;
}
