/* Any bytes as config.json: refused, or every size is within its limits. */
#include <math.h>
#include <stdlib.h>

#include "config.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

static void check_lookahead(const struct sp_model_config *config) {
  const struct sp_lookahead *rule = &config->lookahead;
  bool chunked = rule->policy == SP_MASK_CHUNKED, dynamic = rule->policy == SP_MASK_DYNAMIC;
  bool reaching = chunked || dynamic || rule->policy == SP_MASK_LAYERWISE;
  check(rule->n_reach == 1 || rule->n_reach == (reaching ? config->layers : 0));
  for (size_t l = 0; l < rule->n_reach; l++) {
    check(rule->reach[l] <= (chunked ? config->max_positions : SP_MAX_REACH));
    check(rule->reach[l] > 0 || rule->n_reach > 1);
  }
  check(rule->left <= config->max_positions && rule->tau > 0.0f && isfinite(rule->tau));
  check(config->scheduler_hidden <= (dynamic ? 65536 : 0) && config->scheduler_act != SP_ACT_NONE);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  struct sp_text json = {(const char *)data, size};
  struct sp_model_config config;
  struct sp_error err = {0};
  if (sp_model_config_parse(json, "input", &config, &err) != SP_OK) {
    check(err.status == SP_EMODEL && err.message[0] != '\0');
    return 0;
  }
  check(config.layers >= 1 && config.layers <= 512);
  check(config.heads >= 1 && config.head_dim * config.heads == config.hidden);
  check(config.hidden <= 65536 && config.ffn >= 1 && config.ffn <= 262144);
  check(config.vocab_size >= 1 && config.vocab_size <= 1 << 24);
  check(config.max_positions >= 1 && config.max_positions <= 1 << 20);
  check(config.layer_norm_eps > 0.0f && isfinite(config.layer_norm_eps));
  check(config.act != SP_ACT_NONE && config.act != SP_ACT_TANH);
  check_lookahead(&config);
  return 0;
}
