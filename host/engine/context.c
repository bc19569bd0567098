#include "context.h"

#include <stdio.h>
#include <string.h>

#include "checked.h"
#include "forward.h"
#include "mask_rule.h"
#include "model_share.h"

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

/* A cls row that cannot see the text is no error, since heads may be trained so, but rarely meant. */
static void warn_of_cls(const struct sp_settings *settings, const struct sp_context *context) {
  const struct sp_lookahead *rule = &context->lookahead;
  size_t seen = sp_lookahead_cls_tokens(rule, context->config.layers, context->max_tokens + 2);
  char mask[SP_MASK_TEXT], sees[160], text[640];
  if (!(settings->methods & 1u << SP_CLS) || seen >= context->max_tokens) {
    return;
  }
  sp_lookahead_print(rule, mask, sizeof mask);
  if (seen == 0) {
    snprintf(sees, sizeof sees, "no token, so that all hypotheses get the same cls score");
  } else {
    snprintf(sees, sizeof sees, "at most the %s %zu token%s of a hypothesis",
             rule->cls_last ? "last" : "first", seen, seen == 1 ? "" : "s");
  }
  snprintf(text, sizeof text,
           "under the mask %s the row that method cls scores sees %s; for it to see all, a model is "
           "trained with %sa \"cls_view\" of \"last-layer\" or \"hidden\" in its config's \"lookahead\"",
           mask, sees, rule->cls_last ? "" : "\"cls\": \"last\" or ");
  sp_warn(settings->options, text);
}

/* What the device asks for; else about 64 MiB of activations a thread in whole tiles. Always room for
 * the longest sequence, and for its text beside it where nodes are told. */
static struct sp_batch_limits choose_limits(const struct sp_settings *settings,
                                            const struct sp_lookahead *lookahead,
                                            const struct sp_model_config *config,
                                            const struct sp_device *device) {
  struct sp_forward_rule one = {.limits = {.tokens = 4096}};
  size_t per_token = sp_forward_bytes(config, device, &one) / one.limits.tokens + 1;
  size_t tokens = ((size_t)64 << 20) / per_token / device->row_quantum * device->row_quantum;
  tokens = sp_max_size(2048, sp_min_size(tokens, 8192));
  if (settings->options->batch_tokens) {
    tokens = settings->options->batch_tokens;
  } else if (device->backend->batch_tokens) {
    size_t wanted = device->backend->batch_tokens(device, config->hidden);
    tokens = wanted ? wanted : tokens;
  }
  size_t longest = sp_nodes_fits(lookahead) ? 2 * config->max_positions : config->max_positions;
  tokens = sp_max_size(tokens, longest);
  return (struct sp_batch_limits){
      .tokens = tokens,
      .targets = sp_max_size(tokens, SP_PLAN_MAX_TARGETS * config->max_positions)};
}

/* ---- devices and their weights ---- */

static enum sp_status find_backend(const struct sp_settings *settings,
                                   const struct sp_backend **backend, const char **spec,
                                   struct sp_error *err) {
  const char *device = settings->options->device ? settings->options->device : "cpu";
  return sp_backend_find(device, backend, spec, err);
}

/* Whether a rank packs weights itself. Where none does, rank 0's go from device to device. */
static enum sp_status need_values(const struct sp_settings *settings, bool *values,
                                  struct sp_error *err) {
  const struct sp_ranks *ranks = settings->options->ranks;
  const struct sp_backend *backend;
  const char *spec;
  *values = true;
  if (!ranks || ranks->count < 2) {
    return SP_OK;
  }
  SP_TRY(find_backend(settings, &backend, &spec, err));
  double pack = backend->share_weights ? 0 : 1;
  SP_TRY(ranks->sum(ranks->context, &pack, 1, err));
  *values = pack > 0;
  return SP_OK;
}

static enum sp_status open_devices(const struct sp_settings *settings, struct sp_context *out,
                                   struct sp_error *err) {
  const struct sp_backend *backend;
  const char *spec;
  enum sp_compute compute = settings->compute;
  const char *device = settings->options->device;
  SP_TRY(find_backend(settings, &backend, &spec, err));
  bool cpu = strcmp(backend->name, "cpu") == 0;
  if (cpu && device && strcmp(device, "auto") == 0) {
    sp_warn(settings->options, "no GPU that this build can use was found: the CPU computes");
  }
  if (settings->dtype_auto) {
    struct sp_cpu_facts facts;
    sp_cpu_get_facts(&facts);
    bool fast = facts.amx || facts.avx512_bf16;
    compute = fast || !cpu ? SP_COMPUTE_BF16 : SP_COMPUTE_F32;
  }
  size_t opened = 0;
  SP_TRY(backend->open(spec, compute, out->devices, SP_MAX_DEVICES, &opened, err));
  out->n_devices = opened;
  return SP_OK;
}

static void leave_out(const struct sp_settings *settings, struct sp_context *context, size_t i,
                      const struct sp_error *why) {
  struct sp_device *device = context->devices[i];
  struct sp_error text;
  sp_fail(&text, SP_EDEVICE, "%s is left out: %s", device->name, why->message);
  sp_warn(settings->options, text.message);
  device->backend->close(device);
  context->n_devices--;
  memmove(&context->devices[i], &context->devices[i + 1],
          (context->n_devices - i) * sizeof context->devices[0]);
}

/* Weights for the devices from `first` on. The first `readers` of all read the checkpoint, the others make
 * room for a copy. A device that has no room is left out as long as there is another. */
static enum sp_status make_weights(const struct sp_settings *settings, struct sp_context *out,
                                   const struct sp_checkpoint *checkpoint, size_t first,
                                   size_t readers, struct sp_error *err) {
  bool mlm = (settings->methods & ~(1u << SP_CLS)) != 0;
  bool cls = (settings->methods & 1u << SP_CLS) != 0;
  for (size_t i = first; i < out->n_devices;) {
    struct sp_device *device = out->devices[i];
    struct sp_error why = {0};
    enum sp_status status =
        i < readers ? sp_weights_create(device, checkpoint, mlm, cls, &out->weights[i], &why)
                    : sp_weights_reserve(device, checkpoint, mlm, cls, &out->weights[i], &why);
    if (status == SP_EDEVICE && out->n_devices > 1) {
      leave_out(settings, out, i, &why);
      continue;
    }
    if (status != SP_OK) {
      return sp_fail(err, status, "%s", why.message);
    }
    i++;
  }
  return SP_OK;
}

/* Rank 0 fills its first device; every other one of the job gets the packed weights from there. */
static enum sp_status share_in_job(const struct sp_settings *settings, struct sp_context *out,
                                   const struct sp_checkpoint *checkpoint, struct sp_error *err) {
  const struct sp_ranks *ranks = settings->options->ranks;
  struct sp_share_job job = {.rank = ranks->rank,
                             .count = ranks->count,
                             .context = ranks->context,
                             .broadcast = ranks->broadcast,
                             .sum = ranks->sum};
  SP_TRY(make_weights(settings, out, checkpoint, 0, ranks->rank == 0 ? 1 : 0, err));
  SP_TRY(out->devices[0]->backend->share_weights(out->devices, out->n_devices, &job, err));
  if (ranks->rank == 0 && job.notice[0] != '\0') {
    sp_warn(settings->options, job.notice);
  }
  return SP_OK;
}

static enum sp_status open_weights(const struct sp_settings *settings, struct sp_context *out,
                                   const struct sp_checkpoint *checkpoint, struct sp_error *err) {
  const struct sp_backend *backend = out->devices[0]->backend;
  struct sp_error why, text;
  bool copied = out->n_devices > 1 && backend->share_weights;
  SP_TRY(make_weights(settings, out, checkpoint, 0, copied ? 1 : out->n_devices, err));
  if (!copied || out->n_devices == 1 ||
      backend->share_weights(out->devices, out->n_devices, NULL, &why) == SP_OK) {
    return SP_OK;
  }
  sp_fail(&text, SP_EDEVICE, "every device reads the model itself: %s", why.message);
  sp_warn(settings->options, text.message);
  for (size_t i = 1; i < out->n_devices; i++) {
    sp_weights_destroy(out->weights[i]);
    out->weights[i] = NULL;
  }
  return make_weights(settings, out, checkpoint, 1, out->n_devices, err);
}

/* ---- the context ---- */

enum sp_status sp_context_set_mask(struct sp_context *context, const struct sp_settings *settings,
                                   struct sp_error *err) {
  return sp_mask_rule_choose(settings, &context->config, &context->lookahead, &context->mask_forced,
                             err);
}

/* What tells tokens and masks. */
static enum sp_status open_text(const struct sp_settings *settings, struct sp_context *out,
                                const struct sp_model_share *share,
                                const struct sp_checkpoint *checkpoint, struct sp_error *err) {
  out->config = checkpoint->config;
  memcpy(out->model_hash, checkpoint->hash, sizeof out->model_hash);
  out->max_tokens = sp_model_max_tokens(&checkpoint->config);
  SP_TRY(sp_context_set_mask(out, settings, err));
  out->negate_cls =
      settings->cls_sign == SP_SIGN_COST ||
      (settings->cls_sign == SP_SIGN_AUTO && checkpoint->config.score_kind == SP_SCORE_COST);
  SP_TRY(sp_tokenizer_open_in(&share->folder, &out->tokenizer, err));
  SP_TRY(sp_checkpoint_check_unchanged(checkpoint, &share->folder, err));
  SP_TRY(check_vocabulary(settings, out, err));
  return check_heads(settings, checkpoint, sp_tokenizer_get_info(out->tokenizer), err);
}

static enum sp_status open_model(const struct sp_settings *settings, struct sp_context *out,
                                 const struct sp_model_share *share,
                                 const struct sp_checkpoint *checkpoint, struct sp_error *err) {
  SP_TRY(open_text(settings, out, share, checkpoint, err));
  warn_of_cls(settings, out);
  SP_TRY(open_devices(settings, out, err));
  if (out->config.head_dim > out->devices[0]->max_head_dim) {
    return sp_fail(err, SP_EMODEL, "%s: attention heads of %zu dimensions; %zu are supported",
                   settings->options->model, out->config.head_dim, out->devices[0]->max_head_dim);
  }
  SP_TRY((share->values ? open_weights : share_in_job)(settings, out, checkpoint, err));
  out->limits = choose_limits(settings, &out->lookahead, &out->config, out->devices[0]);
  return SP_OK;
}

typedef enum sp_status (*open_fn)(const struct sp_settings *settings, struct sp_context *out,
                                  const struct sp_model_share *share,
                                  const struct sp_checkpoint *checkpoint, struct sp_error *err);

/* Where rank 0 alone has the values, it checks and hashes them for all. */
static enum sp_status open_hashed(const struct sp_ranks *ranks, const struct sp_model_share *share,
                                  struct sp_checkpoint **out, struct sp_error *err) {
  char hash[33] = "";
  bool first = ranks->rank == 0;
  if (first) {
    SP_TRY(sp_checkpoint_open_in(&share->folder, out, err));
    memcpy(hash, (*out)->hash, sizeof hash);
  }
  enum sp_status status = sp_model_share_check(share, err);
  if (status == SP_OK) {
    status = ranks->broadcast(ranks->context, hash, sizeof hash, err);
  }
  if (status != SP_OK) {
    sp_checkpoint_close(first ? *out : NULL);
    return status;
  }
  return first ? SP_OK : sp_checkpoint_open_shapes(&share->folder, hash, out, err);
}

static enum sp_status open_in(open_fn open_parts, const struct sp_settings *settings,
                              struct sp_context *out, const struct sp_model_share *share,
                              struct sp_error *err) {
  struct sp_checkpoint *checkpoint;
  SP_TRY(share->values ? sp_checkpoint_open_in(&share->folder, &checkpoint, err)
                       : open_hashed(settings->options->ranks, share, &checkpoint, err));
  enum sp_status status = open_parts(settings, out, share, checkpoint, err);
  sp_checkpoint_close(checkpoint);
  return status;
}

static enum sp_status open_with(open_fn open_parts, const struct sp_settings *settings, bool values,
                                struct sp_context *out, struct sp_error *err) {
  const struct sp_score_options *options = settings->options;
  struct sp_model_share share;
  SP_TRY(sp_model_share_open(options->ranks, options->model, values, &share, err));
  enum sp_status status = open_in(open_parts, settings, out, &share, err);
  sp_model_share_close(&share);
  if (status != SP_OK) {
    sp_context_close(out);
  }
  return status;
}

/* Ranks of a job begin together or not at all: a rank whose GPU is broken is told at once. */
enum sp_status sp_context_open(const struct sp_settings *settings, struct sp_context *out,
                               struct sp_error *err) {
  const struct sp_ranks *ranks = settings->options->ranks;
  bool values;
  *out = (struct sp_context){0};
  SP_TRY(need_values(settings, &values, err));
  SP_TRY(open_with(open_model, settings, values, out, err));
  enum sp_status status = ranks ? ranks->agree(ranks->context, SP_OK, err) : SP_OK;
  if (status != SP_OK) {
    sp_context_close(out);
  }
  return status;
}

enum sp_status sp_context_open_text(const struct sp_settings *settings, struct sp_context *out,
                                    struct sp_error *err) {
  *out = (struct sp_context){0};
  return open_with(open_text, settings, true, out, err);
}

void sp_context_close(struct sp_context *context) {
  for (size_t i = 0; i < context->n_devices; i++) {
    sp_weights_destroy(context->weights[i]);
  }
  for (size_t i = 0; i < context->n_devices; i++) {
    context->devices[i]->backend->close(context->devices[i]);
  }
  sp_tokenizer_close(context->tokenizer);
  *context = (struct sp_context){0};
}

bool sp_context_on_host(const struct sp_context *context) {
  return context->devices[0]->host_memory;
}

/* About what the weights take, of host or device. */
static size_t weight_bytes(const struct sp_context *context) {
  const struct sp_model_config *c = &context->config;
  const struct sp_device *device = context->devices[0];
  size_t d = c->hidden, table = (c->vocab_size + c->max_positions) * d;
  size_t products = c->layers * (4 * d * d + 2 * d * c->ffn);
  if (context->weights[0]->vocab) {
    products += d * d + c->vocab_size * d;
  }
  return table * device->res_bytes + products * device->act_bytes;
}

bool sp_context_traces(const struct sp_context *context, const struct sp_settings *settings) {
  return settings->trace && context->lookahead.policy == SP_MASK_DYNAMIC;
}

bool sp_context_tells_nodes(const struct sp_context *context, const struct sp_settings *settings) {
  return settings->savings == SP_SAVING_ALL && sp_nodes_fits(&context->lookahead);
}

struct sp_nodes_rule sp_context_nodes_rule(const struct sp_context *context) {
  return (struct sp_nodes_rule){.lookahead = &context->lookahead,
                                .layers = context->config.layers,
                                .limits = context->limits,
                                .mask_id = sp_tokenizer_get_info(context->tokenizer)->mask};
}

struct sp_forward_rule sp_context_forward_rule(const struct sp_context *context,
                                               const struct sp_settings *settings) {
  const struct sp_tokenizer_info *info = sp_tokenizer_get_info(context->tokenizer);
  return (struct sp_forward_rule){.limits = context->limits,
                                  .savings = settings->savings,
                                  .lookahead = context->lookahead,
                                  .trace = sp_context_traces(context, settings),
                                  .mask_id = info->mask,
                                  .pad_id = info->pad};
}

/* What a lane holds beside its forward: a batch's arrays, traced bits, nodes. */
static size_t lane_bytes(const struct sp_context *context, const struct sp_settings *settings) {
  struct sp_nodes_rule nodes = sp_context_nodes_rule(context);
  size_t words = context->limits.tokens * 11 + context->limits.targets;
  if (sp_context_traces(context, settings)) {
    words += context->limits.tokens * context->config.layers;
  }
  return words * sizeof(uint32_t) +
         (sp_context_tells_nodes(context, settings) ? sp_nodes_bytes(&nodes) : 0);
}

size_t sp_context_host_bytes(const struct sp_context *context, const struct sp_settings *settings) {
  const struct sp_device *device = context->devices[0];
  struct sp_forward_rule rule = sp_context_forward_rule(context, settings);
  size_t arrays = lane_bytes(context, settings);
  if (sp_context_on_host(context)) {
    return weight_bytes(context) +
           settings->threads * (sp_forward_bytes(&context->config, device, &rule) + arrays);
  }
  return context->n_devices * device->lanes *
         (sp_forward_host_bytes(&context->config, device, &rule) + arrays);
}

size_t sp_context_device_bytes(const struct sp_context *context,
                               const struct sp_settings *settings) {
  const struct sp_device *device = context->devices[0];
  struct sp_forward_rule rule = sp_context_forward_rule(context, settings);
  return sp_context_on_host(context)
             ? 0
             : weight_bytes(context) +
                   device->lanes * sp_forward_bytes(&context->config, device, &rule);
}
