/* config.h - what config.json says about a BERT encoder.
 *
 * Every key that changes a score is read, or refused by its name and value (SP_EMODEL); an absent
 * key has the default of Hugging Face's BertConfig.  Keys that cannot change a score (dropout,
 * labels, cache flags, chunk_size_feed_forward, ..) are not looked at. */
#ifndef SP_MODEL_CONFIG_H
#define SP_MODEL_CONFIG_H

#include "backend.h"
#include "folder.h"
#include "lookahead.h"

#ifdef __cplusplus
extern "C" {
#endif

/* BertForMaskedLM and BertForPreTraining are SP_BERT_MLM, BertForSequenceClassification is
 * SP_BERT_CLS. */
enum sp_arch { SP_BERT_MLM, SP_BERT_CLS };

/* What the output of a cls head is: a log-probability (higher is better) or a cost (lower is). */
enum sp_score_kind { SP_SCORE_LOGPROB, SP_SCORE_COST };

struct sp_model_config {
  enum sp_arch arch;
  size_t layers;          /* L, 1 to 512 */
  size_t hidden;          /* D, up to 65,536 */
  size_t heads;           /* H, divides D */
  size_t head_dim;        /* D / H */
  size_t ffn;             /* F, up to 262,144 */
  size_t vocab_size;      /* V, up to 16,777,216 */
  size_t max_positions;   /* P, up to 1,048,576 */
  size_t type_vocab;      /* token types, 1 to 65,536; scoring uses type 0 */
  enum sp_activation act; /* hidden_act: SP_ACT_GELU_ERF, SP_ACT_GELU_TANH or SP_ACT_RELU */
  enum sp_activation classifier_act; /* between a classifier's dense layers; default SP_ACT_TANH */
  enum sp_score_kind score_kind;     /* key "score_kind": "logprob" (default) or "cost" */
  bool has_score_kind;               /* the config has the key */
  bool tied;                         /* tie_word_embeddings */
  float layer_norm_eps;
  struct sp_lookahead lookahead;    /* key "lookahead"; the full mask without it */
  size_t scheduler_hidden;          /* M of every scheduler's hidden layer; 0: none */
  enum sp_activation scheduler_act; /* of that layer; default SP_ACT_TANH */
  char arch_text[48];  /* architectures[0] */
  char dtype_text[24]; /* torch_dtype or dtype; empty when absent */
};

/* Reads config.json of a model directory. */
SP_MUST_CHECK enum sp_status sp_model_config_read(const struct sp_folder *folder,
                                                  struct sp_model_config *out,
                                                  struct sp_error *err);
/* The same from memory; `place` (the file's path) begins every message. */
SP_MUST_CHECK enum sp_status sp_model_config_parse(struct sp_text json, const char *place,
                                                   struct sp_model_config *out,
                                                   struct sp_error *err);

/* Tokens of one text, without [CLS] and [SEP]. */
size_t sp_model_max_tokens(const struct sp_model_config *config);
/* SP_EMODEL unless the vocabulary's `pieces`, read from the file `source`, are vocab_size, or up to 127
 * fewer: trailing padding ids. */
SP_MUST_CHECK enum sp_status sp_model_check_vocabulary(const struct sp_model_config *config,
                                                       const char *directory, const char *source,
                                                       size_t pieces, struct sp_error *err);

/* As a config writes it: "gelu" (erf), "gelu_new" (tanh), "relu", "tanh", "none". */
const char *sp_activation_name(enum sp_activation act);

#ifdef __cplusplus
}
#endif
#endif
