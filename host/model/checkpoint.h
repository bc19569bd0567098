/* checkpoint.h - a model directory: its config and every tensor that the encoder needs, checked.
 *
 * Letters    D hidden, F ffn, V vocab_size, P max_positions, L layers (config.h).
 * Checks     every tensor below is there, has its shape, is F32, F16, BF16 or F64, and holds finite
 *            values within float range.  SP_EMODEL otherwise: missing tensors are named together
 *            (ten of them), any other fault names its tensor.  Tensors of a
 *            scheduler that the config's lookahead policy does not have are refused too.
 * Names      encoder tensors may or may not begin with "bert."; LayerNorm.weight and .bias may be
 *            named gamma and beta.
 * Ownership  all pointers belong to the checkpoint and die with sp_checkpoint_close.  Tensor data
 *            is mapped, maybe unaligned: read it through sp_tensor_to_f32.
 *
 * Threads    immutable after open; shared freely. */
#ifndef SP_MODEL_CHECKPOINT_H
#define SP_MODEL_CHECKPOINT_H

#include "arena.h"
#include "config.h"
#include "safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

/* y = W x + b, row-major. */
struct sp_ckpt_linear {
  const struct sp_tensor *weight; /* (out, in) */
  const struct sp_tensor *bias;   /* (out) */
  size_t out, in;
};

struct sp_ckpt_norm {
  const struct sp_tensor *gamma; /* (D) */
  const struct sp_tensor *beta;  /* (D) */
};

/* a = attention_norm(x + o(attention(q, k, v)));  y = output_norm(a + down(act(up(a)))) */
struct sp_bert_layer {
  struct sp_ckpt_linear q, k, v; /* (D, D) each */
  struct sp_ckpt_linear o;       /* (D, D)  attention.output.dense */
  struct sp_ckpt_norm attention_norm;
  struct sp_ckpt_linear up;   /* (F, D)  intermediate.dense */
  struct sp_ckpt_linear down; /* (D, F)  output.dense */
  struct sp_ckpt_norm output_norm;
  /* Of a dynamic lookahead that reaches R > 0 here: lookahead.hidden (M, D) where the config has M, then
   * lookahead.dense (R, M or D). */
  struct sp_ckpt_linear scheduler[2];
  size_t n_scheduler; /* 0, 1 or 2 */
};

/* logits = decoder(norm(act(transform(x)))) with the config's act */
struct sp_mlm_head {
  struct sp_ckpt_linear transform; /* (D, D) */
  struct sp_ckpt_norm norm;
  struct sp_ckpt_linear decoder; /* (V, D); weight == word_embeddings when tied */
  bool tied;
};

/* score = the layers in order, on row [CLS] of the encoder's output; the last has one output and no
 * activation.  With a pooler, its dense layer with tanh is layers[0]. */
struct sp_cls_layer {
  struct sp_ckpt_linear linear;
  enum sp_activation act;
};
struct sp_cls_head {
  bool pooler;
  size_t n_layers;
  const struct sp_cls_layer *layers; /* (n_layers) */
};

struct sp_checkpoint {
  struct sp_model_config config;
  struct sp_safetensors *tensors;

  const struct sp_tensor *word_embeddings;       /* (V, D) */
  const struct sp_tensor *position_embeddings;   /* (P, D) */
  const struct sp_tensor *token_type_embeddings; /* (type_vocab, D) */
  struct sp_ckpt_norm embedding_norm;
  const struct sp_bert_layer *layers; /* (L) */

  bool has_mlm, has_cls; /* the head of config.arch is always there */
  struct sp_mlm_head mlm;
  struct sp_cls_head cls;

  enum sp_dtype dtype;      /* of the word embeddings */
  uint64_t parameters;      /* elements of the tensors in use, shared ones counted once */
  uint64_t scheduler_parameters; /* of these, the schedulers' */
  const char *const *extra; /* (n_extra) names of tensors that nothing uses, sorted */
  size_t n_extra;
  char hash[33];  /* XXH3-128 over the names, sizes and bytes of the model's files */
  uint64_t stamp; /* of these files before the first was read (model_hash.h) */

  struct sp_arena arena; /* private: holds the arrays above */
};

/* The files in `hash`, in order, where they exist: config.json, the safetensors index, the
 * safetensors files by name, vocab.txt, tokenizer.json, tokenizer_config.json, added_tokens.json,
 * special_tokens_map.json. */
SP_MUST_CHECK enum sp_status sp_checkpoint_open(const char *directory, struct sp_checkpoint **out,
                                                struct sp_error *err);
/* The same of a folder, which must outlive the checkpoint where it is in memory. */
SP_MUST_CHECK enum sp_status sp_checkpoint_open_in(const struct sp_folder *folder,
                                                   struct sp_checkpoint **out,
                                                   struct sp_error *err);
/* The same of a folder whose tensors' values are not there, where another process has opened, and so
 * checked, the model and came to `hash`: nothing here reads them, and nobody may. */
SP_MUST_CHECK enum sp_status sp_checkpoint_open_shapes(const struct sp_folder *folder,
                                                       const char hash[33],
                                                       struct sp_checkpoint **out,
                                                       struct sp_error *err);
/* SP_EMODEL when a file of the directory was written or replaced since the checkpoint was opened: what
 * was read then need not be what was hashed. */
SP_MUST_CHECK enum sp_status sp_checkpoint_check_unchanged(const struct sp_checkpoint *checkpoint,
                                                           const struct sp_folder *folder,
                                                           struct sp_error *err);
void sp_checkpoint_close(struct sp_checkpoint *checkpoint);

#ifdef __cplusplus
}
#endif
#endif
