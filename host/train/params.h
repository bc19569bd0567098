/* params.h - every trained number of a model in one flat f32 array, and where each tensor lies in it.
 *
 * One array makes an optimiser step, a norm, a checkpoint and an all-reduce one call each.  Tensors begin
 * at multiples of SP_PARAM_ALIGN floats; the gaps are zero and stay so.  What weight decay acts on
 * (matrices) lies in [0, n_decay), everything else (biases, norms, token types) behind it.
 * The q, k and v tensors of a layer follow each other without a gap, so that they are one product.
 *
 * Letters    D, F, V, P, L, J as in config.h and train.h; M a scheduler's hidden width. */
#ifndef SP_TRAIN_PARAMS_H
#define SP_TRAIN_PARAMS_H

#include "checkpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_PARAM_ALIGN 64

enum sp_param_init {
  SP_INIT_NORMAL, /* mean 0, standard deviation initializer_range (0.02) */
  SP_INIT_ONE,
  SP_INIT_ZERO
};

/* A tensor as files know it. */
struct sp_param {
  char name[120]; /* Hugging Face's, with "bert." */
  size_t rank, shape[2];
  size_t offset, count; /* floats */
  bool decay;
  enum sp_param_init init;
};

struct sp_param_linear {
  size_t weight, bias; /* offsets of (n, k) and (n) */
  size_t n, k;
};
struct sp_param_norm {
  size_t gamma, beta; /* offsets of (D) */
};

struct sp_param_layer {
  struct sp_param_linear qkv; /* (3D, D): q, k and v */
  struct sp_param_linear o, up, down;
  struct sp_param_norm attention_norm, output_norm;
  struct sp_param_linear scheduler[2]; /* hidden (M, D), then dense (J, M or D) */
  size_t n_scheduler;
};

enum { SP_MAX_CLS_LAYERS = 8 };

struct sp_params {
  struct sp_model_config config;
  bool has_mlm, has_cls;

  struct sp_param *tensor; /* (n_tensors) in the order of the array */
  size_t n_tensors;
  size_t count; /* floats of the array */
  size_t n_decay;
  uint64_t parameters; /* without the gaps */

  size_t words, positions, types; /* offsets of (V, D), (P, D), (type_vocab, D) */
  struct sp_param_norm embedding_norm;
  struct sp_param_layer *layers; /* (L) */

  struct sp_param_linear transform; /* of the MLM head */
  struct sp_param_norm transform_norm;
  struct sp_param_linear decoder; /* (V, D); decoder.weight is `words` where tied */

  struct sp_param_linear cls[SP_MAX_CLS_LAYERS]; /* pooler first where there is one */
  enum sp_activation cls_act[SP_MAX_CLS_LAYERS];
  size_t n_cls;
  bool pooler;

  struct sp_arena arena; /* private */
};

/* The tensors of `config` with the heads asked for.  A cls head is what `cls` of an opened checkpoint is,
 * or where `like` is NULL a new one: pooler with tanh, then one output.  Both heads may be there. */
SP_MUST_CHECK enum sp_status sp_params_create(const struct sp_model_config *config, bool with_mlm,
                                              bool with_cls, const struct sp_cls_head *like,
                                              struct sp_params **out, struct sp_error *err);
/* NULL is fine. */
void sp_params_destroy(struct sp_params *params);

/* Fills `values` (count) anew: each tensor by its init, a pure function of seed and tensor name. The last
 * layer of a scheduler starts with the bias scheduler_bias (> 0: looks ahead), its weights by init.
 * Normal draws are sums of twelve 16-bit integers by counter, so that every machine makes the same bits;
 * they end at six deviations. */
void sp_params_init(const struct sp_params *params, uint64_t seed, float initializer_range,
                    float scheduler_bias, float *values);
/* Copies what the checkpoint has.  Its layers go to ours by `layer_from` (L indices into its layers; NULL:
 * the same, as many).  Heads and schedulers that it lacks are left as they are and named in *fresh (a list
 * "a, b" of tensor names without their ends, at most `room` bytes, empty when nothing was left); a pooler
 * that stands there without a classifier is taken.  SP_EMODEL where a shape differs, named; SP_EUSAGE for
 * a layer that the checkpoint does not have. */
SP_MUST_CHECK enum sp_status sp_params_load(const struct sp_params *params,
                                            const struct sp_checkpoint *checkpoint,
                                            const uint32_t *layer_from, float *values, char *fresh,
                                            size_t room, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
