#include "forward.h"

#include <stdlib.h>
#include <string.h>

#include "checked.h"

/* A batch's arrays as the device sees them: those of the batch itself where device memory is the
 * host's, else copies that went up in one piece. */
struct inputs {
  const int32_t *base_ids;
  const uint32_t *base_start, *len, *mask_lo, *mask_hi, *token_start;
  const uint32_t *row_start, *row_position; /* scored rows ask */
  const uint32_t *row_token;                /* rows that go on; without `head` every token's */
  const uint32_t *mlm_row;                  /* of these, those with targets; beside cls rows */
  const uint32_t *cls_row, *target_row;
  const int32_t *target_id;
  const uint64_t *mask_start; /* under a lookahead */
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
  float *logp;         /* (N) */
  float *cls;          /* (T) */
  char *staging;       /* the batch's arrays, on devices with memory of their own */

  char *pinned;         /* host memory of such devices: what goes up, then what comes down */
  size_t staged;        /* bytes of it that go up */
  float *logp_host;     /* (N) where results arrive: in `pinned`, or logp itself */
  float *cls_host;      /* (T) likewise */
  uint32_t *renamed;    /* host (2T + N): row numbers when every token goes on, without `head` */
  uint64_t *mask_start; /* host (T): first word of each sequence's mask, under a lookahead */

  struct inputs in; /* of the batch in flight */
  size_t targets, cls_rows;
  bool in_flight;
};

/* ---- memory ---- */

struct layout {
  size_t ids, positions, res, act, qkv, ctx, proj, ffn, row_res, row_act, mask, logp, cls, staging;
  size_t bytes;
};

enum { stage_align = 256 };

/* Room for a batch's arrays: 11 of T, two of which have one more, a wide one of T, and 2 of N, each
 * rounded up. */
static size_t staging_bytes(const struct sp_batch_limits *limits) {
  return 12 * (limits->tokens * 4 + stage_align) + limits->tokens * 4 +
         2 * (limits->targets * 4 + stage_align) + 8;
}

/* The pinned block: the staged arrays, logp (N), cls (T). */
static size_t pinned_bytes(const struct sp_batch_limits *limits) {
  return sp_round_up(staging_bytes(limits), stage_align) +
         (limits->targets + limits->tokens) * sizeof(float);
}

static size_t place(struct layout *layout, size_t rows, size_t row_bytes) {
  size_t at = layout->bytes;
  layout->bytes = sp_round_up(at + rows * row_bytes, 256);
  return at;
}

static size_t mask_words(size_t keys) {
  return (keys + 63) / 64;
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
  layout.mask = place(&layout, rows, mask_words(c->max_positions) * sizeof(uint64_t));
  layout.logp = place(&layout, limits->targets, sizeof(float));
  layout.cls = place(&layout, rows, sizeof(float));
  if (!device->host_memory) {
    layout.staging = place(&layout, 1, staging_bytes(limits));
  }
  return layout;
}

size_t sp_forward_bytes(const struct sp_model_config *config, const struct sp_device *device,
                        const struct sp_batch_limits *limits) {
  return lay_out(config, device, limits).bytes;
}

size_t sp_forward_host_bytes(const struct sp_device *device, const struct sp_batch_limits *limits) {
  return device->host_memory ? 0 : pinned_bytes(limits);
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
  f->mask = (uint64_t *)(void *)(block + layout->mask);
  f->logp = (float *)(block + layout->logp);
  f->cls = (float *)(block + layout->cls);
  f->staging = block + layout->staging;
}

static bool is_masked(const struct sp_forward *f) {
  return f->rule.lookahead.policy != SP_MASK_FULL;
}

/* Host memory: where results arrive, and numbers that a batch does not have as they are. */
static enum sp_status take_host_memory(struct sp_forward *f, struct sp_error *err) {
  const struct sp_batch_limits *limits = &f->rule.limits;
  f->logp_host = f->logp;
  f->cls_host = f->cls;
  if (!f->device->host_memory) {
    void *pinned;
    SP_TRY(f->device->backend->alloc_host(f->device, pinned_bytes(limits), &pinned, err));
    f->pinned = pinned;
    f->logp_host = (float *)(void *)(f->pinned + sp_round_up(staging_bytes(limits), stage_align));
    f->cls_host = f->logp_host + limits->targets;
  }
  if (is_masked(f)) {
    f->mask_start = malloc(limits->tokens * sizeof *f->mask_start);
    if (!f->mask_start) {
      return sp_fail_memory(err, limits->tokens * sizeof *f->mask_start);
    }
  }
  if (!(f->rule.savings & SP_SAVING_HEAD)) {
    size_t numbers = 2 * limits->tokens + limits->targets;
    f->renamed = malloc(numbers * sizeof *f->renamed);
    return f->renamed ? SP_OK : sp_fail_memory(err, numbers * sizeof *f->renamed);
  }
  return SP_OK;
}

enum sp_status sp_forward_create(const struct sp_weights *weights,
                                 const struct sp_forward_rule *rule, struct sp_forward **out,
                                 struct sp_error *err) {
  *out = NULL;
  struct sp_forward *f = calloc(1, sizeof *f);
  if (!f) {
    return sp_fail_memory(err, sizeof *f);
  }
  *f = (struct sp_forward){.weights = weights, .device = weights->device, .rule = *rule};
  if (rule->pad_id < 0) {
    f->rule.pad_id = 0;
  }
  const struct sp_backend *b = f->device->backend;
  struct layout layout = lay_out(&weights->config, f->device, &rule->limits);
  enum sp_status status;
  SP_TRY_GOTO(b->stream_create(f->device, &f->stream, err), destroy);
  SP_TRY_GOTO(b->alloc(f->device, layout.bytes, &f->block, err), destroy);
  set_pointers(f, &layout);
  SP_TRY_GOTO(take_host_memory(f, err), destroy);
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
  if (f->in_flight) { /* nothing may run in memory that is given back */
    b->finish(f->stream, NULL);
  }
  if (f->pinned) {
    b->free_host(f->device, f->pinned);
  }
  if (f->block) {
    b->free(f->device, f->block);
  }
  if (f->stream) {
    b->stream_destroy(f->stream);
  }
  free(f->renamed);
  free(f->mask_start);
  free(f);
}

/* ---- a batch's arrays ---- */

/* The device's view of a host array of 4-byte elements. */
static const void *stage(struct sp_forward *f, const void *host, size_t count) {
  if (f->device->host_memory) {
    return host;
  }
  size_t at = f->staged;
  if (count > 0) {
    memcpy(f->pinned + at, host, count * 4);
  }
  f->staged = sp_round_up(at + count * 4, stage_align);
  return f->staging + at;
}

/* Without `head` the rows that go on are the tokens: what a batch says of its rows is renamed. */
static void stage_all_rows(struct sp_forward *f, const struct sp_batch *batch) {
  uint32_t *token = f->renamed;
  uint32_t *cls_row = token + f->rule.limits.tokens;
  uint32_t *target_row = cls_row + f->rule.limits.tokens;
  for (uint32_t t = 0; t < batch->tokens; t++) {
    token[t] = t;
  }
  for (size_t r = 0; r < batch->cls_rows; r++) {
    cls_row[r] = batch->row_token[batch->cls_row[r]];
  }
  for (size_t t = 0; t < batch->targets; t++) {
    target_row[t] = batch->row_token[batch->mlm_row[batch->target_row[t]]];
  }
  f->in.row_token = stage(f, token, batch->tokens);
  f->in.cls_row = stage(f, cls_row, batch->cls_rows);
  f->in.target_row = stage(f, target_row, batch->targets);
}

/* A sequence's mask has a row for each of its keys. */
static void stage_mask_starts(struct sp_forward *f, const struct sp_batch *batch) {
  uint64_t words = 0;
  for (size_t s = 0; s < batch->sequences; s++) {
    f->mask_start[s] = words;
    words += batch->len[s] * mask_words(batch->len[s]);
  }
  f->in.mask_start = stage(f, f->mask_start, 2 * batch->sequences);
}

static enum sp_status stage_batch(struct sp_forward *f, const struct sp_batch *batch,
                                  struct sp_error *err) {
  size_t s = batch->sequences;
  f->staged = 0;
  f->in = (struct inputs){
      .base_ids = stage(f, batch->base_ids, batch->base_tokens),
      .base_start = stage(f, batch->base_start, s),
      .len = stage(f, batch->len, s),
      .mask_lo = stage(f, batch->mask_lo, s),
      .mask_hi = stage(f, batch->mask_hi, s),
      .token_start = stage(f, batch->token_start, s + 1),
      .row_start = stage(f, batch->row_start, s + 1),
      .row_position = stage(f, batch->row_position, batch->rows),
      .target_id = stage(f, batch->target_id, batch->targets),
  };
  if (f->rule.savings & SP_SAVING_HEAD) {
    f->in.row_token = stage(f, batch->row_token, batch->rows);
    f->in.mlm_row = stage(f, batch->mlm_row, batch->cls_rows ? batch->rows - batch->cls_rows : 0);
    f->in.cls_row = stage(f, batch->cls_row, batch->cls_rows);
    f->in.target_row = stage(f, batch->target_row, batch->targets);
  } else {
    stage_all_rows(f, batch);
  }
  if (is_masked(f)) {
    stage_mask_starts(f, batch);
  }
  return f->device->host_memory
             ? SP_OK
             : f->device->backend->upload(f->stream, f->staging, f->pinned, f->staged, err);
}

/* ---- the encoder ---- */

static char *row_at(void *data, size_t row, size_t row_bytes) {
  return (char *)data + row * row_bytes;
}

static enum sp_status embed(struct sp_forward *f, const struct sp_batch *batch,
                            struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  struct sp_expand_args args = {.base_ids = f->in.base_ids,
                                .base_start = f->in.base_start,
                                .len = f->in.len,
                                .mask_lo = f->in.mask_lo,
                                .mask_hi = f->in.mask_hi,
                                .token_start = f->in.token_start,
                                .sequences = batch->sequences,
                                .mask_id = f->rule.mask_id,
                                .pad_id = f->rule.pad_id,
                                .ids = f->ids,
                                .positions = f->positions};
  SP_TRY(b->expand(f->stream, &args, err));
  return b->embed(f->stream, f->weights->embedding, f->weights->embedding_norm, f->ids,
                  f->positions, batch->tokens, f->res, f->act, err);
}

/* What every row sees; one mask for all layers. */
static enum sp_status make_masks(struct sp_forward *f, const struct sp_batch *batch,
                                 struct sp_error *err) {
  struct sp_mask_args args = {.policy = f->rule.lookahead.policy,
                              .reach = f->rule.lookahead.reach,
                              .sequences = batch->sequences,
                              .key_start = f->in.token_start,
                              .key_len = f->in.len,
                              .mask_start = f->in.mask_start,
                              .mask = f->mask};
  return f->device->backend->mask(f->stream, &args, err);
}

/* x = norm(x + in W^T + bias) and its copy; `sum` has room for the product. */
static enum sp_status project_norm(struct sp_forward *f, const struct sp_linear *linear,
                                   const struct sp_norm *norm, const void *in, size_t rows,
                                   void *sum, void *x, void *x_act, struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  bool added = f->device->adds_residual;
  SP_TRY(b->linear(f->stream, linear, in, added ? x : NULL, rows, sum, err));
  return b->add_norm(f->stream, norm, sum, added ? NULL : x, rows, x, x_act, err);
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
    SP_TRY(b->linear(f->stream, layer->up, x_act, NULL, n, f->ffn, err));
    SP_TRY(project_norm(f, layer->down, layer->output_norm, f->ffn, n, y, x, x_act, err));
  }
  return SP_OK;
}

/* Either the scored rows ask, or every token. */
static enum sp_status attend(struct sp_forward *f, const void *q, size_t q_stride, const void *k,
                             size_t kv_stride, size_t sequences, bool scored_rows,
                             struct sp_error *err) {
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
      .row_start = scored_rows ? f->in.row_start : f->in.token_start,
      .row_position = scored_rows ? f->in.row_position : f->positions,
      .key_start = f->in.token_start,
      .key_len = f->in.len,
      .mask = is_masked(f) ? f->mask : NULL,
      .mask_start = is_masked(f) ? f->in.mask_start : NULL,
  };
  return f->device->backend->attention(f->stream, &args, err);
}

static enum sp_status inner_layer(struct sp_forward *f, const struct sp_layer *layer,
                                  const struct sp_batch *batch, struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  size_t d = f->weights->config.hidden, t = batch->tokens;
  const char *k = (const char *)f->qkv + d * f->device->act_bytes;
  SP_TRY(b->linear(f->stream, layer->qkv, f->act, NULL, t, f->qkv, err));
  SP_TRY(attend(f, f->qkv, 3 * d, k, 3 * d, batch->sequences, false, err));
  SP_TRY(project_norm(f, layer->o, layer->attention_norm, f->ctx, t, f->proj, f->res, f->act, err));
  return feed_forward(f, layer, t, f->res, f->act, err);
}

/* Copies rows of the residual stream and of its act copy into row_res and row_act. */
static enum sp_status gather_rows(struct sp_forward *f, const uint32_t *index, size_t rows,
                                  struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  size_t d = f->weights->config.hidden;
  SP_TRY(b->gather(f->stream, f->res, d * f->device->res_bytes, index, rows, f->row_res, err));
  return f->row_act == f->row_res
             ? SP_OK
             : b->gather(f->stream, f->act, d * f->device->act_bytes, index, rows, f->row_act, err);
}

/* The rest of the last layer for rows whose q input is `act` and whose residual is `res`.  q passes
 * through proj's memory, which nothing else needs yet. */
static enum sp_status last_layer_rows(struct sp_forward *f, const struct sp_layer *layer,
                                      const struct sp_batch *batch, bool scored_rows, size_t rows,
                                      void *res, void *act, struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  size_t d = f->weights->config.hidden;
  SP_TRY(b->linear(f->stream, layer->q, act, NULL, rows, f->proj, err));
  SP_TRY(attend(f, f->proj, d, f->qkv, 2 * d, batch->sequences, scored_rows, err));
  SP_TRY(project_norm(f, layer->o, layer->attention_norm, f->ctx, rows, f->proj, res, act, err));
  return feed_forward(f, layer, rows, res, act, err);
}

/* Leaves the batch's scored rows in row_res and row_act; without the head saving every token's. */
static enum sp_status last_layer(struct sp_forward *f, const struct sp_layer *layer,
                                 const struct sp_batch *batch, struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  bool head = (f->rule.savings & SP_SAVING_HEAD) != 0;
  bool trim = head && (f->rule.savings & SP_SAVING_TRIM);
  size_t rows = head ? batch->rows : batch->tokens;
  SP_TRY(b->linear(f->stream, layer->kv, f->act, NULL, batch->tokens, f->qkv, err));
  if (!trim) {
    SP_TRY(last_layer_rows(f, layer, batch, false, batch->tokens, f->res, f->act, err));
  }
  SP_TRY(gather_rows(f, f->in.row_token, rows, err));
  return trim ? last_layer_rows(f, layer, batch, true, rows, f->row_res, f->row_act, err) : SP_OK;
}

/* ---- heads ---- */

static enum sp_status mlm_head(struct sp_forward *f, const struct sp_batch *batch,
                               struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  bool head = (f->rule.savings & SP_SAVING_HEAD) != 0;
  size_t rows = head ? batch->rows - batch->cls_rows : batch->tokens;
  size_t row_bytes = f->weights->config.hidden * f->device->act_bytes;
  void *normed = f->device->act_bytes == f->device->res_bytes ? f->proj : f->ctx;
  const void *in = f->row_act;
  if (head && batch->cls_rows > 0) { /* row_act holds other rows too */
    SP_TRY(b->gather(f->stream, f->row_act, row_bytes, f->in.mlm_row, rows, f->ctx, err));
    in = f->ctx;
  }
  SP_TRY(b->linear(f->stream, f->weights->transform, in, NULL, rows, f->proj, err));
  SP_TRY(b->add_norm(f->stream, f->weights->transform_norm, f->proj, NULL, rows, f->proj, normed,
                     err));
  return b->vocab_logp(f->stream, f->weights->vocab, normed, rows, f->in.target_row,
                       f->in.target_id, batch->targets, f->logp, err);
}

static enum sp_status cls_head(struct sp_forward *f, const struct sp_batch *batch,
                               struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  size_t row_bytes = f->weights->config.hidden * f->device->res_bytes;
  SP_TRY(b->gather(f->stream, f->row_res, row_bytes, f->in.cls_row, batch->cls_rows, f->proj, err));
  return b->score_head(f->stream, (const struct sp_dense *const *)f->weights->cls,
                       f->weights->n_cls, f->proj, batch->cls_rows, f->cls, err);
}

/* ---- a batch ---- */

static enum sp_status queue_results(struct sp_forward *f, struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  if (f->device->host_memory) {
    return SP_OK;
  }
  if (f->cls_rows > 0) {
    SP_TRY(b->download(f->stream, f->cls_host, f->cls, f->cls_rows * sizeof *f->cls, err));
  }
  return f->targets > 0
             ? b->download(f->stream, f->logp_host, f->logp, f->targets * sizeof *f->logp, err)
             : SP_OK;
}

enum sp_status sp_forward_begin(struct sp_forward *f, const struct sp_batch *batch,
                                struct sp_error *err) {
  size_t layers = f->weights->config.layers;
  f->targets = batch->targets;
  f->cls_rows = batch->cls_rows;
  f->in_flight = true;
  SP_TRY(stage_batch(f, batch, err));
  SP_TRY(embed(f, batch, err));
  if (is_masked(f)) {
    SP_TRY(make_masks(f, batch, err));
  }
  for (size_t l = 0; l + 1 < layers; l++) {
    SP_TRY(inner_layer(f, &f->weights->layers[l], batch, err));
  }
  SP_TRY(last_layer(f, &f->weights->layers[layers - 1], batch, err));
  if (batch->cls_rows > 0) {
    SP_TRY(cls_head(f, batch, err));
  }
  if (batch->targets > 0) {
    SP_TRY(mlm_head(f, batch, err));
  }
  return queue_results(f, err);
}

enum sp_status sp_forward_end(struct sp_forward *f, float *logp, float *cls, struct sp_error *err) {
  f->in_flight = false;
  SP_TRY(f->device->backend->finish(f->stream, err));
  if (f->targets > 0) {
    memcpy(logp, f->logp_host, f->targets * sizeof *logp);
  }
  if (f->cls_rows > 0) {
    memcpy(cls, f->cls_host, f->cls_rows * sizeof *cls);
  }
  return SP_OK;
}

enum sp_status sp_forward_run(struct sp_forward *f, const struct sp_batch *batch, float *logp,
                              float *cls, struct sp_error *err) {
  SP_TRY(sp_forward_begin(f, batch, err));
  return sp_forward_end(f, logp, cls, err);
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
