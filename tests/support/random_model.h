/* random_model.h - model directories with weights from a stated integer generator.
 *
 * tests/golden/random_model.py writes the same bytes, so that goldens need no weights in git.
 *
 * Value i of a tensor, in 64-bit unsigned arithmetic that wraps:
 *   mix(x)   x ^= x >> 30, x *= 0xbf58476d1ce4e5b9, x ^= x >> 27, x *= 0x94d049bb133111eb, x ^= x
 * >> 31 start    mix(seed) ^ FNV-1a-64(name) h        mix(start + (i + 1) * 0x9e3779b97f4a7c15) n
 * the sum of h's four 16-bit parts, minus 131070: near normal, deviation 37837 value    (offset +
 * factor * n) / 2^22, which a float holds exactly; then rounded to the dtype The name is the full
 * one ("bert." in front, LayerNorm.weight), whatever name the file has.
 *
 * tensor                        factor                           offset
 * word embeddings, decoder      sqrt(96340 / D), whole, 1..128   0
 * position embeddings           sqrt(24085 / D)                  0
 * token type embeddings         sqrt(6021 / D)                   0
 * dense weights                 sqrt(24085 / inputs)             0
 * biases, LayerNorm bias        6                                0
 * LayerNorm weight              6                                2^22
 * scheduler's last bias         6                                2^12 floor(1/2 + 1024 * 0.8226 *
 *                                                                  log(percent / (100 - percent)))
 *   at percent 0 and 100        0                                -2^22 and 2^22, its weight all 0
 *
 * So a dense layer's output has a deviation of about 1.4, logits of about 2.8. */
#ifndef SP_TESTS_RANDOM_MODEL_H
#define SP_TESTS_RANDOM_MODEL_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum sp_random_heads { SP_RANDOM_MLM, SP_RANDOM_CLS, SP_RANDOM_BOTH };
enum sp_random_dtype { SP_RANDOM_F32, SP_RANDOM_BF16, SP_RANDOM_F16 };
/* tied: not in the file; copy: in the file, equal to the word embeddings; untied: weight and bias
 * of its own */
enum sp_random_decoder { SP_RANDOM_TIED, SP_RANDOM_COPY, SP_RANDOM_UNTIED };

struct sp_random_model {
  size_t layers, hidden, heads, ffn, vocab, positions, type_vocab;
  uint64_t seed;
  enum sp_random_heads arch; /* BOTH: BertForSequenceClassification with an MLM head beside it */
  enum sp_random_dtype dtype;
  enum sp_random_decoder decoder;
  bool pooler;              /* of the cls head */
  size_t classifier_hidden; /* dense (D, D) layers before the last: 0 classifier, 1
                               classifier.dense and .out_proj, 2 and more classifier.0, .2, .4 .. */
  /* Outputs of every layer's lookahead scheduler, "2", or one a layer, "2,0,3"; NULL: no tensors of
   * schedulers.  The config's "lookahead" is config_extra's to say. */
  const char *scheduler;
  size_t scheduler_hidden;  /* M of their hidden layers; 0: none */
  size_t scheduler_percent; /* of their bits that are set, about; default 50 */
  bool gamma_beta;          /* LayerNorm.gamma and .beta */
  bool no_prefix;           /* encoder names without "bert." */
  bool extra;               /* tensors that scoring does not need, one of them I64 */
  size_t shards;            /* over 1: so many files and an index */
  const char *act;          /* hidden_act */
  const char *eps;          /* layer_norm_eps, as the config shall write it */
  const char *config_extra; /* members added to config.json, such as "\"score_kind\": \"cost\"" */
  const char *vocab_file;   /* copied; NULL: a made vocabulary of `vocab` pieces */
};

/* 2 layers, hidden 32, 2 heads, ffn 64, vocabulary 100, 64 positions, seed 1, MLM, F32, tied, gelu,
 * eps 1e-12. */
struct sp_random_model sp_random_model_default(void);

/* Writes config.json, the weights and vocab.txt into `directory`, which is made when absent. The
 * made vocabulary is [PAD] [UNK] [CLS] [SEP] [MASK], a to z, ##a to ##z, ', then w57, w58, ... */
SP_MUST_CHECK enum sp_status sp_random_model_write(const struct sp_random_model *model,
                                                   const char *directory, struct sp_error *err);

/* Sets the member `name` from its text ("mlm", "f16", "768"); a true member takes NULL. False: no
 * such member or value. Texts are kept, not copied. */
bool sp_random_model_set(struct sp_random_model *model, const char *name, const char *value);
/* False also for a name that is no member. */
bool sp_random_model_needs_value(const char *name);

#define SP_FNV_START 0xcbf29ce484222325u
/* Continues FNV-1a-64 over `len` more bytes. */
uint64_t sp_fnv1a(uint64_t hash, const void *data, size_t len);

#ifdef __cplusplus
}
#endif
#endif
