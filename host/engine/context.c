#include "context.h"

#include <stdio.h>
#include <string.h>

#include "checked.h"
#include "forward.h"

static enum sp_status check_vocabulary(const struct sp_settings *settings,
                                       const struct sp_context *context, struct sp_error *err) {
  const struct sp_tokenizer_info *info = sp_tokenizer_get_info(context->tokenizer);
  size_t have = info->vocab_size, want = context->config.vocab_size;
  SP_TRY(sp_model_check_vocabulary(&context->config, settings->options->model, info->source, have,
                                   err));
  if (have < want) {
    char text[160];
    snprintf(text, sizeof text, "the model has %zu padding ids after the %zu pieces of %s",
             want - have, have, info->source);
    sp_warn(settings->options, text);
  }
  return SP_OK;
}

static enum sp_status check_heads(const struct sp_settings *settings,
                                  const struct sp_checkpoint *checkpoint,
                                  const struct sp_tokenizer_info *info, struct sp_error *err) {
  unsigned mlm = settings->methods & ~(1u << SP_CLS);
  unsigned masked = settings->methods & (1u << SP_PLL | 1u << SP_PLL_L2R);
  if (mlm && !checkpoint->has_mlm) {
    return sp_fail(err, SP_EMODEL, "%s: method %s needs a masked-LM head, which the model lacks",
                   settings->options->model, sp_method_key((enum sp_method)__builtin_ctz(mlm)));
  }
  if ((settings->methods & 1u << SP_CLS) && !checkpoint->has_cls) {
    return sp_fail(err, SP_EMODEL,
                   "%s: method cls needs a classification head (one label), which "
                   "the model lacks",
                   settings->options->model);
  }
  if (masked && info->mask < 0) {
    return sp_fail(err, SP_EMODEL, "%s: method %s needs a [MASK] token, which the vocabulary lacks",
                   settings->options->model, sp_method_key((enum sp_method)__builtin_ctz(masked)));
  }
  return SP_OK;
}

/* About 64 MiB of activations a thread, whole tiles, and always room for the longest sequence. */
static struct sp_batch_limits choose_limits(const struct sp_settings *settings,
                                            const struct sp_model_config *config,
                                            const struct sp_device *device) {
  struct sp_batch_limits one = {.tokens = 4096};
  size_t per_token = sp_forward_bytes(config, device, &one) / one.tokens + 1;
  size_t tokens = ((size_t)64 << 20) / per_token / device->row_quantum * device->row_quantum;
  tokens = sp_max_size(2048, sp_min_size(tokens, 8192));
  if (settings->options->batch_tokens) {
    tokens = settings->options->batch_tokens;
  }
  tokens = sp_max_size(tokens, config->max_positions);
  return (struct sp_batch_limits){
      .tokens = tokens,
      .targets = sp_max_size(tokens, SP_PLAN_MAX_TARGETS * config->max_positions)};
}

static enum sp_status open_device(const struct sp_settings *settings, struct sp_context *out,
                                  struct sp_error *err) {
  const struct sp_backend *backend;
  const char *spec;
  enum sp_compute compute = settings->compute;
  const char *device = settings->options->device ? settings->options->device : "cpu";
  SP_TRY(sp_backend_find(device, &backend, &spec, err));
  if (settings->dtype_auto) {
    struct sp_cpu_facts facts;
    sp_cpu_get_facts(&facts);
    bool fast = facts.amx || facts.avx512_bf16;
    compute = fast || strcmp(backend->name, "cpu") != 0 ? SP_COMPUTE_BF16 : SP_COMPUTE_F32;
  }
  return backend->open(spec, compute, &out->device, err);
}

static enum sp_status open_model(const struct sp_settings *settings, struct sp_context *out,
                                 struct sp_checkpoint *checkpoint, struct sp_error *err) {
  out->config = checkpoint->config;
  memcpy(out->model_hash, checkpoint->hash, sizeof out->model_hash);
  out->max_tokens = sp_model_max_tokens(&checkpoint->config);
  out->negate_cls =
      settings->cls_sign == SP_SIGN_COST ||
      (settings->cls_sign == SP_SIGN_AUTO && checkpoint->config.score_kind == SP_SCORE_COST);
  SP_TRY(sp_tokenizer_open(settings->options->model, &out->tokenizer, err));
  SP_TRY(sp_checkpoint_check_unchanged(checkpoint, settings->options->model, err));
  SP_TRY(check_vocabulary(settings, out, err));
  SP_TRY(check_heads(settings, checkpoint, sp_tokenizer_get_info(out->tokenizer), err));
  SP_TRY(open_device(settings, out, err));
  if (out->config.head_dim > out->device->max_head_dim) {
    return sp_fail(err, SP_EMODEL, "%s: attention heads of %zu dimensions; %zu are supported",
                   settings->options->model, out->config.head_dim, out->device->max_head_dim);
  }
  out->limits = choose_limits(settings, &out->config, out->device);
  return sp_weights_create(out->device, checkpoint, (settings->methods & ~(1u << SP_CLS)) != 0,
                           (settings->methods & 1u << SP_CLS) != 0, &out->weights, err);
}

enum sp_status sp_context_open(const struct sp_settings *settings, struct sp_context *out,
                               struct sp_error *err) {
  struct sp_checkpoint *checkpoint;
  *out = (struct sp_context){0};
  SP_TRY(sp_checkpoint_open(settings->options->model, &checkpoint, err));
  enum sp_status status = open_model(settings, out, checkpoint, err);
  sp_checkpoint_close(checkpoint);
  if (status != SP_OK) {
    sp_context_close(out);
  }
  return status;
}

void sp_context_close(struct sp_context *context) {
  sp_weights_destroy(context->weights);
  if (context->device) {
    context->device->backend->close(context->device);
  }
  sp_tokenizer_close(context->tokenizer);
  *context = (struct sp_context){0};
}

size_t sp_context_weight_bytes(const struct sp_context *context) {
  const struct sp_model_config *c = &context->config;
  size_t d = c->hidden, table = (c->vocab_size + c->max_positions) * d;
  size_t products = c->layers * (4 * d * d + 2 * d * c->ffn);
  if (context->weights->vocab) {
    products += d * d + c->vocab_size * d;
  }
  return table * context->device->res_bytes + products * context->device->act_bytes;
}

size_t sp_context_workspace_bytes(const struct sp_context *context) {
  size_t batch_arrays =
      context->limits.tokens * 12 * sizeof(uint32_t) + context->limits.targets * sizeof(uint32_t);
  return sp_forward_bytes(&context->config, context->device, &context->limits) + batch_arrays;
}
