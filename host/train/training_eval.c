/* training_eval.c - the held-out part, once with the masks as they are and once rounded. */
#include <math.h>

#include "training_state.h"

struct held_out {
  struct sp_train_sums sums;
  double parts; /* targets or lists */
};

static enum sp_status run_held_out(struct sp_training *t, const struct sp_network_pass *pass,
                                   struct held_out *out, struct sp_error *err) {
  struct sp_train_worker *w = &t->worker[0];
  struct sp_train_batch kept = w->batch;
  *out = (struct held_out){0};
  enum sp_status status = SP_OK;
  for (uint64_t at = 0; status == SP_OK;) {
    bool found;
    status =
        sp_train_data_next_holdout(t->data, &at, t->settings->batch_tokens, &w->batch, &found, err);
    if (status != SP_OK || !found) {
      break;
    }
    status = sp_network_forward(w->network, &w->batch, pass, err);
    if (status == SP_OK) {
      status = sp_training_loss(t, w, NULL, &out->sums, err);
    }
    out->parts += (double)(w->batch.targets ? w->batch.targets : w->batch.lists);
  }
  w->batch = kept;
  return status;
}

/* Distillation beside a discriminative loss counts with its weight. */
static double loss_of(const struct sp_training *t, const struct held_out *h) {
  return (h->sums.loss + t->settings->distill_weight * h->sums.distill) / h->parts;
}

static void describe(const struct sp_train_sums *sums, struct sp_train_eval *out) {
  const struct sp_penalty_sums *p = &sums->penalty;
  if (p->positions > 0) {
    out->latency = p->latency / p->positions;
    out->lookahead = p->lookahead / p->positions;
    out->settled = p->cells > 0 ? p->settled / p->cells : 1;
  }
  if (sums->ref_words > 0) {
    out->wer = sums->errors / sums->ref_words;
    out->first_wer = sums->first_errors / sums->ref_words;
    out->oracle_wer = sums->oracle_errors / sums->ref_words;
  }
}

/* A model that lost its way is never the best one. */
static enum sp_status check_finite(const struct sp_training *t, const struct sp_train_eval *eval,
                                   struct sp_error *err) {
  return isfinite(eval->loss) && isfinite(eval->rounded)
             ? SP_OK
             : sp_fail(
                   err, SP_EMODEL,
                   "step %llu: held-out loss %g, with rounded masks %g: training stops here. The "
                   "last checkpoint in %s stays; a lower --rate or a --clip may help",
                   (unsigned long long)eval->step, eval->loss, eval->rounded, t->settings->out);
}

/* Whether it is the best so far. What a penalty takes from the masks it takes at the price of loss, the
 * more the later: there the latest model counts. */
static void judge(struct sp_training *t, struct sp_train_eval *eval) {
  struct sp_train_progress *p = &t->progress;
  bool better = !(eval->rounded >= p->best_loss);
  eval->best = better || t->settings->penalty.kind != SP_PENALTY_NONE;
  p->bad_evals = better ? 0 : p->bad_evals + 1;
  if (eval->best) {
    p->best_loss = eval->rounded;
    p->best_step = p->step;
  }
}

enum sp_status sp_training_eval(struct sp_training *t, struct sp_train_eval *out,
                                struct sp_error *err) {
  *out = (struct sp_train_eval){.step = t->progress.step,
                                .epoch = t->progress.at.epoch,
                                .loss = NAN,
                                .rounded = NAN,
                                .wer = NAN,
                                .first_wer = NAN,
                                .oracle_wer = NAN};
  struct sp_network_pass pass = {.tau =
                                     (float)sp_train_tau(t->settings, t->progress.step, t->steps)};
  struct held_out soft, hard;
  SP_TRY(run_held_out(t, &pass, &soft, err));
  if (soft.parts == 0) {
    return SP_OK;
  }
  hard = soft;
  if (t->reach != 0) {
    pass.hard = true;
    SP_TRY(run_held_out(t, &pass, &hard, err));
  }
  out->loss = loss_of(t, &soft);
  out->rounded = loss_of(t, &hard);
  describe(&soft.sums, out);
  double settled = out->settled;
  describe(&hard.sums, out);
  out->settled = settled;
  SP_TRY(check_finite(t, out, err));
  judge(t, out);
  return SP_OK;
}
