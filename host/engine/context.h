/* context.h - a model opened for scoring: tensors, tokenizer, devices, packed weights, limits. */
#ifndef SP_ENGINE_CONTEXT_H
#define SP_ENGINE_CONTEXT_H

#include "forward.h"
#include "settings.h"
#include "tokenizer.h"
#include "weights.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_context {
  struct sp_tokenizer *tokenizer;
  struct sp_model_config config;
  char model_hash[33];
  struct sp_device *devices[SP_MAX_DEVICES];  /* (n_devices) at least one, all of one type */
  struct sp_weights *weights[SP_MAX_DEVICES]; /* (n_devices) */
  size_t n_devices;
  const char *asked_backend; /* without a device: the name of the one that is to come, or NULL */
  size_t max_tokens;             /* of one hypothesis, without [CLS] and [SEP] */
  bool negate_cls;               /* the head was trained as a cost */
  struct sp_batch_limits limits; /* of one batch */
  struct sp_lookahead lookahead; /* what the settings and the model come to */
  bool mask_forced;              /* it is not what the model was trained with */
};

/* Whether scheduler bits of the unmasked texts are kept, and whether batches may go by distinct nodes. */
bool sp_context_traces(const struct sp_context *context, const struct sp_settings *settings);
bool sp_context_tells_nodes(const struct sp_context *context, const struct sp_settings *settings);
struct sp_nodes_rule sp_context_nodes_rule(const struct sp_context *context);
/* What a forward of this context is made for. */
struct sp_forward_rule sp_context_forward_rule(const struct sp_context *context,
                                               const struct sp_settings *settings);

/* SP_EMODEL when the model cannot do what the settings ask (a missing head, no [MASK], a vocabulary
 * of another size). Warns of trailing padding ids, of a cls row that sees too little, of devices that are left out since the model does
 * not fit, and when `auto` comes to mean the CPU.  Collective where the settings have ranks: the model is
 * read by one (model_share.h), and all have opened it, or none. */
SP_MUST_CHECK enum sp_status sp_context_open(const struct sp_settings *settings,
                                             struct sp_context *out, struct sp_error *err);
/* Its tokenizer, config and mask alone: no device is opened, no weight kept. */
SP_MUST_CHECK enum sp_status sp_context_open_text(const struct sp_settings *settings,
                                                  struct sp_context *out, struct sp_error *err);
/* The mask of the settings from now on, chosen as when the context was opened (mask_rule.h). Plans that
 * share nodes and the batch limits are still those of the mask before. */
SP_MUST_CHECK enum sp_status sp_context_set_mask(struct sp_context *context,
                                                 const struct sp_settings *settings,
                                                 struct sp_error *err);
void sp_context_close(struct sp_context *context);

/* Whether the processors themselves compute: then every thread has a stream of its own. */
bool sp_context_on_host(const struct sp_context *context);
/* About the host memory of workspaces and weights, and what one device holds of both. */
size_t sp_context_host_bytes(const struct sp_context *context, const struct sp_settings *settings);
size_t sp_context_device_bytes(const struct sp_context *context,
                               const struct sp_settings *settings);

#ifdef __cplusplus
}
#endif
#endif
