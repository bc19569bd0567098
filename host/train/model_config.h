/* model_config.h - the config.json of a trained model; private to model_write.c. */
#ifndef SP_TRAIN_MODEL_CONFIG_H
#define SP_TRAIN_MODEL_CONFIG_H

#include "buf.h"
#include "params.h"

/* Appends the text: what the file `from` has, with the keys set that say what was trained: sizes,
 * architectures, labels, lookahead, torch_dtype, tie_word_embeddings, score_kind.  SP_EMODEL when `from` is
 * no JSON object. */
SP_MUST_CHECK enum sp_status sp_model_config_print(const struct sp_params *params,
                                                   enum sp_dtype dtype, const char *from,
                                                   struct sp_buf *out, struct sp_error *err);

#endif
