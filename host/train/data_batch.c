/* Parts to batches: the order of an epoch, joins and masks, all by counter. */
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "data_inside.h"

/* A sequence of the held-out part is masked alike in all runs on the same data. */
#define HOLDOUT_SEED 0

void sp_data_arrays_release(struct sp_data_arrays *arrays) {
  void *const all[] = {arrays->row_start, arrays->positions, arrays->target_row, arrays->list_start,
                       arrays->ids,       arrays->target_id, arrays->item,       arrays->first_pass,
                       arrays->errors,    arrays->teacher,   arrays->ref_words,  arrays->able};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    free(all[i]);
  }
  *arrays = (struct sp_data_arrays){0};
}

static bool grow(void *array, size_t count, size_t size) {
  void **at = array, *grown = NULL;
  size_t bytes;
  if (sp_mul_size(count, size, &bytes) && bytes <= PTRDIFF_MAX) {
    grown = realloc(*at, bytes);
  }
  *at = grown ? grown : *at;
  return grown != NULL;
}

/* Room for a batch of that many tokens and sequences. */
static enum sp_status reserve(struct sp_data_arrays *a, size_t tokens, size_t sequences,
                              struct sp_error *err) {
  if (tokens > a->tokens) {
    size_t room = sp_max_size(tokens, 2 * a->tokens);
    if (!grow(&a->ids, room, sizeof *a->ids) || !grow(&a->positions, room, sizeof *a->positions) ||
        !grow(&a->target_row, room, sizeof *a->target_row) ||
        !grow(&a->target_id, room, sizeof *a->target_id) ||
        !grow(&a->able, room, sizeof *a->able)) {
      return sp_fail_memory(err, sp_mul_sat(room, sizeof *a->ids));
    }
    a->tokens = room;
  }
  if (sequences > a->sequences) {
    size_t room = sp_max_size(sequences, 2 * a->sequences);
    if (!grow(&a->row_start, room + 1, sizeof *a->row_start) ||
        !grow(&a->list_start, room + 1, sizeof *a->list_start) ||
        !grow(&a->item, room, sizeof *a->item) ||
        !grow(&a->first_pass, room, sizeof *a->first_pass) ||
        !grow(&a->errors, room, sizeof *a->errors) ||
        !grow(&a->teacher, room, sizeof *a->teacher) ||
        !grow(&a->ref_words, room, sizeof *a->ref_words)) {
      return sp_fail_memory(err, sp_mul_sat(room, sizeof *a->item));
    }
    a->sequences = room;
  }
  return SP_OK;
}

/* Sequences of the part that become one of the batch (mlm), or a list. */
struct sample {
  uint64_t item, first;
  size_t n;      /* sequences of the part */
  size_t tokens; /* with [CLS] and [SEP] of what becomes of them */
};

struct filler {
  struct sp_train_data *data;
  const struct sp_data_part *part;
  bool holdout;
  uint64_t seed, epoch; /* of masks */
  struct sp_train_batch *batch;
};

/* ---- what is in a sample ---- */

/* Whether `item` + 1 goes on where `item` ends: the next line of the file, or the same one's next piece.
 * A line that is held out, empty or left out is a gap. */
static bool goes_on(const struct sp_data_part *part, uint64_t item) {
  uint64_t here = sp_data_number(part, SP_DATA_PLACE, item);
  uint64_t next = sp_data_number(part, SP_DATA_PLACE, item + 1);
  return next == here || next == here + 1;
}

/* With probability join_share a sentence takes along those that follow, as far as they fit whole into a
 * length drawn uniformly from 1 to max_tokens positions. */
static void join(const struct filler *f, struct sample *sample) {
  struct sp_draws draws = sp_draws_at(f->seed, SP_DRAW_JOIN, f->epoch, sample->item);
  if (sp_draw_unit(&draws) >= f->data->join_share) {
    return;
  }
  size_t room = 1 + (size_t)sp_draw_below(&draws, f->data->max_tokens);
  for (uint64_t item = sample->item; item + 1 < f->part->items && goes_on(f->part, item); item++) {
    size_t more = sp_data_part_length(f->part, item + 1);
    if (sample->tokens + more > room) {
      return;
    }
    sample->tokens += more;
    sample->n++;
  }
}

static struct sample sample_at(const struct filler *f, uint64_t item) {
  struct sample sample = {.item = item, .first = sp_data_part_first(f->part, item)};
  sample.n = (size_t)(sp_data_part_first(f->part, item + 1) - sample.first);
  sample.tokens = sp_data_part_item_tokens(f->part, item);
  if (!f->part->lists && !f->holdout) {
    join(f, &sample);
  }
  return sample;
}

/* ---- masks ---- */

/* Any token but the special ones, each with the same share. */
static int32_t random_token(const struct sp_train_data *data, struct sp_draws *draws) {
  int32_t id = (int32_t)sp_draw_below(draws, data->vocab_size - data->n_special);
  for (size_t i = 0; i < data->n_special && id >= data->special[i]; i++) {
    id++;
  }
  return id;
}

static int32_t shown(const struct sp_train_data *data, int32_t id, struct sp_draws *draws) {
  double draw = sp_draw_unit(draws);
  if (draw < data->mask_as_mask) {
    return data->mask;
  }
  return draw < data->mask_as_mask + data->mask_as_random ? random_token(data, draws) : id;
}

/* mask_rate * n, rounded up with the probability of its fraction; one at least. */
static size_t count_targets(const struct sp_train_data *data, size_t n, struct sp_draws *draws) {
  double wanted = data->mask_rate * (double)n;
  size_t whole = (size_t)wanted;
  whole += sp_draw_unit(draws) < wanted - (double)whole;
  return sp_max_size(1, sp_min_size(whole, n));
}

static int compare_rows(const void *a, const void *b) {
  uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
  return (left > right) - (left < right);
}

/* Draws the targets of rows [first, first + n) and hides them. */
static void mask_rows(const struct filler *f, uint64_t item, size_t first, size_t n) {
  struct sp_data_arrays *a = &f->data->arrays;
  struct sp_draws draws = sp_draws_at(f->seed, SP_DRAW_MASK, f->epoch, item);
  size_t able = 0;
  for (size_t i = first; i < first + n; i++) {
    if (sp_data_may_mask(f->data, a->ids[i])) {
      a->able[able++] = (uint32_t)i;
    }
  }
  size_t targets = count_targets(f->data, able, &draws);
  for (size_t t = 0; t < targets; t++) {
    size_t pick = t + (size_t)sp_draw_below(&draws, able - t);
    uint32_t row = a->able[pick];
    a->able[pick] = a->able[t];
    a->able[t] = row;
  }
  qsort(a->able, targets, sizeof *a->able, compare_rows);
  for (size_t t = 0; t < targets; t++) {
    uint32_t row = a->able[t];
    a->target_row[f->batch->targets] = row;
    a->target_id[f->batch->targets++] = a->ids[row];
    a->ids[row] = shown(f->data, a->ids[row], &draws);
  }
}

/* ---- batches ---- */

/* One sequence of the batch: [CLS], n sequences of the part, [SEP]. */
static void put_sequence(const struct filler *f, uint64_t item, uint64_t first, size_t n) {
  struct sp_data_arrays *a = &f->data->arrays;
  struct sp_train_batch *batch = f->batch;
  size_t start = batch->tokens, at = start;
  a->ids[at++] = f->data->cls;
  for (size_t i = 0; i < n; i++) {
    sp_data_part_ids(f->part, first + i, a->ids + at);
    at += sp_data_part_length(f->part, first + i);
  }
  a->ids[at++] = f->data->sep;
  for (size_t i = start; i < at; i++) {
    a->positions[i] = (uint32_t)(i - start);
  }
  a->item[batch->sequences++] = item;
  batch->tokens = at;
  a->row_start[batch->sequences] = (uint32_t)at;
}

static void put_list(const struct filler *f, const struct sample *sample) {
  struct sp_data_arrays *a = &f->data->arrays;
  for (size_t i = 0; i < sample->n; i++) {
    size_t to = f->batch->sequences;
    uint64_t from = sample->first + i;
    a->first_pass[to] = sp_data_float(f->part, SP_DATA_FIRST_PASS, from);
    a->errors[to] = sp_data_float(f->part, SP_DATA_ERRORS, from);
    a->teacher[to] = sp_data_float(f->part, SP_DATA_TEACHER, from);
    put_sequence(f, sample->item, from, 1);
  }
  a->ref_words[f->batch->lists++] = sp_data_float(f->part, SP_DATA_REF_WORDS, sample->item);
  a->list_start[f->batch->lists] = (uint32_t)f->batch->sequences;
}

static void put_sentence(const struct filler *f, const struct sample *sample) {
  size_t first = f->batch->tokens;
  put_sequence(f, sample->item, sample->first, sample->n);
  mask_rows(f, sample->item, first, f->batch->tokens - first);
}

/* Adds a sample, unless it is beyond the budget and not the first. */
static enum sp_status put(const struct filler *f, const struct sample *sample, size_t budget,
                          bool *fits, struct sp_error *err) {
  size_t sequences = f->part->lists ? sample->n : 1, tokens = f->batch->tokens + sample->tokens;
  *fits = f->batch->sequences == 0 || tokens <= budget;
  if (!*fits) {
    return SP_OK;
  }
  if (tokens > UINT32_MAX) {
    return sp_fail(err, SP_EINPUT, "%s: a list of %zu tokens is too large",
                   sp_train_data_item_name(f->data, f->holdout, sample->item), tokens);
  }
  SP_TRY(reserve(&f->data->arrays, tokens, f->batch->sequences + sequences, err));
  if (f->part->lists) {
    put_list(f, sample);
  } else {
    put_sentence(f, sample);
  }
  return SP_OK;
}

static void begin(struct filler *f) {
  *f->batch = (struct sp_train_batch){0};
}

static void finish(const struct filler *f) {
  struct sp_data_arrays *a = &f->data->arrays;
  struct sp_train_batch *batch = f->batch;
  bool errors = f->data->objective == SP_OBJECTIVE_MWER || f->data->objective == SP_OBJECTIVE_MWED;
  a->row_start[0] = a->list_start[0] = 0;
  batch->row_start = a->row_start;
  batch->ids = a->ids;
  batch->positions = a->positions;
  batch->item = a->item;
  if (!f->part->lists) {
    batch->target_row = a->target_row;
    batch->target_id = a->target_id;
    return;
  }
  batch->list_start = a->list_start;
  batch->first_pass = errors ? a->first_pass : NULL;
  batch->errors = errors ? a->errors : NULL;
  batch->ref_words = errors ? a->ref_words : NULL;
  batch->teacher = f->data->has_teacher[f->holdout] ? a->teacher : NULL;
}

static void set_epoch(struct sp_train_data *data, uint64_t epoch) {
  if (!data->has_order || data->epoch != epoch) {
    data->order = sp_order_make(data->part[SP_TRAINING_PART].items,
                                sp_draws_at(data->seed, SP_DRAW_ORDER, epoch, 0));
    data->epoch = epoch;
    data->has_order = true;
  }
}

enum sp_status sp_train_data_next(struct sp_train_data *data, struct sp_train_position *at,
                                  size_t token_budget, struct sp_train_batch *out,
                                  struct sp_error *err) {
  const struct sp_data_part *part = &data->part[SP_TRAINING_PART];
  struct filler f = {.data = data, .part = part, .seed = data->seed, .batch = out};
  if (at->item >= part->items) {
    *at = (struct sp_train_position){at->epoch + 1, 0};
  }
  set_epoch(data, at->epoch);
  f.epoch = at->epoch;
  begin(&f);
  for (bool fits = true; at->item < part->items; at->item++) {
    struct sample sample = sample_at(&f, sp_order_at(&data->order, at->item));
    SP_TRY(put(&f, &sample, token_budget, &fits, err));
    if (!fits) {
      break;
    }
  }
  finish(&f);
  if (at->item == part->items) {
    *at = (struct sp_train_position){at->epoch + 1, 0};
  }
  return SP_OK;
}

enum sp_status sp_train_data_next_holdout(struct sp_train_data *data, uint64_t *at,
                                          size_t token_budget, struct sp_train_batch *out,
                                          bool *found, struct sp_error *err) {
  const struct sp_data_part *part = &data->part[SP_HOLDOUT_PART];
  struct filler f = {
      .data = data, .part = part, .holdout = true, .seed = HOLDOUT_SEED, .batch = out};
  begin(&f);
  *found = *at < part->items;
  for (bool fits = true; *at < part->items; ++*at) {
    struct sample sample = sample_at(&f, *at);
    SP_TRY(put(&f, &sample, token_budget, &fits, err));
    if (!fits) {
      break;
    }
  }
  if (*found) {
    finish(&f);
  }
  return SP_OK;
}

void sp_train_data_limits(const struct sp_train_data *data, size_t token_budget, size_t *tokens,
                          size_t *sequences, size_t *targets) {
  bool mlm = data->objective == SP_OBJECTIVE_MLM;
  *tokens = *sequences = 1;
  for (int p = 0; p < 2; p++) {
    const struct sp_data_part *part = &data->part[p];
    if (part->items > 0) {
      bool joins = mlm && p == SP_TRAINING_PART && data->join_share > 0;
      size_t longest = joins ? sp_max_size(part->longest, data->max_tokens) : part->longest;
      size_t all = joins ? sp_mul_sat(part->items, longest) : part->tokens + 2 * part->sequences;
      size_t many = sp_min_size(token_budget / part->shortest, part->sequences);
      *tokens = sp_max_size(*tokens, sp_max_size(sp_min_size(token_budget, all), longest));
      *sequences = sp_max_size(*sequences, sp_max_size(many, part->most));
    }
  }
  size_t most = (size_t)(data->mask_rate * (double)*tokens) + 1 + *sequences;
  *targets = mlm ? sp_min_size(*tokens, most) : 0;
}
