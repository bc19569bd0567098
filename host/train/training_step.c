/* training_step.c - one update: batches forwards and backwards on every device, the sum of their gradients,
 * clipping, AdamW.
 *
 * A step is a fixed number of batches, dealt to the devices in turn; losses are divided by what all of them
 * hold, so that how a step is cut changes nothing but rounding. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "clock.h"
#include "training_state.h"

static size_t step_batches(const struct sp_train_settings *s) {
  return sp_max_size((s->step_tokens + s->batch_tokens - 1) / s->batch_tokens, 1);
}

/* ---- the batches ---- */

/* Looks a step's batches over; data is cheap against work. */
static enum sp_status count_step(struct sp_training *t, struct sp_train_totals *totals,
                                 struct sp_error *err) {
  struct sp_train_position at = t->progress.at;
  *totals = (struct sp_train_totals){.batches = step_batches(t->settings)};
  for (size_t b = 0; b < totals->batches; b++) {
    struct sp_train_batch batch;
    SP_TRY(sp_train_data_next(t->data, &at, t->settings->batch_tokens, &batch, err));
    totals->tokens += batch.tokens;
    totals->sequences += batch.sequences;
    totals->targets += batch.targets;
    totals->lists += batch.lists;
  }
  return SP_OK;
}

struct piece {
  const void *from;
  size_t bytes;
  const void **to;
};

/* A copy that outlives the source's next call. */
static enum sp_status keep_batch(struct sp_train_worker *w, const struct sp_train_batch *from,
                                 struct sp_error *err) {
  struct sp_train_batch *b = &w->batch;
  *b = *from;
  size_t s = from->sequences;
  struct piece pieces[] = {
      {from->item, s * 8, (const void **)&b->item},
      {from->row_start, (s + 1) * 4, (const void **)&b->row_start},
      {from->ids, from->tokens * 4, (const void **)&b->ids},
      {from->positions, from->tokens * 4, (const void **)&b->positions},
      {from->target_row, from->targets * 4, (const void **)&b->target_row},
      {from->target_id, from->targets * 4, (const void **)&b->target_id},
      {from->list_start, (from->lists + 1) * 4, (const void **)&b->list_start},
      {from->first_pass, s * 4, (const void **)&b->first_pass},
      {from->errors, s * 4, (const void **)&b->errors},
      {from->teacher, s * 4, (const void **)&b->teacher},
      {from->ref_words, from->lists * 4, (const void **)&b->ref_words},
  };
  size_t count = sizeof pieces / sizeof *pieces, bytes = 0;
  for (size_t i = 0; i < count; i++) {
    bytes += sp_round_up(pieces[i].bytes, 8);
  }
  if (bytes > w->block_bytes) {
    free(w->block);
    w->block = malloc(bytes);
    w->block_bytes = w->block ? bytes : 0;
    if (!w->block) {
      return sp_fail_memory(err, bytes);
    }
  }
  char *to = w->block;
  for (size_t i = 0; i < count; i++) {
    if (pieces[i].from) {
      memcpy(to, pieces[i].from, pieces[i].bytes);
      *pieces[i].to = to;
      to += sp_round_up(pieces[i].bytes, 8);
    }
  }
  return SP_OK;
}

/* ---- the update ---- */

static enum sp_status zero_gradients(struct sp_training *t, struct sp_error *err) {
  for (size_t i = 0; i < t->workers; i++) {
    struct sp_network *n = t->worker[i].network;
    SP_TRY(t->worker[i].device->backend->train->fill_zero(
        sp_network_trainer(n), sp_network_gradients(n), t->params->count * 4, err));
  }
  return SP_OK;
}

/* As many batches as there are devices, or what is left: all forwards, then all losses and backwards. */
static enum sp_status run_round(struct sp_training *t, size_t batches,
                                const struct sp_train_totals *totals,
                                const struct sp_network_pass *pass, struct sp_train_sums *sums,
                                struct sp_error *err) {
  for (size_t i = 0; i < batches; i++) {
    struct sp_train_batch batch;
    SP_TRY(sp_train_data_next(t->data, &t->progress.at, t->settings->batch_tokens, &batch, err));
    SP_TRY(keep_batch(&t->worker[i], &batch, err));
    SP_TRY(sp_network_forward(t->worker[i].network, &t->worker[i].batch, pass, err));
  }
  for (size_t i = 0; i < batches; i++) {
    SP_TRY(sp_training_loss(t, &t->worker[i], totals, sums, err));
  }
  return SP_OK;
}

static enum sp_status sum_gradients(struct sp_training *t, struct sp_error *err) {
  struct sp_trainer *trainers[SP_MAX_DEVICES];
  float *gradients[SP_MAX_DEVICES];
  for (size_t i = 0; i < t->workers; i++) {
    trainers[i] = sp_network_trainer(t->worker[i].network);
    gradients[i] = sp_network_gradients(t->worker[i].network);
  }
  const struct sp_train_backend *ops = t->worker[0].device->backend->train;
  return t->workers == 1 ? SP_OK
                         : ops->all_reduce(trainers, gradients, t->workers, t->params->count, err);
}

static enum sp_status update_part(struct sp_training *t, struct sp_train_worker *w, size_t first,
                                  size_t end, double decay, const struct sp_train_step *step,
                                  struct sp_error *err) {
  const struct sp_train_settings *s = t->settings;
  struct sp_train_adamw_args args = {
      .param = sp_network_values(w->network) + first,
      .m = w->m + first,
      .v = w->v + first,
      .grad = sp_network_gradients(w->network) + first,
      .count = end - first,
      .clip = (float)step->clip,
      .rate = (float)step->rate,
      .beta1 = (float)s->beta1,
      .beta2 = (float)s->beta2,
      .eps = (float)s->eps,
      .decay = (float)decay,
      .correction1 = (float)(1 - pow(s->beta1, (double)step->step)),
      .correction2 = (float)(1 - pow(s->beta2, (double)step->step)),
  };
  return w->device->backend->train->adamw(sp_network_trainer(w->network), &args, err);
}

static enum sp_status update(struct sp_training *t, const struct sp_train_step *step,
                             struct sp_error *err) {
  for (size_t i = 0; i < t->workers; i++) {
    struct sp_train_worker *w = &t->worker[i];
    SP_TRY(update_part(t, w, 0, t->params->n_decay, t->settings->weight_decay, step, err));
    SP_TRY(update_part(t, w, t->params->n_decay, t->params->count, 0, step, err));
    SP_TRY(sp_network_refresh(w->network, err));
  }
  return SP_OK;
}

/* The first items of the batches of a step, for its message. */
static void name_items(struct sp_training *t, struct sp_train_position at, char *out, size_t room) {
  struct sp_train_batch batch;
  out[0] = '\0';
  if (sp_train_data_next(t->data, &at, t->settings->batch_tokens, &batch, NULL) != SP_OK) {
    return;
  }
  size_t length = 0;
  for (size_t s = 0; s < batch.sequences && length + 1 < room; s++) {
    if (s == 0 || batch.item[s] != batch.item[s - 1]) {
      const char *name = sp_train_data_item_name(t->data, false, batch.item[s]);
      int more = snprintf(out + length, room - length, "%s%s", length ? ", " : "", name);
      length += more > 0 ? (size_t)more : 0;
    }
  }
}

static enum sp_status check_finite(struct sp_training *t, const struct sp_train_step *step,
                                   struct sp_train_position before, struct sp_error *err) {
  if (isfinite(step->loss) && isfinite(step->norm)) {
    return SP_OK;
  }
  char items[400];
  name_items(t, before, items, sizeof items);
  return sp_fail(err, SP_EMODEL,
                 "step %llu: loss %g, gradient norm %g: training stops here. Its batch: %s. "
                 "Checkpoints in %s stay; a lower --rate or a --clip may help",
                 (unsigned long long)step->step, step->loss, step->norm, items, t->settings->out);
}

/* What a step tells, from its sums. */
static void describe(const struct sp_training *t, const struct sp_train_totals *totals,
                     const struct sp_train_sums *sums, struct sp_train_step *out) {
  const struct sp_penalty_sums *p = &sums->penalty;
  double parts = (double)(totals->targets ? totals->targets : totals->lists);
  out->loss = sums->loss / parts;
  out->distill = sums->distill / parts;
  out->tokens = totals->tokens;
  out->targets = totals->targets;
  out->lists = totals->lists;
  out->skipped = sums->skipped;
  out->epoch = t->progress.at.epoch;
  if (p->positions > 0) {
    out->penalty = p->value;
    out->latency = p->latency / p->positions;
    out->lookahead = p->lookahead / p->positions;
    out->settled = p->cells > 0 ? p->settled / p->cells : 1;
  }
}

static void move_on(struct sp_training *t, const struct sp_train_step *step) {
  struct sp_train_progress *p = &t->progress;
  double momentum = t->settings->latency_momentum;
  p->average =
      p->average == 0 ? step->latency : momentum * p->average + (1 - momentum) * step->latency;
  p->step = step->step;
  p->tokens += step->tokens;
  p->skipped += step->skipped;
}

/* Gradients of a whole step on every device; rates and loss into *out. */
static enum sp_status accumulate(struct sp_training *t, struct sp_train_step *out,
                                 struct sp_error *err) {
  struct sp_train_totals totals;
  struct sp_train_sums sums = {0};
  SP_TRY(count_step(t, &totals, err));
  struct sp_network_pass pass = {
      .backward = true,
      .mlm_scale = totals.targets ? (float)(1.0 / (double)totals.targets) : 0,
      .tau = (float)out->tau,
  };
  SP_TRY(zero_gradients(t, err));
  for (size_t done = 0; done < totals.batches; done += t->workers) {
    size_t batches = sp_min_size(totals.batches - done, t->workers);
    SP_TRY(run_round(t, batches, &totals, &pass, &sums, err));
  }
  describe(t, &totals, &sums, out);
  return sum_gradients(t, err);
}

enum sp_status sp_training_step(struct sp_training *t, struct sp_train_step *out,
                                struct sp_error *err) {
  double begun = sp_clock_seconds();
  struct sp_train_position before = t->progress.at;
  *out = (struct sp_train_step){.step = t->progress.step + 1, .steps = t->steps};
  out->rate = sp_train_rate(t->settings, out->step, t->steps);
  out->tau = sp_train_tau(t->settings, out->step, t->steps);
  SP_TRY(accumulate(t, out, err));
  double squares;
  struct sp_network *first = t->worker[0].network;
  SP_TRY(t->worker[0].device->backend->train->square_sum(
      sp_network_trainer(first), sp_network_gradients(first), t->params->count, &squares, err));
  out->norm = sqrt(squares);
  SP_TRY(check_finite(t, out, before, err));
  double clip = t->settings->clip;
  out->clip = clip > 0 && out->norm > clip ? clip / out->norm : 1;
  SP_TRY(update(t, out, err));
  move_on(t, out);
  double now = sp_clock_seconds();
  out->seconds = now - begun;
  out->tokens_per_second = (double)(t->progress.tokens - t->tokens_before) / (now - t->started);
  uint64_t done = t->progress.tokens, per_step = done / t->progress.step;
  out->eta = (double)((t->steps - out->step) * per_step) / out->tokens_per_second;
  return SP_OK;
}
