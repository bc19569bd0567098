#include "batch.h"

#include <string.h>

#include "checked.h"

static size_t sequence_targets(const struct sp_plan *plan, uint32_t s) {
  return plan->row_target[plan->sequence[s + 1].row_first] -
         plan->row_target[plan->sequence[s].row_first];
}

struct sp_batch_range *sp_plan_cut(struct sp_plan *plan, const struct sp_batch_limits *limits,
                                   bool pack, size_t *n_batches) {
  struct sp_batch_range *ranges = sp_arena_alloc(&plan->arena, plan->sequences, sizeof *ranges);
  *n_batches = 0;
  if (!ranges) {
    return NULL;
  }
  uint32_t s = 0;
  while (s < plan->sequences) {
    struct sp_batch_range *range = &ranges[(*n_batches)++];
    *range = (struct sp_batch_range){.first = s};
    size_t tokens = 0, targets = 0;
    size_t longest = sp_plan_base_len(plan, plan->sequence[s].base);
    for (; s < plan->sequences; s++) {
      size_t len = pack ? sp_plan_base_len(plan, plan->sequence[s].base) : longest;
      size_t more = sequence_targets(plan, s);
      if (range->count > 0 &&
          (tokens + len > limits->tokens || targets + more > limits->targets)) {
        break;
      }
      tokens += len;
      targets += more;
      range->count++;
    }
  }
  return ranges;
}

bool sp_batch_init(struct sp_batch *batch, const struct sp_batch_limits *limits,
                   struct sp_arena *arena) {
  size_t t = limits->tokens;
  bool ok = true;
  *batch = (struct sp_batch){0};
#define TAKE(field, count) ok = ((field) = sp_arena_alloc(arena, (count), sizeof *(field))) && ok
  TAKE(batch->base_ids, t);
  TAKE(batch->base_start, t);
  TAKE(batch->len, t);
  TAKE(batch->mask_lo, t);
  TAKE(batch->mask_hi, t);
  TAKE(batch->token_start, t + 1);
  TAKE(batch->row_start, t + 1);
  TAKE(batch->row_position, t);
  TAKE(batch->row_token, t);
  TAKE(batch->mlm_row, t);
  TAKE(batch->cls_row, t);
  TAKE(batch->target_row, limits->targets);
#undef TAKE
  return ok;
}

static void fill_rows(struct sp_batch *batch, const struct sp_plan *plan, uint32_t s,
                      uint32_t token) {
  for (uint32_t r = plan->sequence[s].row_first; r < plan->sequence[s + 1].row_first; r++) {
    uint32_t row = (uint32_t)batch->rows++;
    batch->row_position[row] = plan->row_position[r];
    batch->row_token[row] = token + plan->row_position[r];
    if (plan->row_cls[r + 1] > plan->row_cls[r]) {
      batch->cls_row[batch->cls_rows++] = row;
      continue;
    }
    uint32_t mlm = row - (uint32_t)batch->cls_rows;
    batch->mlm_row[mlm] = row;
    for (uint32_t t = plan->row_target[r]; t < plan->row_target[r + 1]; t++) {
      batch->target_row[batch->targets++] = mlm;
    }
  }
}

/* Where the text of sequence i stands in the batch; copies of one text mostly follow each other. */
static uint32_t add_text(struct sp_batch *batch, const struct sp_plan *plan, uint32_t first,
                         uint32_t i) {
  uint32_t base = plan->sequence[first + i].base;
  if (i > 0 && plan->sequence[first + i - 1].base == base) {
    return batch->base_start[i - 1];
  }
  uint32_t at = (uint32_t)batch->base_tokens, len = sp_plan_base_len(plan, base);
  memcpy(batch->base_ids + at, plan->base_ids + plan->base_start[base], len * sizeof(int32_t));
  batch->base_tokens += len;
  return at;
}

void sp_batch_fill(struct sp_batch *batch, const struct sp_plan *plan, struct sp_batch_range range,
                   bool pack) {
  uint32_t first_row = plan->sequence[range.first].row_first;
  uint32_t longest = sp_plan_base_len(plan, plan->sequence[range.first].base);
  batch->sequences = range.count;
  batch->tokens = batch->rows = batch->targets = batch->cls_rows = 0;
  batch->base_tokens = 0;
  batch->first_target = plan->row_target[first_row];
  batch->first_cls = plan->row_cls[first_row];
  batch->target_id = plan->target_id + batch->first_target;
  for (uint32_t i = 0; i < range.count; i++) {
    const struct sp_sequence *seq = &plan->sequence[range.first + i];
    uint32_t len = sp_plan_base_len(plan, seq->base);
    batch->base_start[i] = add_text(batch, plan, range.first, i);
    batch->len[i] = len;
    batch->mask_lo[i] = seq->mask_lo;
    batch->mask_hi[i] = seq->mask_hi;
    batch->token_start[i] = (uint32_t)batch->tokens;
    batch->row_start[i] = (uint32_t)batch->rows;
    fill_rows(batch, plan, range.first + i, (uint32_t)batch->tokens);
    batch->tokens += pack ? len : longest;
  }
  batch->token_start[range.count] = (uint32_t)batch->tokens;
  batch->row_start[range.count] = (uint32_t)batch->rows;
}
