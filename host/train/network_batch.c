/* network_batch.c - brings a batch to the device: token rows, scored rows, groups of equal rows, masks. */
#include <string.h>

#include "checked.h"
#include "mask_row.h"
#include "network_state.h"

size_t sp_network_scratch(const struct sp_params *params, const struct sp_network_limits *limits) {
  size_t keys = sp_max_size(params->config.vocab_size, params->config.max_positions);
  size_t arrays = 3 * limits->tokens + 2 * limits->sequences + 4;
  return arrays + keys + 1;
}

static enum sp_status put(struct sp_network *n, void *to, const void *from, size_t count,
                          struct sp_error *err) {
  return n->ops->upload(n->trainer, to, from, count * 4, err);
}

/* ---- rows that hold the same id or position ---- */

struct groups {
  uint32_t *row, *start, *target; /* host: (T), (T + 1), (T) */
  size_t n;
};

/* Rows by key, equal keys in the order of their rows: a counting sort. `first` has keys + 1 counters. */
static struct groups group_rows(const uint32_t *key, size_t rows, size_t keys, uint32_t *scratch) {
  struct groups g = {.row = scratch, .start = scratch + rows, .target = scratch + 2 * rows + 1};
  uint32_t *first = scratch + 3 * rows + 1;
  memset(first, 0, (keys + 1) * sizeof *first);
  for (size_t r = 0; r < rows; r++) {
    first[key[r] + 1]++;
  }
  for (size_t k = 0; k < keys; k++) {
    if (first[k + 1] != 0) {
      g.start[g.n] = first[k];
      g.target[g.n++] = (uint32_t)k;
    }
    first[k + 1] += first[k];
  }
  g.start[g.n] = (uint32_t)rows;
  for (size_t r = 0; r < rows; r++) {
    g.row[first[key[r]]++] = (uint32_t)r;
  }
  return g;
}

static enum sp_status load_groups(struct sp_network *n, const uint32_t *key, size_t keys,
                                  uint32_t *row, uint32_t *start, uint32_t *target, size_t *count,
                                  struct sp_error *err) {
  struct groups g = group_rows(key, n->batch.tokens, keys, n->scratch);
  *count = g.n;
  SP_TRY(put(n, row, g.row, n->batch.tokens, err));
  SP_TRY(put(n, start, g.start, g.n + 1, err));
  return put(n, target, g.target, g.n, err);
}

/* ---- scored rows ---- */

static bool scores_lists(const struct sp_network *n) {
  return n->batch.targets == 0;
}

static uint32_t cls_row(const struct sp_network *n, size_t s) {
  const struct sp_train_batch *b = &n->batch;
  return n->params->config.lookahead.cls_last ? b->row_start[s + 1] - 1 : b->row_start[s];
}

/* The scored rows, their positions, and where each sequence's begin. */
static enum sp_status load_scored(struct sp_network *n, struct sp_error *err) {
  const struct sp_train_batch *b = &n->batch;
  n->scored = scores_lists(n) ? b->sequences : b->targets;
  uint32_t *row = n->scratch, *position = row + n->scored, *start = position + n->scored;
  size_t r = 0;
  for (size_t s = 0; s < b->sequences; s++) {
    start[s] = (uint32_t)r;
    if (scores_lists(n)) {
      row[r++] = cls_row(n, s);
    }
    while (!scores_lists(n) && r < b->targets && b->target_row[r] < b->row_start[s + 1]) {
      row[r] = b->target_row[r];
      r++;
    }
    for (size_t i = start[s]; i < r; i++) {
      position[i] = row[i] - b->row_start[s];
    }
  }
  start[b->sequences] = (uint32_t)r;
  SP_TRY(put(n, n->rows.scored, row, n->scored, err));
  SP_TRY(put(n, n->rows.scored_position, position, n->scored, err));
  SP_TRY(put(n, n->rows.scored_start, start, b->sequences + 1, err));
  return scores_lists(n) ? SP_OK : put(n, n->rows.target, b->target_id, b->targets, err);
}

/* ---- what soft masks need of a row ---- */

static enum sp_status load_soft(struct sp_network *n, struct sp_error *err) {
  const struct sp_train_batch *b = &n->batch;
  const struct sp_lookahead *rule = &n->params->config.lookahead;
  uint32_t *room = n->scratch, *position = room + b->tokens;
  for (size_t s = 0; s < b->sequences; s++) {
    uint32_t first = b->row_start[s], len = b->row_start[s + 1] - first;
    for (uint32_t i = 0; i < len; i++) {
      room[first + i] = len - 1 - i;
      position[first + i] = i;
    }
    if (rule->cls_view != SP_CLS_BOUND) {
      position[cls_row(n, s)] = len;
    }
  }
  SP_TRY(put(n, n->rows.room, room, b->tokens, err));
  return put(n, n->rows.attention_position, position, b->tokens, err);
}

/* ---- masks ---- */

/* Where each sequence's words begin, `rows` of them a sequence; returns all words. */
static size_t mask_starts(const struct sp_train_batch *b, const uint32_t *rows, uint64_t *start) {
  size_t words = 0;
  for (size_t s = 0; s < b->sequences; s++) {
    size_t len = b->row_start[s + 1] - b->row_start[s];
    start[s] = words;
    words += (rows[s + 1] - rows[s]) * ((len + 63) / 64);
  }
  return words;
}

/* The words of every scored row, or of all rows; soft keys are all there. */
static void mask_words(struct sp_network *n, struct sp_mask_args args, bool scored,
                       uint64_t *words) {
  const struct sp_train_batch *b = &n->batch;
  if (args.policy == SP_MASK_DYNAMIC) {
    args.policy = SP_MASK_LAYERWISE;
  }
  size_t target = 0;
  for (size_t s = 0; s < b->sequences; s++) {
    size_t first = b->row_start[s], len = b->row_start[s + 1] - first;
    size_t row_words = (len + 63) / 64;
    for (size_t i = 0; i < len; i++) {
      bool wanted = !scored;
      if (scored && scores_lists(n)) {
        wanted = first + i == cls_row(n, s);
      } else if (scored && target < b->targets && b->target_row[target] == first + i) {
        wanted = true;
        target++;
      }
      if (wanted) {
        sp_mask_row(&args, i, len, len, 0, words);
        words += row_words;
      }
    }
  }
}

static enum sp_status load_mask_starts(struct sp_network *n, const uint32_t *rows, uint64_t *to,
                                       size_t *words, struct sp_error *err) {
  *words = mask_starts(&n->batch, rows, n->mask_scratch);
  return n->ops->upload(n->trainer, to, n->mask_scratch, n->batch.sequences * 8, err);
}

static enum sp_status load_masks(struct sp_network *n, struct sp_error *err) {
  const struct sp_lookahead *rule = &n->params->config.lookahead;
  size_t layers = n->params->config.layers, words, scored_words;
  if (rule->policy == SP_MASK_FULL) {
    return SP_OK;
  }
  SP_TRY(load_mask_starts(n, n->batch.row_start, n->rows.mask_start, &words, err));
  uint32_t *scored_start = n->scratch + 2 * n->scored; /* as load_scored left it */
  SP_TRY(load_mask_starts(n, scored_start, n->rows.scored_mask_start, &scored_words, err));
  for (size_t l = 0; l < layers; l++) {
    const struct sp_network_layer *layer = &n->layer[l];
    if (layer->own_mask) {
      mask_words(n, sp_lookahead_mask(rule, l, layers), layer->trimmed, n->mask_scratch);
      SP_TRY(n->ops->upload(n->trainer, layer->mask, n->mask_scratch,
                            (layer->trimmed ? scored_words : words) * 8, err));
    }
  }
  return SP_OK;
}

static enum sp_status check(const struct sp_network *n, const struct sp_train_batch *b,
                            struct sp_error *err) {
  if (b->tokens > n->limits.tokens || b->sequences > n->limits.sequences ||
      b->targets > n->limits.targets || b->sequences == 0) {
    return sp_fail(err, SP_EDEVICE,
                   "a batch of %zu tokens, %zu sequences is beyond what was made room for",
                   b->tokens, b->sequences);
  }
  bool lists = b->targets == 0;
  if (lists ? !n->params->has_cls : !n->params->has_mlm) {
    return sp_fail(err, SP_EMODEL, "the model has no %s head", lists ? "cls" : "masked-token");
  }
  return SP_OK;
}

enum sp_status sp_network_load(struct sp_network *n, const struct sp_train_batch *batch,
                               struct sp_error *err) {
  const struct sp_model_config *config = &n->params->config;
  struct sp_network_rows *rows = &n->rows;
  SP_TRY(check(n, batch, err));
  n->batch = *batch;
  uint32_t all[2] = {0, (uint32_t)batch->tokens};
  SP_TRY(put(n, rows->ids, batch->ids, batch->tokens, err));
  SP_TRY(put(n, rows->positions, batch->positions, batch->tokens, err));
  SP_TRY(put(n, rows->row_start, batch->row_start, batch->sequences + 1, err));
  SP_TRY(put(n, rows->all, all, 2, err));
  SP_TRY(load_groups(n, (const uint32_t *)batch->ids, config->vocab_size, rows->word_row,
                     rows->word_start, rows->word_target, &n->word_groups, err));
  SP_TRY(load_groups(n, batch->positions, config->max_positions, rows->position_row,
                     rows->position_start, rows->position_target, &n->position_groups, err));
  if (n->reach != 0) {
    SP_TRY(load_soft(n, err));
  }
  SP_TRY(load_scored(n, err));
  return load_masks(n, err);
}
