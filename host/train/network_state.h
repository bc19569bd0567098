/* network_state.h - what stands behind struct sp_network; private to network*.c.
 *
 * Letters    T tokens, R scored rows, D, F, H, M, J as in params.h and train.h
 * Trim       the last layer runs at the scored rows alone, unless schedulers decide there: their masks are
 *            looked at in every row. */
#ifndef SP_TRAIN_NETWORK_STATE_H
#define SP_TRAIN_NETWORK_STATE_H

#include "network.h"

struct sp_network_norm {
  float *sum, *mean, *rstd; /* (T, D), (T), (T) */
};

/* One layer: its weights, and what the way back needs of a batch. */
struct sp_network_layer {
  const struct sp_param_layer *param;
  struct sp_train_weight *qkv, *q, *kv; /* (3D, D), or apart where trimmed */
  struct sp_train_weight *o, *up, *down;
  struct sp_train_weight *scheduler[2];
  size_t n_scheduler, reach; /* of a dynamic layer; 0 */
  bool trimmed;

  void *in;           /* (T, D) act */
  float *in_res;      /* (T, D) where schedulers read it */
  void *q_in, *q_out; /* (R, D) act, trimmed: in and q at the scored rows */
  void *qkv_out;      /* (T, 3D) act, trimmed (T, 2D) */
  void *context;      /* (T, D) act, trimmed (R, D) */
  float *lse;         /* (T, H) */
  struct sp_network_norm attention_norm, output_norm;
  void *middle;                               /* (T, D) act */
  void *up_pre, *up_out;                      /* (T, F) act */
  float *hidden_pre, *hidden_out, *g, *log_a; /* (T, M), (T, M), (T, J), (T, J) */

  bool own_mask;  /* else the layer's before it is its own */
  uint64_t *mask; /* words of its rows; NULL: no mask */
};

/* A batch's arrays on the device. */
struct sp_network_rows {
  int32_t *ids, *target;        /* (T), (R) */
  uint32_t *positions;          /* (T) */
  uint32_t *attention_position; /* (T) the same, the length where a row is exempt from soft masks */
  uint32_t *scored_position;    /* (R) */
  uint32_t *room;               /* (T) positions after it */
  uint32_t *row_start;          /* (S + 1) */
  uint32_t *scored_start;       /* (S + 1) first scored row of each sequence */
  uint32_t *scored;             /* (R) rows that go to a head, ascending */
  uint64_t *mask_start, *scored_mask_start;                  /* (S) */
  uint32_t *iota;                                            /* (T + 1) 0, 1, .. */
  uint32_t *all;                                             /* (2) 0, T: one group of all rows */
  uint32_t *word_row, *word_start, *word_target;             /* rows by id: (T), (T + 1), (T) */
  uint32_t *position_row, *position_start, *position_target; /* rows by position */
};

struct sp_network {
  struct sp_device *device;
  const struct sp_train_backend *ops;
  const struct sp_params *params;
  struct sp_network_limits limits;
  size_t reach; /* J, the greatest of all layers */
  bool trim;

  struct sp_trainer *trainer;
  char *memory; /* one allocation of the device: */
  float *values, *gradients;
  struct sp_network_layer *layer; /* (L) host */
  struct sp_network_norm embedding_norm;
  struct sp_train_weight *transform, *decoder, *cls[SP_MAX_CLS_LAYERS];
  struct sp_network_rows rows;
  float *residual[2]; /* (T, D) of the stream, in turn */
  void *last;         /* (T, D) act: the encoder's output */
  float *last_res;    /* (T, D): the same; one of `residual` */

  void *head_in;       /* (R, D) act */
  void *transform_pre; /* (R, D) act */
  struct sp_network_norm transform_norm;
  void *transform_out;                                            /* (R, D) act */
  float *d_transform;                                             /* (R, D) */
  float *loss;                                                    /* (R) */
  float *cls_in;                                                  /* (R, D) */
  float *cls_pre[SP_MAX_CLS_LAYERS], *cls_out[SP_MAX_CLS_LAYERS]; /* (R, N) */
  float *d_cls[2];                                                /* (R, widest N) */

  float *d, *d_rows;                         /* (T, D), (R, D) gradients of the residual stream */
  void *d_context, *d_up, *d_q, *d_qkv;      /* (T, D), (T, F), (R, D), (T, 3D) act */
  float *d_log_a, *d_extra, *d_g, *d_hidden; /* (T, J), (T, J), (T, J), (T, M) */

  /* host, of the batch in work */
  struct sp_train_batch batch;
  struct sp_network_pass pass;
  size_t scored; /* R */
  size_t word_groups, position_groups;
  uint32_t *scratch; /* see network_batch.c */
  uint64_t *mask_scratch;
  float *host_a;     /* (L, T, J) a; NULL without schedulers */
  float *host_extra; /* (T, J) */
};

/* Brings a batch's arrays to the device (network_batch.c). */
SP_MUST_CHECK enum sp_status sp_network_load(struct sp_network *n,
                                             const struct sp_train_batch *batch,
                                             struct sp_error *err);
/* u32 of sp_network.scratch for these limits. */
size_t sp_network_scratch(const struct sp_params *params, const struct sp_network_limits *limits);

/* Attention of a layer as forward and backward call it. */
struct sp_train_attention_args sp_network_attention(const struct sp_network *n,
                                                    const struct sp_network_layer *layer);

static inline float *sp_network_value(const struct sp_network *n, size_t offset) {
  return n->values + offset;
}
static inline float *sp_network_gradient(const struct sp_network *n, size_t offset) {
  return n->gradients + offset;
}

#endif
