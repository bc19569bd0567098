/* forward_nodes.c - the distinct nodes of a batch, layer by layer: every layer has rows of its own, and
 * attention gathers their keys and values from the rows of the layer before (nodes.h).
 *
 * On a device with memory of its own a level's arrays go up when the device has caught up, while its
 * own results stay there; other lanes keep it busy meanwhile.  Scheduler bits come down, a word a
 * node. */
#include "forward_state.h"

enum sp_status sp_forward_embed_nodes(struct sp_forward *f, const struct sp_node_inputs *inputs,
                                      struct sp_error *err) {
  f->staged = 0;
  f->rows = inputs->rows;
  f->in = (struct sp_forward_inputs){0};
  const int32_t *ids = sp_forward_stage(f, inputs->ids, inputs->rows);
  const uint32_t *positions = sp_forward_stage(f, inputs->positions, inputs->rows);
  SP_TRY(sp_forward_upload(f, err));
  return f->device->backend->embed(f->stream, f->weights->embedding, f->weights->embedding_norm,
                                   ids, positions, inputs->rows, f->res, f->act, err);
}

/* What the rows so far look ahead to in this layer, in host memory; NULL where nothing decides. */
static enum sp_status look_ahead(struct sp_forward *f, const uint32_t **bits,
                                 struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  *bits = NULL;
  if (!sp_forward_is_dynamic(f) || sp_lookahead_reach(&f->rule.lookahead, f->level) == 0) {
    return SP_OK;
  }
  SP_TRY(sp_forward_schedule(f, f->level, f->res, f->rows, f->bits, NULL, err));
  *bits = f->bits_host;
  if (f->device->host_memory) {
    return SP_OK;
  }
  SP_TRY(b->download(f->stream, f->bits_host, f->bits, f->rows * sizeof *f->bits, err));
  return b->finish(f->stream, err);
}

/* Brings a level's arrays to the device: the same struct, as the device sees it. */
static enum sp_status stage_level(struct sp_forward *f, struct sp_node_level *level,
                                  struct sp_error *err) {
  if (f->device->host_memory) {
    return SP_OK;
  }
  size_t g = level->groups;
  SP_TRY(f->device->backend->finish(f->stream, err)); /* the staging memory is free again */
  f->staged = 0;
  level->own = sp_forward_stage(f, level->own, level->rows);
  level->position = sp_forward_stage(f, level->position, level->rows);
  level->row_start = sp_forward_stage(f, level->row_start, g + 1);
  level->len = sp_forward_stage(f, level->len, g);
  level->key_start = sp_forward_stage(f, level->key_start, g);
  level->key_len = sp_forward_stage(f, level->key_len, g);
  level->key_split = sp_forward_stage(f, level->key_split, g);
  level->key_own = sp_forward_stage(f, level->key_own, g);
  level->key_row = sp_forward_stage(f, level->key_row, level->key_rows);
  level->mask_start = sp_forward_stage(f, level->mask_start, 2 * g);
  return SP_OK;
}

static void stage_outputs(struct sp_forward *f, const struct sp_node_outputs *out) {
  f->in.mlm_row = sp_forward_stage(f, out->mlm_row, out->mlm_rows);
  f->in.cls_row = sp_forward_stage(f, out->cls_row, out->cls_rows);
  f->in.target_row = sp_forward_stage(f, out->target_row, out->targets);
  f->in.target_id = sp_forward_stage(f, out->target_id, out->targets);
}

/* `q` has a row for each row of the level, or where q_row is given, one for each of the level before. */
static enum sp_status attend(struct sp_forward *f, const struct sp_node_level *level, const void *q,
                             size_t q_stride, const uint32_t *q_row, const void *k,
                             size_t kv_stride, struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  size_t layers = f->weights->config.layers;
  struct sp_mask_args mask = sp_lookahead_mask(&f->rule.lookahead, f->level, layers);
  mask.bits = f->bits;
  mask.bits_row = level->own;
  mask.sequences = level->groups;
  mask.row_start = level->row_start;
  mask.row_position = level->position;
  mask.len = level->len;
  mask.key_len = level->key_len;
  mask.mask_start = level->mask_start;
  mask.mask = f->mask;
  SP_TRY(b->mask(f->stream, &mask, err));
  struct sp_attention_args args = sp_forward_attention(f, q, q_stride, k, kv_stride);
  args.sequences = level->groups;
  args.row_start = level->row_start;
  args.q_row = q_row;
  args.key_start = level->key_start;
  args.key_len = level->key_len;
  args.key_row = level->key_row;
  args.key_split = level->key_split;
  args.key_own = level->key_own;
  args.mask = f->mask;
  args.mask_start = level->mask_start;
  return b->attention(f->stream, &args, err);
}

/* The rest of a layer, for rows whose residual is in row_res; they become the stream. */
static enum sp_status finish_layer(struct sp_forward *f, const struct sp_layer *layer,
                                   struct sp_error *err) {
  SP_TRY(sp_forward_project_norm(f, layer->o, layer->attention_norm, f->ctx, f->rows, f->proj,
                                 f->row_res, f->row_act, err));
  return sp_forward_feed(f, layer, f->rows, f->row_res, f->row_act, err);
}

static void swap_rows(struct sp_forward *f) {
  void *res = f->res, *act = f->act;
  f->res = f->row_res;
  f->act = f->row_act;
  f->row_res = res;
  f->row_act = act;
}

static enum sp_status inner_layer(struct sp_forward *f, struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  const struct sp_layer *layer = &f->weights->layers[f->level];
  size_t d = f->weights->config.hidden;
  const char *k = (const char *)f->qkv + d * f->device->act_bytes;
  const uint32_t *bits;
  struct sp_node_level level;
  SP_TRY(b->linear(f->stream, layer->qkv, f->act, NULL, f->rows, f->qkv, err));
  SP_TRY(look_ahead(f, &bits, err));
  sp_nodes_next(f->nodes, bits, &level);
  SP_TRY(stage_level(f, &level, err));
  SP_TRY(sp_forward_upload(f, err));
  SP_TRY(attend(f, &level, f->qkv, 3 * d, level.own, k, 3 * d, err));
  SP_TRY(b->gather(f->stream, f->res, d * f->device->res_bytes, level.own, level.rows, f->row_res,
                   err));
  f->rows = level.rows;
  SP_TRY(finish_layer(f, layer, err));
  swap_rows(f);
  return SP_OK;
}

/* Leaves the nodes that are scored in row_res and row_act. */
static enum sp_status last_layer(struct sp_forward *f, struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  const struct sp_layer *layer = &f->weights->layers[f->level];
  size_t d = f->weights->config.hidden;
  const uint32_t *bits;
  struct sp_node_level level;
  SP_TRY(b->linear(f->stream, layer->kv, f->act, NULL, f->rows, f->qkv, err));
  SP_TRY(look_ahead(f, &bits, err));
  sp_nodes_next(f->nodes, bits, &level);
  sp_nodes_end(f->nodes, &f->outputs);
  SP_TRY(stage_level(f, &level, err));
  stage_outputs(f, &f->outputs);
  SP_TRY(sp_forward_upload(f, err));
  f->rows = level.rows;
  if (f->rows == 0) { /* all of them are left to a second round */
    return SP_OK;
  }
  SP_TRY(b->gather(f->stream, f->res, d * f->device->res_bytes, level.own, f->rows, f->row_res,
                   err));
  if (f->row_act != f->row_res) {
    SP_TRY(b->gather(f->stream, f->act, d * f->device->act_bytes, level.own, f->rows, f->row_act,
                     err));
  }
  SP_TRY(b->linear(f->stream, layer->q, f->row_act, NULL, f->rows, f->proj, err));
  SP_TRY(attend(f, &level, f->proj, d, NULL, f->qkv, 2 * d, err));
  return finish_layer(f, layer, err);
}

static enum sp_status run_heads(struct sp_forward *f, struct sp_error *err) {
  const struct sp_node_outputs *out = &f->outputs;
  if (out->cls_rows > 0) {
    SP_TRY(sp_forward_cls_head(f, f->in.cls_row, out->cls_rows, err));
  }
  if (out->targets == 0) {
    return SP_OK;
  }
  return sp_forward_mlm_head(f, out->cls_rows > 0 ? f->in.mlm_row : NULL, out->mlm_rows,
                             out->targets, err);
}

enum sp_status sp_forward_next_nodes(struct sp_forward *f, struct sp_error *err) {
  bool last = f->level + 1 == f->weights->config.layers;
  if (last) {
    SP_TRY(last_layer(f, err));
    SP_TRY(run_heads(f, err));
  } else {
    SP_TRY(inner_layer(f, err));
  }
  f->level++;
  return SP_OK;
}
