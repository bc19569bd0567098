/* forward_plain.c - every position of every sequence of a batch, layer by layer. */
#include "forward_state.h"

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
  f->in.row_token = sp_forward_stage(f, token, batch->tokens);
  f->in.cls_row = sp_forward_stage(f, cls_row, batch->cls_rows);
  f->in.target_row = sp_forward_stage(f, target_row, batch->targets);
}

/* Where the masks of all tokens and those of the scored rows start, sequence by sequence. */
static void stage_mask_starts(struct sp_forward *f, const struct sp_batch *batch) {
  uint64_t *of_tokens = f->mask_start, *of_rows = of_tokens + f->rule.limits.tokens;
  uint64_t tokens = 0, rows = 0;
  for (size_t s = 0; s < batch->sequences; s++) {
    size_t words = sp_forward_mask_words(batch->len[s]);
    of_tokens[s] = tokens;
    of_rows[s] = rows;
    tokens += (batch->token_start[s + 1] - batch->token_start[s]) * words;
    rows += (batch->row_start[s + 1] - batch->row_start[s]) * words;
  }
  f->in.token_mask = sp_forward_stage(f, of_tokens, 2 * batch->sequences);
  f->in.row_mask = sp_forward_stage(f, of_rows, 2 * batch->sequences);
}

static enum sp_status stage_batch(struct sp_forward *f, const struct sp_batch *batch,
                                  struct sp_error *err) {
  size_t s = batch->sequences;
  f->staged = 0;
  f->in = (struct sp_forward_inputs){
      .base_ids = sp_forward_stage(f, batch->base_ids, batch->base_tokens),
      .base_start = sp_forward_stage(f, batch->base_start, s),
      .len = sp_forward_stage(f, batch->len, s),
      .mask_lo = sp_forward_stage(f, batch->mask_lo, s),
      .mask_hi = sp_forward_stage(f, batch->mask_hi, s),
      .token_start = sp_forward_stage(f, batch->token_start, s + 1),
      .row_start = sp_forward_stage(f, batch->row_start, s + 1),
      .row_position = sp_forward_stage(f, batch->row_position, batch->rows),
      .target_id = sp_forward_stage(f, batch->target_id, batch->targets),
  };
  if (f->rule.savings & SP_SAVING_HEAD) {
    size_t mlm_rows = batch->cls_rows ? batch->rows - batch->cls_rows : 0;
    f->in.row_token = sp_forward_stage(f, batch->row_token, batch->rows);
    f->in.mlm_row = sp_forward_stage(f, batch->mlm_row, mlm_rows);
    f->in.cls_row = sp_forward_stage(f, batch->cls_row, batch->cls_rows);
    f->in.target_row = sp_forward_stage(f, batch->target_row, batch->targets);
  } else {
    stage_all_rows(f, batch);
  }
  if (sp_forward_is_masked(f)) {
    stage_mask_starts(f, batch);
  }
  return sp_forward_upload(f, err);
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

/* What the rows that ask in a layer see: every token's, or the scored ones', whose residual stream is
 * `res`.  A traced layer's scheduler runs on every token, whoever asks. */
static enum sp_status make_mask(struct sp_forward *f, const struct sp_batch *batch, size_t layer,
                                bool scored_rows, const void *res, struct sp_error *err) {
  size_t layers = f->weights->config.layers;
  struct sp_mask_args args = sp_lookahead_mask(&f->rule.lookahead, layer, layers);
  uint32_t *bits = f->bits + (f->rule.trace ? layer * batch->tokens : 0);
  args.sequences = batch->sequences;
  args.row_start = scored_rows ? f->in.row_start : f->in.token_start;
  args.row_position = scored_rows ? f->in.row_position : f->positions;
  args.len = args.key_len = f->in.len;
  args.mask_start = scored_rows ? f->in.row_mask : f->in.token_mask;
  args.mask = f->mask;
  if (args.policy != SP_MASK_DYNAMIC) {
    return f->device->backend->mask(f->stream, &args, err);
  }
  if (scored_rows && f->rule.trace) {
    SP_TRY(sp_forward_schedule(f, layer, f->res, batch->tokens, bits, NULL, err));
    args.bits = bits;
    args.bits_row = f->in.row_token;
    return f->device->backend->mask(f->stream, &args, err);
  }
  return sp_forward_schedule(f, layer, res, scored_rows ? batch->rows : batch->tokens, bits, &args,
                             err);
}

/* Whether layer `layer` sees by the masks that the layer before it left. */
static bool is_mask_kept(const struct sp_forward *f, size_t layer, bool scored_rows) {
  size_t layers = f->weights->config.layers;
  if (layer == 0 || scored_rows) {
    return false;
  }
  struct sp_mask_args a = sp_lookahead_mask(&f->rule.lookahead, layer - 1, layers);
  struct sp_mask_args b = sp_lookahead_mask(&f->rule.lookahead, layer, layers);
  return a.policy != SP_MASK_DYNAMIC && a.policy == b.policy && a.reach == b.reach &&
         a.exempt == b.exempt;
}

/* Either the scored rows ask, or every token. */
static enum sp_status attend(struct sp_forward *f, const struct sp_batch *batch, size_t layer,
                             const void *res, const void *q, size_t q_stride, const void *k,
                             size_t kv_stride, bool scored_rows, struct sp_error *err) {
  bool masked = sp_forward_is_masked(f);
  if (masked && !is_mask_kept(f, layer, scored_rows)) {
    SP_TRY(make_mask(f, batch, layer, scored_rows, res, err));
  }
  struct sp_attention_args args = sp_forward_attention(f, q, q_stride, k, kv_stride);
  args.sequences = batch->sequences;
  args.row_start = scored_rows ? f->in.row_start : f->in.token_start;
  args.key_start = f->in.token_start;
  args.key_len = f->in.len;
  if (masked) {
    args.mask = f->mask;
    args.mask_start = scored_rows ? f->in.row_mask : f->in.token_mask;
  }
  return f->device->backend->attention(f->stream, &args, err);
}

static enum sp_status inner_layer(struct sp_forward *f, size_t l, const struct sp_batch *batch,
                                  struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  const struct sp_layer *layer = &f->weights->layers[l];
  size_t d = f->weights->config.hidden, t = batch->tokens;
  const char *k = (const char *)f->qkv + d * f->device->act_bytes;
  SP_TRY(b->linear(f->stream, layer->qkv, f->act, NULL, t, f->qkv, err));
  SP_TRY(attend(f, batch, l, f->res, f->qkv, 3 * d, k, 3 * d, false, err));
  SP_TRY(sp_forward_project_norm(f, layer->o, layer->attention_norm, f->ctx, t, f->proj, f->res,
                                 f->act, err));
  return sp_forward_feed(f, layer, t, f->res, f->act, err);
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
static enum sp_status last_layer_rows(struct sp_forward *f, const struct sp_batch *batch,
                                      bool scored_rows, size_t rows, void *res, void *act,
                                      struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  size_t d = f->weights->config.hidden, last = f->weights->config.layers - 1;
  const struct sp_layer *layer = &f->weights->layers[last];
  SP_TRY(b->linear(f->stream, layer->q, act, NULL, rows, f->proj, err));
  SP_TRY(attend(f, batch, last, res, f->proj, d, f->qkv, 2 * d, scored_rows, err));
  SP_TRY(sp_forward_project_norm(f, layer->o, layer->attention_norm, f->ctx, rows, f->proj, res,
                                 act, err));
  return sp_forward_feed(f, layer, rows, res, act, err);
}

/* Leaves the batch's scored rows in row_res and row_act; without the head saving every token's. */
static enum sp_status last_layer(struct sp_forward *f, const struct sp_batch *batch,
                                 struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  const struct sp_layer *layer = &f->weights->layers[f->weights->config.layers - 1];
  bool head = (f->rule.savings & SP_SAVING_HEAD) != 0;
  bool trim = head && (f->rule.savings & SP_SAVING_TRIM);
  size_t rows = head ? batch->rows : batch->tokens;
  SP_TRY(b->linear(f->stream, layer->kv, f->act, NULL, batch->tokens, f->qkv, err));
  if (!trim) {
    SP_TRY(last_layer_rows(f, batch, false, batch->tokens, f->res, f->act, err));
  }
  SP_TRY(gather_rows(f, f->in.row_token, rows, err));
  return trim ? last_layer_rows(f, batch, true, rows, f->row_res, f->row_act, err) : SP_OK;
}

static enum sp_status run_heads(struct sp_forward *f, const struct sp_batch *batch,
                                struct sp_error *err) {
  bool head = (f->rule.savings & SP_SAVING_HEAD) != 0;
  size_t rows = head ? batch->rows - batch->cls_rows : batch->tokens;
  if (batch->cls_rows > 0) {
    SP_TRY(sp_forward_cls_head(f, f->in.cls_row, batch->cls_rows, err));
  }
  if (batch->targets == 0) {
    return SP_OK;
  }
  return sp_forward_mlm_head(f, head && batch->cls_rows > 0 ? f->in.mlm_row : NULL, rows,
                             batch->targets, err);
}

enum sp_status sp_forward_plain(struct sp_forward *f, const struct sp_batch *batch,
                                struct sp_error *err) {
  SP_TRY(stage_batch(f, batch, err));
  SP_TRY(embed(f, batch, err));
  for (size_t l = 0; l + 1 < f->weights->config.layers; l++) {
    SP_TRY(inner_layer(f, l, batch, err));
  }
  SP_TRY(last_layer(f, batch, err));
  return run_heads(f, batch, err);
}
