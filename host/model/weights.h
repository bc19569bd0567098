/* weights.h - a checkpoint's tensors packed for one device. */
#ifndef SP_MODEL_WEIGHTS_H
#define SP_MODEL_WEIGHTS_H

#include "backend.h"
#include "checkpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One encoder layer. The last layer keeps q apart from k and v, since it runs q at scored rows only;
 * the others have one product for all three (qkv) and no q or kv. */
struct sp_layer {
  struct sp_linear *qkv;      /* (3D, D) */
  struct sp_linear *q, *kv;   /* (D, D), (2D, D) */
  struct sp_linear *o;        /* (D, D) */
  struct sp_linear *up;       /* (F, D), with the activation */
  struct sp_linear *down;     /* (D, F) */
  struct sp_norm *attention_norm, *output_norm;
  struct sp_dense *scheduler[2]; /* (n_scheduler) of a dynamic lookahead: 0, 1, or 2 with a hidden one */
  size_t n_scheduler;
};

struct sp_weights {
  struct sp_device *device; /* not owned */
  struct sp_model_config config;
  struct sp_embedding *embedding;
  struct sp_norm *embedding_norm;
  struct sp_layer *layers; /* (L) */
  struct sp_linear *transform; /* MLM head, NULL without */
  struct sp_norm *transform_norm;
  struct sp_vocab *vocab;
  struct sp_dense **cls; /* (n_cls) scalar head, NULL without */
  size_t n_cls;
};

/* Packs what the heads asked for need. The checkpoint may be closed afterwards. */
SP_MUST_CHECK enum sp_status sp_weights_create(struct sp_device *device,
                                               const struct sp_checkpoint *checkpoint,
                                               bool with_mlm, bool with_cls,
                                               struct sp_weights **out, struct sp_error *err);
/* The same objects without their values: what the backend's share_weights fills. */
SP_MUST_CHECK enum sp_status sp_weights_reserve(struct sp_device *device,
                                                const struct sp_checkpoint *checkpoint,
                                                bool with_mlm, bool with_cls,
                                                struct sp_weights **out, struct sp_error *err);
void sp_weights_destroy(struct sp_weights *weights);

#ifdef __cplusplus
}
#endif
#endif
