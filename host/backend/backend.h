/* backend.h - the contract between the encoder and a device.
 *
 * A backend is a table of functions.  The CPU backend is always built and is the oracle of every op;
 * registry.c alone knows which others are compiled in.
 *
 * Objects    device   one opened device at one compute type, shared by threads once its weights exist
 *            stream   one thread's queue of work with its scratch memory; ops run in order
 *            linear, vocab, embedding, norm, dense    weights packed for the device, immutable
 * Letters    T packed tokens, S sequences, R rows that go on (queries, scored rows), N targets,
 *            D hidden width, H heads, K and N of a product, V vocabulary
 * Types      act  the compute type: f32 or bf16; what products read
 *            res  the type of the residual stream: f32, as products before a norm write it
 * Rows       every row buffer that a linear reads or writes must have room for the row count rounded
 *            up to device->row_quantum; what stands in the surplus rows is finite and meaningless.
 * Exactness  a row's result depends on that row's inputs alone, bit for bit: never on its place, on
 *            the number of rows, on the batch or on the thread.
 * Errors     SP_EDEVICE from ops and memory, SP_EMODEL where a shape cannot be run. */
#ifndef SP_BACKEND_H
#define SP_BACKEND_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum sp_compute { SP_COMPUTE_F32, SP_COMPUTE_BF16 };
enum sp_activation { SP_ACT_NONE, SP_ACT_GELU_ERF, SP_ACT_GELU_TANH, SP_ACT_RELU, SP_ACT_TANH };

/* Which rows a product is for. Each has one fixed tile of rows, so that scores do not depend on the
 * batch: SP_ROWS_TOKENS for whole packed batches, SP_ROWS_SCORED for the rows that are scored. */
enum sp_row_kind { SP_ROWS_TOKENS, SP_ROWS_SCORED };

struct sp_backend; /* table of functions, below */
struct sp_linear;
struct sp_vocab;
struct sp_embedding;
struct sp_norm;
struct sp_dense;
struct sp_stream;
struct sp_train_backend; /* train.h */

struct sp_device {
  const struct sp_backend *backend;
  enum sp_compute compute;
  size_t act_bytes, res_bytes; /* of one element; equal where the compute type is f32 */
  size_t row_quantum;          /* row buffers are rounded up to this */
  size_t chunk_rows;           /* rows after which the feed-forward pair is cut; a multiple of
                                  row_quantum, 0: never */
  bool host_memory;            /* device memory is the host's: ops take host arrays as they are */
  size_t max_head_dim;         /* that attention can run */
  bool adds_residual;          /* linear takes a residual; where it does not, add_norm does */
  size_t lanes;                /* batches that one host thread keeps in flight, a stream each */
  char name[32];               /* "cpu", "cuda:2": how messages call it */
  char type[160];              /* what decides bits: "cpu avx512_bf16 oneDNN 2.6.3" */
};

/* Arguments of attention.  Query rows of sequence s are [row_start[s], row_start[s+1]).  The sequence
 * has key_len[s] key slots; slot j is row key_start[s] + j of k and v, or where key_row is given, row
 * key_row[key_start[s] + j] below slot key_split[s] and key_row[key_own[s] + j - key_split[s]] from
 * there on.  Slots decide the order of every sum, rows only where a value is read. */
struct sp_attention_args {
  const void *q;                /* (Q, q_stride) act; a row's heads are H * head_dim wide          */
  const void *k, *v;            /* (T, kv_stride) act                                              */
  void *out;                    /* (R, H * head_dim) act                                           */
  size_t q_stride, kv_stride;   /* elements                                                        */
  size_t heads, head_dim;
  size_t sequences;
  const uint32_t *row_start;    /* (S + 1)                                                         */
  const uint32_t *q_row;        /* (R) row of q; NULL: row r itself                                */
  const uint32_t *key_start;    /* (S)                                                             */
  const uint32_t *key_len;      /* (S)                                                             */
  const uint32_t *key_row;      /* rows of k and v; NULL: as they stand                            */
  const uint32_t *key_split;    /* (S) at most key_len; with key_row                               */
  const uint32_t *key_own;      /* (S) with key_row                                                */
  const uint64_t *mask;         /* bit j of a row: it sees slot j; NULL: everything is seen.  The
                                   sequence's rows have ceil(key_len / 64) words each, one row after
                                   the other                                                       */
  const uint64_t *mask_start;   /* (S) first word of each sequence; NULL with mask                 */
};

/* Arguments of expand: sequence s is base_ids[base_start[s], + len[s]) with [mask] at positions
 * [mask_lo[s], mask_hi[s]), written at token_start[s]; up to token_start[s+1] padding follows. */
struct sp_expand_args {
  const int32_t *base_ids;
  const uint32_t *base_start, *len, *mask_lo, *mask_hi; /* (S) */
  const uint32_t *token_start;                          /* (S + 1) */
  size_t sequences;
  int32_t mask_id, pad_id;
  int32_t *ids;        /* out (T) */
  uint32_t *positions; /* out (T) 0-based position in the sequence; padding has 0 */
};

/* Which keys a row sees.  All but full see the row itself and the `left` keys before it; beyond it,
 * layerwise sees `reach` more, chunked the rest of the row's chunk of `reach` positions, and dynamic
 * key i + r where bit r - 1 of the row's scheduler bits is set, r = 1 .. reach (methods.md 2.3, 2.4,
 * 2.8). */
enum sp_mask_policy {
  SP_MASK_FULL,
  SP_MASK_CAUSAL,
  SP_MASK_LAYERWISE,
  SP_MASK_CHUNKED,
  SP_MASK_DYNAMIC
};
#define SP_MAX_REACH 32 /* of a dynamic mask: bits of a row */

/* One position of a sequence, the first or the last, may be exempt: its row sees every key, or besides
 * no other row sees it, so that nothing spreads through it. */
enum sp_mask_exempt { SP_EXEMPT_NONE, SP_EXEMPT_SEES_ALL, SP_EXEMPT_HIDDEN };

/* Arguments of mask. Rows and words are laid out as attention reads them; bits past key_len are 0. */
struct sp_mask_args {
  enum sp_mask_policy policy;
  size_t reach;                 /* at least 1 for chunked; at most SP_MAX_REACH for dynamic */
  size_t left;                  /* SIZE_MAX: no window */
  enum sp_mask_exempt exempt;   /* not with full */
  bool exempt_last;             /* the sequence's last position, else its first */
  const uint32_t *bits;         /* dynamic only */
  const uint32_t *bits_row;     /* (R) row of `bits` of each row; NULL: row r itself */
  size_t sequences;
  const uint32_t *row_start;    /* (S + 1) */
  const uint32_t *row_position; /* (R) in its sequence */
  const uint32_t *len;          /* (S) positions of the sequence */
  const uint32_t *key_len;      /* (S) key slots, at most len: what lies beyond is not asked for */
  const uint64_t *mask_start;   /* (S) */
  uint64_t *mask;               /* out */
};

/* Arguments of schedule: the lookahead scheduler of one layer, dense layers on rows (R, D) of the
 * residual stream, fp32; the last has `reach` outputs g_1 .. g_reach. */
struct sp_schedule_args {
  const struct sp_dense *const *layers;
  size_t n_layers;
  size_t reach;    /* 1 to SP_MAX_REACH */
  bool span;       /* bit r - 1: prod over m <= r of sigmoid(tau g_m) >= 0.5, fp32, m ascending; */
  float tau;       /*           else g_r >= 0 (methods.md 2.4) */
  const void *rows_res;
  size_t rows;
  uint32_t *bits;  /* out (R); bits from `reach` on are 0 */
  uint32_t *nan;   /* set to 1 when a logit is NaN, whose bit is 0; left alone otherwise */
  /* NULL, or the mask of these very rows, written by the same pass: dynamic, `bits` and `bits_row` of
   * it are not looked at. */
  const struct sp_mask_args *mask;
};

enum { SP_MAX_DEVICES = 64, SP_DEVICE_LINE = 160 };

/* A device as this process numbers it, and as all processes of the host know it. */
struct sp_device_identity {
  uint64_t id;   /* that of no other device */
  size_t number; /* for --device */
};

/* The processes of one job, each with devices of its own, and how they hand bytes to each other: what all of
 * them call in the same order. A failure of one reaches the others as the failure of their next call. */
struct sp_share_job {
  size_t rank, count; /* this one, of at least 2 */
  void *context;
  /* Rank 0's bytes to all; sums of all ranks, element by element, to all. */
  enum sp_status (*broadcast)(void *context, void *data, size_t bytes, struct sp_error *err);
  enum sp_status (*sum)(void *context, double *values, size_t n, struct sp_error *err);
  char notice[400]; /* out, alike: what did not go as it should, and was done otherwise; or empty */
};

struct sp_backend {
  const char *name;
  const struct sp_train_backend *train; /* NULL: models cannot be trained on it */

  /* Describes the usable devices, a line each, at most `room`; returns how many. Never fails. */
  size_t (*list)(char (*lines)[SP_DEVICE_LINE], size_t room);
  /* Optional: which the usable devices are, at most `room`; returns how many. Never fails. */
  size_t (*identify)(struct sp_device_identity *out, size_t room);
  /* Opens the devices that `spec` names, what stands after the colon of --device ("": all of them),
   * all of one type; *n of them, at most `room`. None stays open on failure. */
  enum sp_status (*open)(const char *spec, enum sp_compute compute, struct sp_device **out,
                         size_t room, size_t *n, struct sp_error *err);
  void (*close)(struct sp_device *device); /* after all its objects are destroyed; NULL is fine */
  /* Optional: tokens of a batch that fill the device, for a model of that width; NULL or 0: any. */
  size_t (*batch_tokens)(const struct sp_device *device, size_t hidden);

  /* Weights. Sources are host f32, row-major, copied; made before any stream of the device.  With
   * NULL sources only room is taken, and share_weights brings the values.  A linear writes res where
   * `out_res` says so, else act. */
  enum sp_status (*linear_create)(struct sp_device *device, const float *weight /* (N, K) */,
                                  const float *bias /* (N) */, size_t n, size_t k,
                                  enum sp_activation activation, enum sp_row_kind rows,
                                  bool out_res, struct sp_linear **out, struct sp_error *err);
  void (*linear_destroy)(struct sp_linear *linear);
  enum sp_status (*vocab_create)(struct sp_device *device, const float *weight /* (V, D) */,
                                 const float *bias /* (V) */, size_t v, size_t d,
                                 struct sp_vocab **out, struct sp_error *err);
  void (*vocab_destroy)(struct sp_vocab *vocab);
  enum sp_status (*norm_create)(struct sp_device *device, const float *gamma, const float *beta,
                                size_t d, float eps, struct sp_norm **out, struct sp_error *err);
  void (*norm_destroy)(struct sp_norm *norm);
  enum sp_status (*embedding_create)(struct sp_device *device, const float *words /* (V, D) */,
                                     const float *positions /* (P, D) */,
                                     const float *type0 /* (D) */, size_t v, size_t p, size_t d,
                                     struct sp_embedding **out, struct sp_error *err);
  void (*embedding_destroy)(struct sp_embedding *embedding);
  enum sp_status (*dense_create)(struct sp_device *device, const float *weight /* (N, K) */,
                                 const float *bias /* (N) */, size_t n, size_t k,
                                 enum sp_activation activation, struct sp_dense **out,
                                 struct sp_error *err);
  void (*dense_destroy)(struct sp_dense *dense);
  /* Optional: brings the weights of devices[0] to the others, whose objects were made by the same
   * calls in the same order without sources; with a `job`, the weights of devices[0] of rank 0 to
   * all others of all ranks.  NULL: every device is given sources. */
  enum sp_status (*share_weights)(struct sp_device *const *devices, size_t n,
                                  struct sp_share_job *job /* NULL: of this process alone */,
                                  struct sp_error *err);

  /* Streams and memory. Memory is zeroed and 64-byte aligned. */
  enum sp_status (*stream_create)(struct sp_device *device, struct sp_stream **out,
                                  struct sp_error *err);
  void (*stream_destroy)(struct sp_stream *stream);
  enum sp_status (*alloc)(struct sp_device *device, size_t bytes, void **out, struct sp_error *err);
  void (*free)(struct sp_device *device, void *data);
  /* Host memory that copies to and from the device overlap with compute (pinned); zeroed. */
  enum sp_status (*alloc_host)(struct sp_device *device, size_t bytes, void **out,
                               struct sp_error *err);
  void (*free_host)(struct sp_device *device, void *data);
  enum sp_status (*upload)(struct sp_stream *stream, void *to, const void *from, size_t bytes,
                           struct sp_error *err);
  enum sp_status (*download)(struct sp_stream *stream, void *to, const void *from, size_t bytes,
                             struct sp_error *err);
  /* Waits until everything that was queued on the stream is done. */
  enum sp_status (*finish)(struct sp_stream *stream, struct sp_error *err);

  /* Ops, queued on the stream. */

  /* Masked copies from one copy of the tokens. */
  enum sp_status (*expand)(struct sp_stream *stream, const struct sp_expand_args *args,
                           struct sp_error *err);
  /* norm(word + position + type): res (T, D), act (T, D); act may equal res where types agree. */
  enum sp_status (*embed)(struct sp_stream *stream, const struct sp_embedding *embedding,
                          const struct sp_norm *norm, const int32_t *ids /* (T) */,
                          const uint32_t *positions /* (T) */, size_t rows, void *res, void *act,
                          struct sp_error *err);
  /* out = activation(in W^T + bias) + residual: in (R, K) act, out (R, N) act, or res as it was
   * made; residual (R, N) res or NULL, only with out_res and where device->adds_residual. */
  enum sp_status (*linear)(struct sp_stream *stream, const struct sp_linear *linear, const void *in,
                           const void *residual, size_t rows, void *out, struct sp_error *err);
  /* The words of a mask policy, for attention. */
  enum sp_status (*mask)(struct sp_stream *stream, const struct sp_mask_args *args,
                         struct sp_error *err);
  /* What the rows of a dynamic mask see, from the layer's own input. */
  enum sp_status (*schedule)(struct sp_stream *stream, const struct sp_schedule_args *args,
                             struct sp_error *err);
  /* Softmax(q k^T / sqrt(head_dim)) v over the keys that a row sees; fp32 inside.  A row that sees
   * nothing gives zeros. */
  enum sp_status (*attention)(struct sp_stream *stream, const struct sp_attention_args *args,
                              struct sp_error *err);
  /* y = norm(x + residual), x and residual (R, D) res, residual may be NULL; writes res and act (R,
   * D). Two-pass variance, fp32. res may be x or residual. act may equal res where types agree. */
  enum sp_status (*add_norm)(struct sp_stream *stream, const struct sp_norm *norm, const void *x,
                             const void *residual, size_t rows, void *res, void *act,
                             struct sp_error *err);
  /* to[r] = from[index[r]], rows of row_bytes. */
  enum sp_status (*gather)(struct sp_stream *stream, const void *from, size_t row_bytes,
                           const uint32_t *index /* (R) */, size_t rows, void *to,
                           struct sp_error *err);
  /* logp[t] = logit(row[t], id[t]) - logsumexp over V of logit(row[t], .), logits = h W^T + bias in
   * fp32, never stored whole.  h (R, D) act; targets are ordered by row. */
  enum sp_status (*vocab_logp)(struct sp_stream *stream, const struct sp_vocab *vocab,
                               const void *h, size_t rows, const uint32_t *target_row /* (N) */,
                               const int32_t *target_id /* (N) */, size_t targets,
                               float *logp /* (N) */, struct sp_error *err);
  /* The scalar head: dense layers one after the other on res rows, fp32, the last has one output. */
  enum sp_status (*score_head)(struct sp_stream *stream, const struct sp_dense *const *layers,
                               size_t n_layers, const void *rows_res /* (R, D) */, size_t rows,
                               float *score /* (R) */, struct sp_error *err);
};

/* The backends of this build, CPU first; *count of them. */
const struct sp_backend *const *sp_backend_list(size_t *count);
/* The name of the backend that `device` asks for, whether this build has it and this machine a device for it or
 * not; *name NULL for "auto". SP_EUSAGE where no build and no machine has such a device. */
SP_MUST_CHECK enum sp_status sp_backend_name_of(const char *device, const char **name,
                                                struct sp_error *err);
/* "cpu", "cuda", "cuda:0,2", "auto": the backend and, in *spec, what follows the colon. */
SP_MUST_CHECK enum sp_status sp_backend_find(const char *device, const struct sp_backend **out,
                                             const char **spec, struct sp_error *err);

/* Facts for `env` and for --dtype auto. */
struct sp_cpu_facts {
  const char *isa;        /* "avx512_bf16", the kernels' instruction set */
  bool amx, avx512_bf16;  /* bf16 products in hardware */
  char gemm[64];          /* "oneDNN 2.6.3" or "built-in" */
};
void sp_cpu_get_facts(struct sp_cpu_facts *facts);

#ifdef __cplusplus
}
#endif
#endif
