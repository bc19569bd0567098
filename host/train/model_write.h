/* model_write.h - trained numbers as a model directory that Hugging Face transformers and `score` open.
 *
 * Written into a new directory beside the target and renamed at the end, files synced: a reader sees the
 * old directory, or the whole new one. */
#ifndef SP_TRAIN_MODEL_WRITE_H
#define SP_TRAIN_MODEL_WRITE_H

#include "params.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_model_content {
  const struct sp_params *params;
  const float *values;        /* (params->count) host memory */
  enum sp_dtype dtype;        /* SP_F32 or SP_BF16 (rounded to nearest even) */
  const char *config_from;    /* a config.json to begin from, whose unknown keys are kept; its
                                   architectures, num_labels, lookahead, torch_dtype, score_kind are set */
  const char *tokenizer_from; /* directory whose vocab.txt, tokenizer.json, tokenizer_config.json,
                                   special_tokens_map.json and added_tokens.json are copied */
  const char *readme;         /* text of a README.md in it, or NULL */
};

/* `directory` may exist only when it is empty or one that this wrote (its weights say so): it is replaced.
 * Of both heads, architectures names BertForSequenceClassification, as `score` wants it: transformers then
 * reports the tensors of cls.predictions as unexpected, and opens them as BertForMaskedLM too, where it
 * reports the other head's.  A directory without a tokenizer_config.json gets one with do_lower_case as the
 * vocabulary says.  SP_EUSAGE, SP_EIO, SP_EMODEL (config, tokenizer, or a vocabulary of another size). */
SP_MUST_CHECK enum sp_status sp_model_write(const char *directory,
                                            const struct sp_model_content *content,
                                            struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
