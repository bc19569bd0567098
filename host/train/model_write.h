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

struct sp_model_write {
  const struct sp_params *params;
  const float *values;          /* (params->count) host memory */
  enum sp_dtype dtype;          /* SP_F32 or SP_BF16 (rounded to nearest even) */
  const char *config_from;      /* a config.json to begin from, whose unknown keys are kept; its
                                   architectures, num_labels, lookahead, torch_dtype, score_kind are set */
  const char *tokenizer_from;   /* directory whose vocab.txt, tokenizer.json, tokenizer_config.json,
                                   special_tokens_map.json and added_tokens.json are copied */
  const char *readme;           /* text of a README.md in it, or NULL */
};

/* `directory` may exist only when it is one that this wrote (it is replaced). SP_EIO, SP_EUSAGE. */
SP_MUST_CHECK enum sp_status sp_model_write(const char *directory,
                                            const struct sp_model_write *write,
                                            struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
