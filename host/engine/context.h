/* context.h - a model opened for scoring: tensors, tokenizer, device, packed weights, limits. */
#ifndef SP_ENGINE_CONTEXT_H
#define SP_ENGINE_CONTEXT_H

#include "batch.h"
#include "settings.h"
#include "tokenizer.h"
#include "weights.h"

struct sp_context {
  struct sp_tokenizer *tokenizer;
  struct sp_model_config config;
  char model_hash[33];
  struct sp_device *device;
  struct sp_weights *weights;
  size_t max_tokens;             /* of one hypothesis, without [CLS] and [SEP] */
  bool negate_cls;               /* the head was trained as a cost */
  struct sp_batch_limits limits; /* of one batch */
};

/* SP_EMODEL when the model cannot do what the settings ask (a missing head, no [MASK], a vocabulary
 * of another size). Warns of trailing padding ids. */
SP_MUST_CHECK enum sp_status sp_context_open(const struct sp_settings *settings,
                                             struct sp_context *out, struct sp_error *err);
void sp_context_close(struct sp_context *context);

/* About the bytes that the weights take on the device. */
size_t sp_context_weight_bytes(const struct sp_context *context);
/* Bytes of one thread's workspace. */
size_t sp_context_workspace_bytes(const struct sp_context *context);

#endif
