#include "forward.h"

#include <stdlib.h>

#include "checked.h"

/* Letters as in backend.h. Row buffers have room for T rounded up to the row quantum; act and res
 * share memory where their types agree. */
struct sp_forward {
  const struct sp_weights *weights;
  struct sp_device *device;
  struct sp_stream *stream;
  struct sp_batch_limits limits;
  unsigned savings;
  int32_t mask_id, pad_id;

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
  float *logp;         /* (N) */
  float *cls;          /* (T) */
  char *staging;       /* the batch's arrays, on devices with memory of their own */
  size_t staging_used;

  uint32_t *all_rows; /* host (max T, N): row numbers when every token goes on, without `head` */
};

/* ---- memory ---- */

struct layout {
  size_t ids, positions, res, act, qkv, ctx, proj, ffn, row_res, row_act, logp, cls, staging;
  size_t bytes;
};

static size_t place(struct layout *layout, size_t rows, size_t row_bytes) {
  size_t at = layout->bytes;
  layout->bytes = sp_round_up(at + rows * row_bytes, 256);
  return at;
}

static size_t chunk_of(const struct sp_device *device, size_t rows) {
  return device->chunk_rows ? sp_min_size(device->chunk_rows, rows) : rows;
}

static struct layout lay_out(const struct sp_model_config *c, const struct sp_device *device,
                             const struct sp_batch_limits *limits) {
  struct layout layout = {0};
  size_t rows = sp_round_up(limits->tokens, device->row_quantum);
  size_t act = device->act_bytes * c->hidden, res = device->res_bytes * c->hidden;
  bool shared = device->act_bytes == device->res_bytes;
  layout.ids = place(&layout, rows, sizeof(int32_t));
  layout.positions = place(&layout, rows, sizeof(uint32_t));
  layout.res = place(&layout, rows, res);
  layout.act = shared ? layout.res : place(&layout, rows, act);
  layout.qkv = place(&layout, rows, 3 * act);
  layout.ctx = place(&layout, rows, act);
  layout.proj = place(&layout, rows, res);
  layout.ffn = place(&layout, chunk_of(device, rows), device->act_bytes * c->ffn);
  layout.row_res = place(&layout, rows, res);
  layout.row_act = shared ? layout.row_res : place(&layout, rows, act);
  layout.logp = place(&layout, limits->targets, sizeof(float));
  layout.cls = place(&layout, rows, sizeof(float));
  if (!device->host_memory) { /* 14 arrays of T, 2 of N, each rounded up */
    layout.staging = place(&layout, 1, 14 * (limits->tokens * 4 + 256) + limits->targets * 8 + 512);
  }
  return layout;
}

size_t sp_forward_bytes(const struct sp_model_config *config, const struct sp_device *device,
                        const struct sp_batch_limits *limits) {
  return lay_out(config, device, limits).bytes;
}

static void set_pointers(struct sp_forward *f, const struct layout *layout) {
  char *block = f->block;
  f->ids = (int32_t *)(block + layout->ids);
  f->positions = (uint32_t *)(block + layout->positions);
  f->res = block + layout->res;
  f->act = block + layout->act;
  f->qkv = block + layout->qkv;
  f->ctx = block + layout->ctx;
  f->proj = block + layout->proj;
  f->ffn = block + layout->ffn;
  f->row_res = block + layout->row_res;
  f->row_act = block + layout->row_act;
  f->logp = (float *)(block + layout->logp);
  f->cls = (float *)(block + layout->cls);
  f->staging = block + layout->staging;
}

enum sp_status sp_forward_create(const struct sp_weights *weights,
                                 const struct sp_batch_limits *limits, unsigned savings,
                                 int32_t mask_id, int32_t pad_id, struct sp_forward **out,
                                 struct sp_error *err) {
  *out = NULL;
  struct sp_forward *f = calloc(1, sizeof *f);
  if (!f) {
    return sp_fail_memory(err, sizeof *f);
  }
  *f = (struct sp_forward){.weights = weights,
                           .device = weights->device,
                           .limits = *limits,
                           .savings = savings,
                           .mask_id = mask_id,
                           .pad_id = pad_id < 0 ? 0 : pad_id};
  const struct sp_backend *b = f->device->backend;
  struct layout layout = lay_out(&weights->config, f->device, limits);
  enum sp_status status;
  SP_TRY_GOTO(b->stream_create(f->device, &f->stream, err), destroy);
  SP_TRY_GOTO(b->alloc(f->device, layout.bytes, &f->block, err), destroy);
  set_pointers(f, &layout);
  size_t numbers = sp_max_size(limits->tokens, limits->targets);
  f->all_rows = malloc(numbers * sizeof *f->all_rows);
  if (!f->all_rows) {
    status = sp_fail_memory(err, numbers * sizeof *f->all_rows);
    goto destroy;
  }
  *out = f;
  return SP_OK;
destroy:
  sp_forward_destroy(f);
  return status;
}

void sp_forward_destroy(struct sp_forward *f) {
  if (!f) {
    return;
  }
  const struct sp_backend *b = f->device->backend;
  if (f->block) {
    b->free(f->device, f->block);
  }
  if (f->stream) {
    b->stream_destroy(f->stream);
  }
  free(f->all_rows);
  free(f);
}

/* The device's view of a host array: the array itself, or a copy in the staging area. */
static enum sp_status stage(struct sp_forward *f, const void *host, size_t bytes,
                            const void **device, struct sp_error *err) {
  if (f->device->host_memory) {
    *device = host;
    return SP_OK;
  }
  char *to = f->staging + f->staging_used;
  f->staging_used = sp_round_up(f->staging_used + bytes, 256);
  *device = to;
  return f->device->backend->upload(f->stream, to, host, bytes, err);
}

/* ---- the encoder ---- */

static char *row_at(void *data, size_t row, size_t row_bytes) {
  return (char *)data + row * row_bytes;
}

static enum sp_status embed(struct sp_forward *f, const struct sp_batch *batch,
                            struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  struct sp_expand_args args = {.sequences = batch->sequences,
                                .mask_id = f->mask_id,
                                .pad_id = f->pad_id,
                                .ids = f->ids,
                                .positions = f->positions};
  size_t bytes = batch->sequences * sizeof(uint32_t);
  SP_TRY(stage(f, batch->base_ids, batch->base_tokens * sizeof(int32_t),
               (const void **)&args.base_ids, err));
  SP_TRY(stage(f, batch->base_start, bytes, (const void **)&args.base_start, err));
  SP_TRY(stage(f, batch->len, bytes, (const void **)&args.len, err));
  SP_TRY(stage(f, batch->mask_lo, bytes, (const void **)&args.mask_lo, err));
  SP_TRY(stage(f, batch->mask_hi, bytes, (const void **)&args.mask_hi, err));
  SP_TRY(stage(f, batch->token_start, bytes + sizeof(uint32_t), (const void **)&args.token_start,
               err));
  SP_TRY(b->expand(f->stream, &args, err));
  return b->embed(f->stream, f->weights->embedding, f->weights->embedding_norm, f->ids,
                  f->positions, batch->tokens, f->res, f->act, err);
}

/* ffn(x) added to x, in chunks that stay in a core's cache; x and its copy are overwritten. */
static enum sp_status feed_forward(struct sp_forward *f, const struct sp_layer *layer, size_t rows,
                                   void *res, void *act, struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  size_t d = f->weights->config.hidden;
  size_t chunk = chunk_of(f->device, rows);
  for (size_t first = 0; first < rows; first += chunk) {
    size_t n = sp_min_size(chunk, rows - first);
    char *x = row_at(res, first, d * f->device->res_bytes);
    char *x_act = row_at(act, first, d * f->device->act_bytes);
    char *y = row_at(f->proj, first, d * f->device->res_bytes);
    SP_TRY(b->linear(f->stream, layer->up, x_act, n, false, f->ffn, err));
    SP_TRY(b->linear(f->stream, layer->down, f->ffn, n, true, y, err));
    SP_TRY(b->add_norm(f->stream, layer->output_norm, y, x, n, x, x_act, err));
  }
  return SP_OK;
}

/* What attention needs to know of a batch, on the device. */
struct spans {
  const uint32_t *token_start, *key_len, *token_position; /* every token asks */
  const uint32_t *row_start, *row_position;               /* scored rows ask */
};

static enum sp_status attend(struct sp_forward *f, const void *q, size_t q_stride,
                             const void *k, size_t kv_stride, size_t sequences,
                             const struct spans *spans, bool scored_rows, struct sp_error *err) {
  const struct sp_model_config *c = &f->weights->config;
  struct sp_attention_args args = {
      .q = q,
      .k = k,
      .v = (const char *)k + c->hidden * f->device->act_bytes,
      .out = f->ctx,
      .q_stride = q_stride,
      .kv_stride = kv_stride,
      .heads = c->heads,
      .head_dim = c->head_dim,
      .sequences = sequences,
      .row_start = scored_rows ? spans->row_start : spans->token_start,
      .row_position = scored_rows ? spans->row_position : spans->token_position,
      .key_start = spans->token_start,
      .key_len = spans->key_len,
  };
  return f->device->backend->attention(f->stream, &args, err);
}

static enum sp_status inner_layer(struct sp_forward *f, const struct sp_layer *layer,
                                  const struct sp_batch *batch, const struct spans *spans,
                                  struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  size_t d = f->weights->config.hidden, t = batch->tokens;
  const char *k = (const char *)f->qkv + d * f->device->act_bytes;
  SP_TRY(b->linear(f->stream, layer->qkv, f->act, t, false, f->qkv, err));
  SP_TRY(attend(f, f->qkv, 3 * d, k, 3 * d, batch->sequences, spans, false, err));
  SP_TRY(b->linear(f->stream, layer->o, f->ctx, t, true, f->proj, err));
  SP_TRY(b->add_norm(f->stream, layer->attention_norm, f->proj, f->res, t, f->res, f->act, err));
  return feed_forward(f, layer, t, f->res, f->act, err);
}

/* Copies rows of the residual stream and of its act copy into row_res and row_act. */
static enum sp_status gather_rows(struct sp_forward *f, const uint32_t *index, size_t rows,
                                  struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  size_t d = f->weights->config.hidden;
  SP_TRY(b->gather(f->stream, f->res, d * f->device->res_bytes, index, rows, f->row_res, err));
  return f->row_act == f->row_res ? SP_OK
                                  : b->gather(f->stream, f->act, d * f->device->act_bytes, index,
                                              rows, f->row_act, err);
}

/* The rest of the last layer for rows whose q input is `act` and whose residual is `res`.  q passes
 * through proj's memory, which nothing else needs yet. */
static enum sp_status last_layer_rows(struct sp_forward *f, const struct sp_layer *layer,
                                      const struct sp_batch *batch, const struct spans *spans,
                                      bool scored_rows, size_t rows, void *res, void *act,
                                      struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  size_t d = f->weights->config.hidden;
  SP_TRY(b->linear(f->stream, layer->q, act, rows, false, f->proj, err));
  SP_TRY(attend(f, f->proj, d, f->qkv, 2 * d, batch->sequences, spans, scored_rows, err));
  SP_TRY(b->linear(f->stream, layer->o, f->ctx, rows, true, f->proj, err));
  SP_TRY(b->add_norm(f->stream, layer->attention_norm, f->proj, res, rows, res, act, err));
  return feed_forward(f, layer, rows, res, act, err);
}

/* Leaves the batch's scored rows in row_res and row_act; without the head saving every token's. */
static enum sp_status last_layer(struct sp_forward *f, const struct sp_layer *layer,
                                 const struct sp_batch *batch, const struct spans *spans,
                                 struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  bool head = (f->savings & SP_SAVING_HEAD) != 0;
  bool trim = head && (f->savings & SP_SAVING_TRIM);
  size_t rows = head ? batch->rows : batch->tokens;
  const uint32_t *index;
  SP_TRY(b->linear(f->stream, layer->kv, f->act, batch->tokens, false, f->qkv, err));
  if (!trim) {
    SP_TRY(last_layer_rows(f, layer, batch, spans, false, batch->tokens, f->res, f->act, err));
  }
  for (uint32_t t = 0; t < batch->tokens && !head; t++) {
    f->all_rows[t] = t;
  }
  SP_TRY(stage(f, head ? batch->row_token : f->all_rows, rows * sizeof *index,
               (const void **)&index, err));
  SP_TRY(gather_rows(f, index, rows, err));
  return trim ? last_layer_rows(f, layer, batch, spans, true, rows, f->row_res, f->row_act, err)
              : SP_OK;
}

/* ---- heads ---- */

/* Rows with targets, as the vocabulary head reads them. */
struct head_rows {
  void *in;
  size_t rows;
  const uint32_t *target_row; /* host (N) */
};

static enum sp_status choose_mlm_rows(struct sp_forward *f, const struct sp_batch *batch,
                                      struct head_rows *out, struct sp_error *err) {
  size_t row_bytes = f->weights->config.hidden * f->device->act_bytes;
  *out = (struct head_rows){f->row_act, batch->rows, batch->target_row};
  if (!(f->savings & SP_SAVING_HEAD)) {
    for (size_t t = 0; t < batch->targets; t++) {
      f->all_rows[t] = batch->row_token[batch->mlm_row[batch->target_row[t]]];
    }
    *out = (struct head_rows){f->row_act, batch->tokens, f->all_rows};
  } else if (batch->cls_rows > 0) { /* row_act holds other rows too */
    const uint32_t *mlm_row;
    *out = (struct head_rows){f->ctx, batch->rows - batch->cls_rows, batch->target_row};
    SP_TRY(stage(f, batch->mlm_row, out->rows * sizeof *mlm_row, (const void **)&mlm_row, err));
    SP_TRY(f->device->backend->gather(f->stream, f->row_act, row_bytes, mlm_row, out->rows, f->ctx,
                                      err));
  }
  return SP_OK;
}

static enum sp_status mlm_head(struct sp_forward *f, const struct sp_batch *batch, float *logp,
                               struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  void *normed = f->device->act_bytes == f->device->res_bytes ? f->proj : f->ctx;
  struct head_rows head;
  const uint32_t *target_row;
  const int32_t *target_id;
  SP_TRY(choose_mlm_rows(f, batch, &head, err));
  SP_TRY(stage(f, head.target_row, batch->targets * 4, (const void **)&target_row, err));
  SP_TRY(stage(f, batch->target_id, batch->targets * 4, (const void **)&target_id, err));
  SP_TRY(b->linear(f->stream, f->weights->transform, head.in, head.rows, true, f->proj, err));
  SP_TRY(b->add_norm(f->stream, f->weights->transform_norm, f->proj, NULL, head.rows, f->proj,
                     normed, err));
  SP_TRY(b->vocab_logp(f->stream, f->weights->vocab, normed, head.rows, target_row, target_id,
                       batch->targets, f->logp, err));
  return b->download(f->stream, logp, f->logp, batch->targets * sizeof *logp, err);
}

static enum sp_status cls_head(struct sp_forward *f, const struct sp_batch *batch, float *cls,
                               struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  size_t row_bytes = f->weights->config.hidden * f->device->res_bytes;
  const uint32_t *host = batch->cls_row, *cls_row;
  if (!(f->savings & SP_SAVING_HEAD)) {
    for (size_t r = 0; r < batch->cls_rows; r++) {
      f->all_rows[r] = batch->row_token[batch->cls_row[r]];
    }
    host = f->all_rows;
  }
  SP_TRY(stage(f, host, batch->cls_rows * sizeof *cls_row, (const void **)&cls_row, err));
  SP_TRY(b->gather(f->stream, f->row_res, row_bytes, cls_row, batch->cls_rows, f->proj, err));
  SP_TRY(b->score_head(f->stream, (const struct sp_dense *const *)f->weights->cls,
                       f->weights->n_cls, f->proj, batch->cls_rows, f->cls, err));
  return b->download(f->stream, cls, f->cls, batch->cls_rows * sizeof *cls, err);
}

enum sp_status sp_forward_run(struct sp_forward *f, const struct sp_batch *batch, float *logp,
                              float *cls, struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  size_t layers = f->weights->config.layers, s = batch->sequences;
  struct spans spans;
  f->staging_used = 0;
  SP_TRY(embed(f, batch, err));
  SP_TRY(stage(f, batch->token_start, (s + 1) * 4, (const void **)&spans.token_start, err));
  SP_TRY(stage(f, batch->len, s * 4, (const void **)&spans.key_len, err));
  SP_TRY(stage(f, batch->token_position, batch->tokens * 4, (const void **)&spans.token_position,
               err));
  SP_TRY(stage(f, batch->row_start, (s + 1) * 4, (const void **)&spans.row_start, err));
  SP_TRY(stage(f, batch->row_position, batch->rows * 4, (const void **)&spans.row_position, err));
  for (size_t l = 0; l + 1 < layers; l++) {
    SP_TRY(inner_layer(f, &f->weights->layers[l], batch, &spans, err));
  }
  SP_TRY(last_layer(f, &f->weights->layers[layers - 1], batch, &spans, err));
  if (batch->cls_rows > 0) {
    SP_TRY(cls_head(f, batch, cls, err));
  }
  if (batch->targets > 0) {
    SP_TRY(mlm_head(f, batch, logp, err));
  }
  return b->finish(f->stream, err);
}

double sp_forward_flops(const struct sp_model_config *c, unsigned savings, double tokens,
                        double sum_sq, double rows, double mlm_rows) {
  double d = (double)c->hidden, ffn = (double)c->ffn, layers = (double)c->layers;
  bool head = savings & SP_SAVING_HEAD, trim = head && (savings & SP_SAVING_TRIM);
  double per_row = 4 * d * d + 4 * d * ffn; /* q, o, up, down */
  double inner = (layers - 1) * (tokens * (per_row + 4 * d * d) + 4 * d * sum_sq);
  double asking = trim ? rows : tokens;
  double mean_len = tokens > 0 ? sum_sq / tokens : 0;
  double last = tokens * 4 * d * d + asking * (per_row + 4 * d * mean_len);
  double logits = head ? mlm_rows : (mlm_rows > 0 ? tokens : 0);
  return inner + last + logits * (2 * d * d + 2 * d * (double)c->vocab_size);
}
