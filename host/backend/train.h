/* train.h - the second half of a backend's contract: what training needs of a device.
 *
 * A table of functions beside the one of backend.h; a backend without it (train == NULL) scores only.
 * Arrays are plain device memory (backend->alloc), row-major; weights are f32 masters in the caller's
 * memory, of which a `struct sp_train_weight` keeps what products read: bf16 where the compute type
 * is, laid out as the device likes it.
 *
 * Objects    trainer  one device's queue of work with its scratch memory; ops run in order.  On the
 *                     CPU every op is shared by the trainer's threads, and is done when it returns
 *            weight   a matrix that a product reads, refreshed from its master after every update
 * Letters    T packed tokens, S sequences, R rows, D hidden width, H heads, N and K of a product,
 *            V vocabulary, J reach of a scheduler
 * Types      act  the compute type, f32 or bf16: what products read and what is kept for the way back
 *            the residual stream, its gradient, statistics, losses, masters and their gradients: f32
 * Backward   lies beside its forward op and has its name.  Gradients of weights, biases and norms are
 *            added to (accumulated over batches); gradients of activations are written or added as
 *            each op says.  d_y reads: the loss's derivative with respect to y
 * Exactness  every sum has one order that depends on shapes alone: never on the number of threads,
 *            no atomics on floats.  Equal calls give equal bits
 * Rows       row buffers have room for the row count rounded up to `row_quantum`; surplus rows are
 *            read by nobody (an op that likes whole tiles treats them as zeros or skips them)
 * Errors     SP_EDEVICE; SP_EMODEL where a shape cannot be run. */
#ifndef SP_BACKEND_TRAIN_H
#define SP_BACKEND_TRAIN_H

#include "backend.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_trainer;
struct sp_train_weight;

/* What a trainer is made for: its scratch memory is a pure function of this. */
struct sp_train_limits {
  size_t rows;       /* T of any call, at most */
  size_t scored;     /* R of vocab_loss, at most */
  size_t sequences;  /* S, at most */
  size_t length;     /* positions of one sequence, at most */
  size_t width;      /* N and K of any product but the vocabulary's, at most */
  size_t heads, head_dim;
  size_t vocab;      /* V; 0: vocab_loss is not asked for */
  size_t threads;    /* host threads of a CPU trainer, this one included; 0: as many as there are */
};

/* ---- products ---- */

/* pre = in W^T + bias; out = activation(pre). */
struct sp_train_linear_args {
  const struct sp_train_weight *weight; /* (N, K) */
  const float *bias;                    /* (N) f32 master */
  const void *in;                       /* (R, K) of the weight's type */
  size_t rows;
  enum sp_activation activation;
  void *pre;    /* out (R, N) of the weight's type, before the activation; NULL without one */
  void *out;    /* out (R, N) */
  bool out_f32; /* else of the weight's type */
};

/* d_pre = d_out * activation'(pre); d_weight += d_pre^T in; d_bias += sum over rows of d_pre;
 * d_in (+)= d_pre W. */
struct sp_train_linear_backward_args {
  const struct sp_train_weight *weight;
  const void *in;    /* (R, K), as forward read it */
  const void *pre;   /* (R, N), as forward wrote it; NULL without activation */
  enum sp_activation activation;
  size_t rows;
  const void *d_out; /* (R, N) */
  bool d_out_f32;    /* else of the weight's type */
  void *d_in;        /* (R, K): of the weight's type and written, or where d_in_add is set f32 and added
                        to; NULL: not asked for */
  bool d_in_add;
  float *d_weight;   /* (N, K), added to */
  float *d_bias;     /* (N), added to */
};

/* ---- attention ---- */

/* out[r] = sum_j p_rj v_j, p = softmax over the keys that the row sees of q k^T / sqrt(head_dim) + b_rj.
 * Query rows of sequence s are [row_start[s], row_start[s+1]), its keys [key_start[s], key_start[s+1]).
 * b is 0 but for the `reach` keys after the row's own position p: b_rj = bias[r * reach + j - p - 1] for
 * p < j <= p + reach, the log of a soft mask (methods.md 2.3; -inf is an absent key).  A key whose mask bit
 * is clear is absent, whatever its bias.  A row whose position is the sequence's length has no such keys. */
struct sp_train_attention_args {
  const void *q, *k, *v;      /* (R, q_stride), (T, kv_stride) act, a row's heads one after the other */
  size_t q_stride, kv_stride; /* elements */
  size_t heads, head_dim;
  size_t sequences, rows, keys;   /* S, R, T in all */
  const uint32_t *row_start;      /* (S + 1) */
  const uint32_t *key_start;      /* (S + 1) */
  const uint32_t *row_position;   /* (R) position of the row in its sequence */
  const uint64_t *mask;           /* as attention of backend.h: ceil(len / 64) words a row; NULL: all */
  const uint64_t *mask_start;     /* (S) */
  const float *bias;              /* (R, reach) or NULL */
  size_t reach;
  void *out;                      /* out (R, heads * head_dim) act */
  float *lse;                     /* out (R, heads): log of the softmax's denominator */
};

/* The gradients, all written.  d_q may lie with d_k and d_v in one array of stride 3D where R is T. */
struct sp_train_attention_backward_args {
  struct sp_train_attention_args forward; /* as it was called: out and lse are read */
  const void *d_out;            /* (R, heads * head_dim) act */
  void *d_q, *d_k, *d_v;        /* (R, d_q_stride), (T, d_kv_stride) act */
  size_t d_q_stride, d_kv_stride;
  float *d_bias;                /* (R, reach), heads summed in order; NULL without bias */
};

/* ---- norms, embeddings ---- */

/* s = x + residual; y = (s - mean) rstd gamma + beta. */
struct sp_train_norm_args {
  const float *x;        /* (R, D) */
  const float *residual; /* (R, D) or NULL */
  const float *gamma, *beta; /* (D) masters */
  float eps;
  size_t rows, d;
  float *sum;            /* out (R, D) s, kept for the way back; may be x */
  float *mean, *rstd;    /* out (R) */
  float *res;            /* out (R, D) y; NULL: not asked for */
  void *act;             /* out (R, D) y act; NULL: not asked for; may be res where act is f32 */
};

/* d_s, in the place of d_y; d_gamma and d_beta are added to. */
struct sp_train_norm_backward_args {
  const float *sum, *mean, *rstd; /* as forward wrote them */
  const float *gamma;
  size_t rows, d;
  float *d_y;                     /* (R, D) in: d_y, out: d_s */
  float *d_gamma, *d_beta;        /* (D) */
};

/* x = words[id] + positions[position] + type; the caller norms it. */
struct sp_train_embed_args {
  const float *words, *positions, *type; /* (V, D), (P, D), (D) masters */
  const int32_t *ids;                    /* (T) */
  const uint32_t *position;              /* (T) */
  size_t rows, d;
  float *x;                              /* out (T, D) */
};

/* to[target[g]] += sum over m in [start[g], start[g + 1]), in order, of from[row[m]]: what embed, and
 * any gather, is backwards.  Targets differ from each other. */
struct sp_train_segment_args {
  const float *from;      /* (.., D) */
  const uint32_t *row;    /* (start[groups]) rows of `from` */
  const uint32_t *start;  /* (groups + 1) */
  const uint32_t *target; /* (groups) rows of `to` */
  size_t groups, members, d; /* members = start[groups] */
  float *to;
};

/* ---- losses ---- */

/* loss[r] = logsumexp over V of logits(r, .) - logit(r, target[r]), logits = h W^T + bias in f32.  With
 * backward set, d_logits = scale (softmax - one-hot), and d_h is written, d_weight and d_bias added to. */
struct sp_train_vocab_args {
  const struct sp_train_weight *weight; /* (V, D) */
  const float *bias;                    /* (V) */
  const void *h;                        /* (R, D) act */
  const int32_t *target;                /* (R) in [0, V) */
  size_t rows;
  float *loss;                          /* out (R), natural log */
  bool backward;
  float scale;                          /* d_loss of every row */
  float *d_h;                           /* out (R, D) f32 */
  float *d_weight, *d_bias;             /* (V, D), (V) */
};

/* A soft mask from a scheduler's logits (methods.md 2.4): a_r = sigmoid(tau g_r), or where `span` is set
 * the product of sigmoid(tau g_m) over m <= r.  log_a is its natural log, -inf never (log-sigmoid in a
 * stable form); with `hard`, 0 where the rounded mask has the key (g_r >= 0; span: product >= 0.5, f32, m
 * ascending) and -inf where not.  Cells beyond room[r] keys are -inf and count nowhere. */
struct sp_train_soften_args {
  const float *g;         /* (R, J) */
  const uint32_t *room;   /* (R) positions after the row in its sequence */
  size_t rows, reach;
  float tau;
  bool span, hard;
  float *log_a;           /* out (R, J) */
};
struct sp_train_soften_backward_args {
  struct sp_train_soften_args forward; /* not hard */
  const float *d_log_a;   /* (R, J) */
  float *d_g;             /* out (R, J) */
};

/* ---- updates ---- */

/* AdamW, Loshchilov and Hutter 2019, with bias correction:  m = b1 m + (1 - b1) c;  v = b2 v + (1 - b2)
 * c^2;  p -= rate ((m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps) + decay p),  c = clip * grad. */
struct sp_train_adamw_args {
  float *param, *m, *v;  /* (count) */
  const float *grad;     /* (count) */
  size_t count;
  float clip, rate, beta1, beta2, eps, decay;
  float correction1, correction2; /* 1 - b1^t, 1 - b2^t */
};

struct sp_train_backend {
  enum sp_status (*open)(struct sp_device *device, const struct sp_train_limits *limits,
                         struct sp_trainer **out, struct sp_error *err);
  void (*close)(struct sp_trainer *trainer); /* after its weights; NULL is fine */
  /* Bytes that open and the given weights take on the device, beside the caller's arrays. */
  enum sp_status (*weight_create)(struct sp_trainer *trainer, enum sp_compute type,
                                  const float *master /* (N, K) device memory, kept */, size_t n,
                                  size_t k, struct sp_train_weight **out, struct sp_error *err);
  void (*weight_destroy)(struct sp_train_weight *weight);
  /* After the master changed. */
  enum sp_status (*weight_refresh)(struct sp_trainer *trainer, struct sp_train_weight *weight,
                                   struct sp_error *err);

  enum sp_status (*upload)(struct sp_trainer *trainer, void *to, const void *from, size_t bytes,
                           struct sp_error *err);
  /* Waits until the data is there. */
  enum sp_status (*download)(struct sp_trainer *trainer, void *to, const void *from, size_t bytes,
                             struct sp_error *err);
  enum sp_status (*fill_zero)(struct sp_trainer *trainer, void *data, size_t bytes,
                              struct sp_error *err);
  enum sp_status (*finish)(struct sp_trainer *trainer, struct sp_error *err);

  enum sp_status (*embed)(struct sp_trainer *, const struct sp_train_embed_args *,
                          struct sp_error *);
  enum sp_status (*segment_add)(struct sp_trainer *, const struct sp_train_segment_args *,
                                struct sp_error *);
  /* to[r] = from[index[r]], rows of row_bytes, a multiple of 2. */
  enum sp_status (*gather)(struct sp_trainer *, const void *from, size_t row_bytes,
                           const uint32_t *index, size_t rows, void *to, struct sp_error *);
  enum sp_status (*linear)(struct sp_trainer *, const struct sp_train_linear_args *,
                           struct sp_error *);
  enum sp_status (*linear_backward)(struct sp_trainer *,
                                    const struct sp_train_linear_backward_args *,
                                    struct sp_error *);
  enum sp_status (*add_norm)(struct sp_trainer *, const struct sp_train_norm_args *,
                             struct sp_error *);
  enum sp_status (*add_norm_backward)(struct sp_trainer *,
                                      const struct sp_train_norm_backward_args *,
                                      struct sp_error *);
  enum sp_status (*attention)(struct sp_trainer *, const struct sp_train_attention_args *,
                              struct sp_error *);
  enum sp_status (*attention_backward)(struct sp_trainer *,
                                       const struct sp_train_attention_backward_args *,
                                       struct sp_error *);
  enum sp_status (*vocab_loss)(struct sp_trainer *, const struct sp_train_vocab_args *,
                               struct sp_error *);
  enum sp_status (*soften)(struct sp_trainer *, const struct sp_train_soften_args *,
                           struct sp_error *);
  enum sp_status (*soften_backward)(struct sp_trainer *,
                                    const struct sp_train_soften_backward_args *,
                                    struct sp_error *);
  enum sp_status (*adamw)(struct sp_trainer *, const struct sp_train_adamw_args *,
                          struct sp_error *);
  /* Sum of x_i^2 in f64, blocks of fixed size in order; waits. NaN and inf pass through. */
  enum sp_status (*square_sum)(struct sp_trainer *, const float *x, size_t count, double *out,
                               struct sp_error *);

  /* Optional: x[d] = sum over devices, in their order, of x[d], the same bits on each.  NULL: one
   * device only. */
  enum sp_status (*all_reduce)(struct sp_trainer *const *trainers, float *const *x, size_t devices,
                               size_t count, struct sp_error *err);
};

#ifdef __cplusplus
}
#endif
#endif
