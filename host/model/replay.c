#include "replay.h"

#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "checked.h"

/* The inputs of one layer, or above the last one its outputs. (P: max_len) */
struct level {
  char *res;      /* (P, D) res */
  char *qkv;      /* (P, 3D) act; q k v side by side */
  uint64_t *have; /* (words) positions that are there */
  size_t waiting; /* the first position that the layer above lacks */
};

struct sp_replay {
  const struct sp_weights *weights;
  const struct sp_backend *b;
  struct sp_device *device;
  struct sp_stream *stream;
  struct sp_lookahead rule;
  size_t layers, d, max_len, words;
  struct sp_arena arena;
  struct level *level; /* (layers + 1) */
  char *top;           /* (P, D) act */

  /* Rows under work, one after the other: those of `position`. */
  uint32_t *position; /* (P) */
  size_t rows;
  char *res, *act; /* (P, D); act is res where the types agree */
  char *qkv, *q;   /* (P, 3D), (P, D) act; qkv has k v alone in the last layer */
  char *ctx;       /* (P, D) act */
  char *sum;       /* (P, D) res */
  char *ffn;       /* (P, F) act */
  uint64_t *mask;  /* (P, words) */
  uint32_t *bits;  /* (P) */

  const int32_t *ids;
  size_t len, arrived;
  struct sp_mask_graph own; /* of the rule */
  const struct sp_mask_graph *masks;
  bool given; /* masks are the caller's */
};

/* ---- memory ---- */

static bool take_rows(struct sp_replay *r, size_t row_bytes, char **out) {
  size_t rows = sp_round_up(r->max_len, r->device->row_quantum);
  *out = sp_arena_calloc(&r->arena, rows, row_bytes);
  return *out != NULL;
}

static bool take_levels(struct sp_replay *r) {
  size_t act = r->d * r->device->act_bytes, res = r->d * r->device->res_bytes;
  r->level = sp_arena_calloc(&r->arena, r->layers + 1, sizeof *r->level);
  bool good = r->level && take_rows(r, act, &r->top);
  for (size_t l = 0; good && l <= r->layers; l++) {
    r->level[l].have = sp_arena_calloc(&r->arena, r->words, sizeof *r->level[l].have);
    good = r->level[l].have && take_rows(r, res, &r->level[l].res) &&
           (l == r->layers || take_rows(r, 3 * act, &r->level[l].qkv));
  }
  return good;
}

static bool take_work(struct sp_replay *r) {
  size_t act = r->d * r->device->act_bytes, res = r->d * r->device->res_bytes;
  bool same = r->device->act_bytes == r->device->res_bytes;
  r->position = sp_arena_calloc(&r->arena, r->max_len, sizeof *r->position);
  r->bits = sp_arena_calloc(&r->arena, r->max_len, sizeof *r->bits);
  r->mask = sp_arena_calloc(&r->arena, r->max_len, r->words * sizeof *r->mask);
  bool good = r->position && r->bits && r->mask && take_rows(r, res, &r->res) &&
              (same || take_rows(r, act, &r->act)) && take_rows(r, 3 * act, &r->qkv) &&
              take_rows(r, act, &r->q) && take_rows(r, act, &r->ctx) &&
              take_rows(r, res, &r->sum) &&
              take_rows(r, r->weights->config.ffn * r->device->act_bytes, &r->ffn);
  r->act = same ? r->res : r->act;
  return good;
}

enum sp_status sp_replay_create(const struct sp_weights *weights, const struct sp_lookahead *rule,
                                size_t max_len, struct sp_replay **out, struct sp_error *err) {
  struct sp_device *device = weights->device;
  *out = NULL;
  if (!device->host_memory) {
    return sp_fail(err, SP_EDEVICE, "%s: a replay runs on the CPU", device->name);
  }
  struct sp_replay *r = calloc(1, sizeof *r);
  if (!r) {
    return sp_fail_memory(err, sizeof *r);
  }
  r->weights = weights;
  r->device = device;
  r->b = device->backend;
  r->rule = *rule;
  r->layers = weights->config.layers;
  r->d = weights->config.hidden;
  r->max_len = max_len;
  r->words = (max_len + 63) / 64;
  enum sp_status status = take_levels(r) && take_work(r)
                              ? r->b->stream_create(device, &r->stream, err)
                              : sp_fail_memory(err, sp_mul_sat(max_len, r->d * r->layers));
  if (status != SP_OK) {
    sp_replay_destroy(r);
    return status;
  }
  *out = r;
  return SP_OK;
}

void sp_replay_destroy(struct sp_replay *r) {
  if (!r) {
    return;
  }
  if (r->stream) {
    r->b->stream_destroy(r->stream);
  }
  sp_mask_graph_release(&r->own);
  sp_arena_release(&r->arena);
  free(r);
}

enum sp_status sp_replay_begin(struct sp_replay *r, const int32_t *ids, size_t len,
                               const struct sp_mask_graph *masks, struct sp_error *err) {
  if (len == 0 || len > r->max_len) {
    return sp_fail(err, SP_EUSAGE, "a sequence of %zu positions; the replay was made for %zu", len,
                   r->max_len);
  }
  sp_mask_graph_release(&r->own);
  r->given = masks != NULL;
  r->masks = masks;
  if (!masks) {
    uint32_t *none =
        calloc(r->layers * len, sizeof *none); /* rows come with the schedulers' bits */
    enum sp_status status = none
                                ? sp_mask_graph_create(&r->rule, r->layers, len, none, &r->own, err)
                                : sp_fail_memory(err, r->layers * len * sizeof *none);
    free(none);
    SP_TRY(status);
    r->masks = &r->own;
  }
  for (size_t l = 0; l <= r->layers; l++) {
    memset(r->level[l].have, 0, r->words * sizeof *r->level[l].have);
    r->level[l].waiting = 0;
    if (l < r->layers) { /* what the last sequence left, NaN maybe: masks hide numbers alone */
      memset(r->level[l].qkv, 0, len * 3 * r->d * r->device->act_bytes);
    }
  }
  r->ids = ids;
  r->len = len;
  r->arrived = 0;
  return SP_OK;
}

/* ---- one step ---- */

static bool has(const struct level *level, size_t i) {
  return level->have[i / 64] >> i % 64 & 1;
}

/* The rows under work become those of a level. */
static void store_rows(struct sp_replay *r, struct level *level) {
  size_t bytes = r->d * r->device->res_bytes;
  for (size_t n = 0; n < r->rows; n++) {
    size_t i = r->position[n];
    memcpy(level->res + i * bytes, r->res + n * bytes, bytes);
    level->have[i / 64] |= UINT64_C(1) << i % 64;
  }
}

static enum sp_status embed(struct sp_replay *r, size_t arrived, struct sp_error *err) {
  size_t first = r->arrived;
  r->rows = arrived - first;
  for (size_t n = 0; n < r->rows; n++) {
    r->position[n] = (uint32_t)(first + n);
  }
  r->arrived = arrived;
  if (r->rows == 0) {
    return SP_OK;
  }
  SP_TRY(r->b->embed(r->stream, r->weights->embedding, r->weights->embedding_norm, r->ids + first,
                     r->position, r->rows, r->res, r->act, err));
  store_rows(r, &r->level[0]);
  return SP_OK;
}

/* Columns [0, width) of work rows of `from_width` go to the cache's columns from `column` on. */
static void cache_columns(struct sp_replay *r, size_t l, const char *from, size_t width,
                          size_t column) {
  size_t act = r->device->act_bytes;
  for (size_t n = 0; n < r->rows; n++) {
    char *to = r->level[l].qkv + (r->position[n] * 3 * r->d + column) * act;
    memcpy(to, from + n * width * act, width * act);
  }
}

/* q, k and v of the rows under work. */
static enum sp_status project(struct sp_replay *r, size_t l, struct sp_error *err) {
  const struct sp_layer *layer = &r->weights->layers[l];
  if (layer->qkv) {
    SP_TRY(r->b->linear(r->stream, layer->qkv, r->act, NULL, r->rows, r->qkv, err));
    cache_columns(r, l, r->qkv, 3 * r->d, 0);
    return SP_OK;
  }
  SP_TRY(r->b->linear(r->stream, layer->q, r->act, NULL, r->rows, r->q, err));
  SP_TRY(r->b->linear(r->stream, layer->kv, r->act, NULL, r->rows, r->qkv, err));
  cache_columns(r, l, r->q, r->d, 0);
  cache_columns(r, l, r->qkv, 2 * r->d, r->d);
  return SP_OK;
}

/* What the rows under work will see, by their layer's scheduler. */
static enum sp_status schedule(struct sp_replay *r, size_t l, struct sp_error *err) {
  const struct sp_layer *layer = &r->weights->layers[l];
  uint32_t nan = 0;
  size_t reach = sp_lookahead_reach(&r->rule, l);
  if (r->given || r->rule.policy != SP_MASK_DYNAMIC || reach == 0) {
    return SP_OK;
  }
  struct sp_schedule_args args = {.layers = (const struct sp_dense *const *)layer->scheduler,
                                  .n_layers = layer->n_scheduler,
                                  .reach = reach,
                                  .span = r->rule.span,
                                  .tau = r->rule.tau,
                                  .rows_res = r->res,
                                  .rows = r->rows,
                                  .bits = r->bits,
                                  .nan = &nan};
  SP_TRY(r->b->schedule(r->stream, &args, err));
  if (nan) {
    return sp_fail(err, SP_EMODEL,
                   "layer %zu's lookahead scheduler gives NaN (encoder.layer.%zu.lookahead)", l, l);
  }
  for (size_t n = 0; n < r->rows; n++) {
    sp_mask_graph_set_row(&r->own, &r->rule, l, r->position[n], r->bits[n]);
  }
  return SP_OK;
}

/* Whether all that node (l + 1, i) reads is there. */
static bool is_ready(const struct sp_replay *r, size_t l, size_t i) {
  const uint64_t *row = sp_mask_graph_row(r->masks, l, i);
  bool ready =
      has(&r->level[l], i) && (r->arrived == r->len || !sp_mask_graph_is_cut(r->masks, l, i));
  for (size_t w = 0; ready && w < r->masks->words; w++) {
    ready = (row[w] & ~r->level[l].have[w]) == 0;
  }
  return ready;
}

/* The nodes of layer l that can be computed are now the rows under work. */
static void collect_ready(struct sp_replay *r, size_t l) {
  struct level *below = &r->level[l];
  r->rows = 0;
  while (below->waiting < r->arrived && has(&r->level[l + 1], below->waiting)) {
    below->waiting++;
  }
  for (size_t i = below->waiting; i < r->arrived; i++) {
    if (!has(&r->level[l + 1], i) && is_ready(r, l, i)) {
      memcpy(r->mask + r->rows * r->masks->words, sp_mask_graph_row(r->masks, l, i),
             r->masks->words * sizeof *r->mask);
      r->position[r->rows++] = (uint32_t)i;
    }
  }
}

static enum sp_status attend(struct sp_replay *r, size_t l, struct sp_error *err) {
  const struct sp_model_config *c = &r->weights->config;
  const uint32_t row_start[] = {0, (uint32_t)r->rows}, key_start = 0, key_len = (uint32_t)r->len;
  const uint64_t mask_start = 0;
  const char *q = r->level[l].qkv;
  size_t part = r->d * r->device->act_bytes;
  struct sp_attention_args args = {.q = q,
                                   .k = q + part,
                                   .v = q + 2 * part,
                                   .out = r->ctx,
                                   .q_stride = 3 * r->d,
                                   .kv_stride = 3 * r->d,
                                   .heads = c->heads,
                                   .head_dim = c->head_dim,
                                   .sequences = 1,
                                   .row_start = row_start,
                                   .q_row = r->position,
                                   .key_start = &key_start,
                                   .key_len = &key_len,
                                   .mask = r->mask,
                                   .mask_start = &mask_start};
  return r->b->attention(r->stream, &args, err);
}

/* x = norm(x + in W^T + bias). */
static enum sp_status project_norm(struct sp_replay *r, const struct sp_linear *linear,
                                   const struct sp_norm *norm, const void *in,
                                   struct sp_error *err) {
  bool added = r->device->adds_residual;
  SP_TRY(r->b->linear(r->stream, linear, in, added ? r->res : NULL, r->rows, r->sum, err));
  return r->b->add_norm(r->stream, norm, r->sum, added ? NULL : r->res, r->rows, r->res, r->act,
                        err);
}

/* The rows under work through layer l. */
static enum sp_status compute(struct sp_replay *r, size_t l, struct sp_error *err) {
  const struct sp_layer *layer = &r->weights->layers[l];
  SP_TRY(attend(r, l, err));
  SP_TRY(r->b->gather(r->stream, r->level[l].res, r->d * r->device->res_bytes, r->position, r->rows,
                      r->res, err));
  SP_TRY(project_norm(r, layer->o, layer->attention_norm, r->ctx, err));
  SP_TRY(r->b->linear(r->stream, layer->up, r->act, NULL, r->rows, r->ffn, err));
  SP_TRY(project_norm(r, layer->down, layer->output_norm, r->ffn, err));
  store_rows(r, &r->level[l + 1]);
  return SP_OK;
}

static void store_top(struct sp_replay *r) {
  size_t bytes = r->d * r->device->act_bytes;
  for (size_t n = 0; n < r->rows; n++) {
    memcpy(r->top + r->position[n] * bytes, r->act + n * bytes, bytes);
  }
}

enum sp_status sp_replay_step(struct sp_replay *r, size_t arrived, size_t *nodes,
                              struct sp_error *err) {
  *nodes = 0;
  SP_TRY(embed(r, sp_min_size(sp_max_size(arrived, r->arrived), r->len), err));
  for (size_t l = 0; l < r->layers; l++) {
    if (r->rows > 0) {
      SP_TRY(project(r, l, err));
      SP_TRY(schedule(r, l, err));
    }
    collect_ready(r, l);
    if (r->rows > 0) {
      SP_TRY(compute(r, l, err));
    }
    *nodes += r->rows;
  }
  store_top(r);
  return r->b->finish(r->stream, err);
}

const void *sp_replay_output(const struct sp_replay *r, size_t i) {
  return i < r->len && has(&r->level[r->layers], i) ? r->top + i * r->d * r->device->act_bytes
                                                    : NULL;
}

const struct sp_mask_graph *sp_replay_masks(const struct sp_replay *r) {
  return r->masks;
}
