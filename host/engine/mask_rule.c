#include "mask_rule.h"

/* The rule that the words come to on this model. The window belongs to the policy; which row is scored
 * is the head's, and what it sees is more than the others only where these see less than everything. */
static struct sp_lookahead complete(const struct sp_lookahead *words,
                                    const struct sp_lookahead *trained) {
  struct sp_lookahead rule = *words;
  sp_lookahead_simplify(&rule);
  if (rule.policy == trained->policy) {
    rule.left = trained->left;
  }
  rule.cls_last = trained->cls_last;
  if (rule.policy != SP_MASK_FULL) {
    rule.cls_view = trained->cls_view;
  }
  return rule;
}

enum sp_status sp_mask_rule_choose(const struct sp_settings *settings,
                                   const struct sp_model_config *config, struct sp_lookahead *out,
                                   bool *forced, struct sp_error *err) {
  const struct sp_lookahead *words = &settings->mask, *trained = &config->lookahead;
  const char *text = settings->mask_text;
  char name[SP_LOOKAHEAD_TEXT];
  *out = *trained;
  *forced = false;
  if (!text) {
    return SP_OK;
  }
  sp_lookahead_print(trained, name, sizeof name);
  if (words->policy == SP_MASK_DYNAMIC) {
    return trained->policy == SP_MASK_DYNAMIC
               ? SP_OK
               : sp_fail(err, SP_EMODEL,
                         "%s: --mask dynamic needs a model with lookahead schedulers; this one has "
                         "none, its mask is %s",
                         settings->options->model, name);
  }
  if (words->n_reach > 1 && words->n_reach != config->layers) {
    return sp_fail(err, SP_EUSAGE, "--mask %s has values for %zu layers, but the model %s has %zu",
                   text, words->n_reach, settings->options->model, config->layers);
  }
  struct sp_lookahead rule = complete(words, trained);
  *forced = !sp_lookahead_equal(&rule, trained);
  if (*forced && !settings->force_mask) {
    return sp_fail(err, SP_EUSAGE,
                   "--mask %s contradicts the model %s, which was trained with %s; --force-mask "
                   "scores with it all the same",
                   text, settings->options->model, name);
  }
  *out = rule;
  return SP_OK;
}
