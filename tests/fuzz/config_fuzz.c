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
  return 0;
}
