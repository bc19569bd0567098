/* training.c - the loop: steps, evaluations, checkpoints, and the model at the end. */
#include "training.h"

#include <math.h>
#include <string.h>

#include "checked.h"
#include "clock.h"
#include "training_state.h"

static bool has_held_out(const struct sp_training *t) {
  return sp_train_data_get_counts(t->data)->holdout_items != 0;
}

/* Evaluates, tells it, and keeps the model where it is the best so far. */
static enum sp_status evaluate(struct sp_training *t, struct sp_error *err) {
  struct sp_train_eval eval;
  SP_TRY(sp_training_eval(t, &eval, err));
  SP_TRY(sp_training_log_eval(t, &eval, err));
  if (t->events->eval) {
    t->events->eval(t->events->arg, &eval);
  }
  if (eval.best) {
    SP_TRY(sp_training_write_model(t, err));
  }
  uint64_t patience = t->settings->patience;
  t->progress.early = patience != 0 && t->progress.bad_evals >= patience;
  return SP_OK;
}

/* Every `eval_every` steps, or where an epoch ends; and at the end. */
static bool evaluates_after(const struct sp_training *t, uint64_t epoch_before) {
  uint64_t every = t->settings->eval_every, step = t->progress.step;
  bool due = every != 0 ? step % every == 0 : t->progress.at.epoch != epoch_before;
  return has_held_out(t) && (due || step == t->steps);
}

static bool is_stopped(const struct sp_training *t) {
  return t->events->stop && t->events->stop(t->events->arg);
}

static enum sp_status one_step(struct sp_training *t, struct sp_error *err) {
  struct sp_train_step step;
  uint64_t epoch = t->progress.at.epoch;
  SP_TRY(sp_training_step(t, &step, err));
  SP_TRY(sp_training_log_step(t, &step, err));
  if (t->events->step) {
    t->events->step(t->events->arg, &step);
  }
  if (evaluates_after(t, epoch)) {
    SP_TRY(evaluate(t, err));
  }
  uint64_t every = t->settings->save_every;
  bool done = step.step == t->steps || t->progress.early;
  return done || (every != 0 && step.step % every == 0) ? sp_training_save(t, err) : SP_OK;
}

static enum sp_status loop(struct sp_training *t, struct sp_error *err) {
  t->started = sp_clock_seconds();
  t->tokens_before = t->progress.tokens;
  while (t->progress.step < t->steps && !t->progress.early) {
    if (is_stopped(t)) {
      SP_TRY(sp_training_save(t, err));
      return sp_fail(err, SP_EINTERRUPTED,
                     "stopped after step %llu of %llu; the same command goes on",
                     (unsigned long long)t->progress.step, (unsigned long long)t->steps);
    }
    SP_TRY(one_step(t, err));
  }
  return SP_OK;
}

static enum sp_status finish(struct sp_training *t, struct sp_error *err) {
  if (!has_held_out(t)) {
    SP_TRY(sp_training_write_model(t, err));
  }
  return sp_training_succeed(t, err);
}

static void summarize(const struct sp_training *t, uint64_t resumed_from,
                      struct sp_train_summary *out) {
  const struct sp_train_progress *p = &t->progress;
  *out = (struct sp_train_summary){.step = p->step,
                                   .resumed_from = resumed_from,
                                   .parameters = t->params->parameters,
                                   .tokens = p->tokens,
                                   .skipped = p->skipped,
                                   .best_loss = p->best_loss,
                                   .best_step = p->best_step,
                                   .data = *sp_train_data_get_counts(t->data),
                                   .early = p->early};
}

static enum sp_status work(struct sp_training *t, struct sp_error *err) {
  SP_TRY(sp_training_to_devices(t, err));
  SP_TRY(sp_training_open_log(t, err));
  SP_TRY(loop(t, err));
  return finish(t, err);
}

static enum sp_status run(struct sp_training *t, struct sp_train_summary *summary,
                          struct sp_error *err) {
  bool finished, found;
  SP_TRY(sp_training_open_directory(t, err));
  SP_TRY(sp_training_setup(t, err));
  SP_TRY(sp_training_check_identity(t, &finished, err));
  SP_TRY(sp_training_load(t, &found, err));
  uint64_t from = t->progress.step;
  enum sp_status status = finished ? SP_OK : work(t, err);
  summarize(t, from, summary);
  return status;
}

enum sp_status sp_training_run(const struct sp_train_settings *settings,
                               const struct sp_train_events *events,
                               struct sp_train_summary *summary, struct sp_error *err) {
  struct sp_training t;
  struct sp_train_settings own = *settings;
  own.batch_tokens = sp_min_size(own.batch_tokens, own.step_tokens);
  memset(&t, 0, sizeof t);
  t.settings = &own;
  t.events = events;
  enum sp_status status = run(&t, summary, err);
  sp_training_release(&t);
  return status;
}
