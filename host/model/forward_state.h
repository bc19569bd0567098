/* forward_state.h - what stands behind sp_forward; private to the files named forward_*.c. */
#ifndef SP_MODEL_FORWARD_STATE_H
#define SP_MODEL_FORWARD_STATE_H

#include "forward.h"

/* A batch's arrays as the device sees them: those of the batch itself where device memory is the
 * host's, else copies that went up in one piece. */
struct sp_forward_inputs {
  const int32_t *base_ids;
  const uint32_t *base_start, *len, *mask_lo, *mask_hi, *token_start;
  const uint32_t *row_start, *row_position; /* scored rows ask */
  const uint32_t *row_token;                /* rows that go on; without `head` every token's */
  const uint32_t *mlm_row;                  /* of these, those with targets; beside cls rows */
  const uint32_t *cls_row, *target_row;
  const int32_t *target_id;
  const uint64_t *token_mask, *row_mask; /* under a lookahead: first words of the sequences' masks */
};

/* Letters as in backend.h. Row buffers have room for T rounded up to the row quantum; act and res
 * share memory where their types agree. */
struct sp_forward {
  const struct sp_weights *weights;
  struct sp_device *device;
  struct sp_stream *stream;
  struct sp_forward_rule rule;

  void *block;         /* all device memory */
  int32_t *ids;        /* (T) */
  uint32_t *positions; /* (T) */
  void *res;           /* (T, D) res   residual stream */
  void *act;           /* (T, D) act   its copy for products */
  void *qkv;           /* (T, 3D) act  q k v side by side; k v in the last layer */
  void *ctx;           /* (T, D) act   attention's output */
  void *proj;          /* (T, D) res   output of a product before its norm */
  void *ffn;           /* (C, F) act   C: rows of one chunk */
  void *row_res;       /* (T, D) res   rows that go on after the last attention */
  void *row_act;       /* (T, D) act */
  uint64_t *mask;      /* (T, words of the longest row) what every row sees */
  uint32_t *bits;      /* (T) scheduler bits; (L, T) where they are traced */
  uint32_t *nan;       /* (L) set where a layer's scheduler fails */
  float *logp;         /* (N) */
  float *cls;          /* (T) */
  char *staging;       /* the batch's arrays, on devices with memory of their own */

  char *pinned;         /* host memory of such devices: what goes up, then what comes down */
  size_t staged;        /* bytes of it that go up */
  float *logp_host;     /* (N) where results arrive: in `pinned`, or logp itself */
  float *cls_host;      /* (T) likewise */
  uint32_t *nan_host;   /* (L) likewise */
  uint32_t *bits_host;  /* as bits, likewise; with a dynamic rule */
  uint32_t *renamed;    /* host (2T + N): row numbers when every token goes on, without `head` */
  uint64_t *mask_start; /* host (2T): token_mask and row_mask, under a lookahead */

  struct sp_forward_inputs in; /* of the batch in flight */
  size_t targets, cls_rows, tokens;
  bool in_flight;

  struct sp_nodes *nodes; /* the batch's, where it goes by distinct nodes; else NULL */
  size_t level, rows;     /* layers that are queued, and rows of the last one */
  struct sp_node_outputs outputs;
};

static inline bool sp_forward_is_masked(const struct sp_forward *f) {
  return f->rule.lookahead.policy != SP_MASK_FULL;
}
static inline bool sp_forward_is_dynamic(const struct sp_forward *f) {
  return f->rule.lookahead.policy == SP_MASK_DYNAMIC;
}
static inline size_t sp_forward_mask_words(size_t keys) { return (keys + 63) / 64; }

/* ---- forward_memory.c ---- */

SP_MUST_CHECK enum sp_status sp_forward_take_memory(struct sp_forward *f, struct sp_error *err);
void sp_forward_give_memory(struct sp_forward *f);
/* The device's view of a host array of 4-byte elements, which `upload` brings up. */
const void *sp_forward_stage(struct sp_forward *f, const void *host, size_t count);
SP_MUST_CHECK enum sp_status sp_forward_upload(struct sp_forward *f, struct sp_error *err);
/* Rows of a feed-forward chunk. */
size_t sp_forward_chunk(const struct sp_device *device, size_t rows);

/* ---- forward_layers.c: the parts of a layer and the heads ---- */

/* x = norm(x + in W^T + bias) and its copy; `sum` has room for the product. */
SP_MUST_CHECK enum sp_status sp_forward_project_norm(struct sp_forward *f,
                                                     const struct sp_linear *linear,
                                                     const struct sp_norm *norm, const void *in,
                                                     size_t rows, void *sum, void *x, void *x_act,
                                                     struct sp_error *err);
/* ffn(x) added to x, in chunks that stay in a core's cache; x and its copy are overwritten. */
SP_MUST_CHECK enum sp_status sp_forward_feed(struct sp_forward *f, const struct sp_layer *layer,
                                             size_t rows, void *res, void *act,
                                             struct sp_error *err);
/* Attention over keys and values that stand side by side; sequences and masks are the caller's to
 * say. */
struct sp_attention_args sp_forward_attention(const struct sp_forward *f, const void *q,
                                              size_t q_stride, const void *k, size_t kv_stride);
/* Bits of `rows` rows of the residual stream, and where `mask` is not NULL their mask too. */
SP_MUST_CHECK enum sp_status sp_forward_schedule(struct sp_forward *f, size_t layer,
                                                 const void *res, size_t rows, uint32_t *bits,
                                                 const struct sp_mask_args *mask,
                                                 struct sp_error *err);
/* row_res and row_act hold the rows that go on; `rows` of them have targets: all of them, or where
 * mlm_row is not NULL those it names. */
SP_MUST_CHECK enum sp_status sp_forward_mlm_head(struct sp_forward *f, const uint32_t *mlm_row,
                                                 size_t rows, size_t targets,
                                                 struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_forward_cls_head(struct sp_forward *f, const uint32_t *cls_row,
                                                 size_t rows, struct sp_error *err);

/* ---- forward_plain.c ---- */

/* Queues the whole of a packed batch, up to the heads' outputs. */
SP_MUST_CHECK enum sp_status sp_forward_plain(struct sp_forward *f, const struct sp_batch *batch,
                                              struct sp_error *err);

/* ---- forward_nodes.c ---- */

SP_MUST_CHECK enum sp_status sp_forward_embed_nodes(struct sp_forward *f,
                                                    const struct sp_node_inputs *inputs,
                                                    struct sp_error *err);
/* Queues layer f->level, and after the last one the heads; waits first where it must. */
SP_MUST_CHECK enum sp_status sp_forward_next_nodes(struct sp_forward *f, struct sp_error *err);

#endif
