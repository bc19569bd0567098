/* training_loss.c - from what a network gave to losses, their sums, and the gradients that go back.
 *
 * Reductions   mlm: the mean over a step's targets.  Lists: the mean over a step's lists, those that mwed
 *              skips counted with 0; a list's distillation term is the sum of its squared errors, or their
 *              mean. */
#include <math.h>
#include <string.h>

#include "list_loss.h"
#include "training_state.h"

static enum sp_status mlm_loss(struct sp_training *t, struct sp_train_worker *w,
                               struct sp_train_sums *sums, struct sp_error *err) {
  SP_TRY(sp_network_losses(w->network, t->loss, err));
  for (size_t i = 0; i < w->batch.targets; i++) {
    sums->loss += t->loss[i];
  }
  return SP_OK;
}

/* ---- lists ---- */

/* d_score of a list gets scale times the gradient that lies in t->d_l, in the units of the head: the
 * output's derivative times the deviation, over the variance. */
static void add_gradient(struct sp_training *t, size_t first, size_t n, double scale) {
  scale /= t->scale.deviation;
  for (size_t i = 0; i < n; i++) {
    t->d_score[first + i] += (float)(scale * t->d_l[i]);
  }
}

/* The list's distillation term times `weight`; its value is added to *sum. */
static void distill_list(struct sp_training *t, const struct sp_train_batch *b, size_t first,
                         size_t n, double weight, double *sum) {
  struct sp_list_loss loss = sp_distill(t->loss + first, b->teacher + first, n, t->d_l);
  double scale = t->settings->distill_sum || loss.used == 0 ? 1 : 1 / (double)loss.used;
  *sum += scale * loss.value;
  add_gradient(t, first, n, weight * scale);
}

static void discriminate_list(struct sp_training *t, const struct sp_train_batch *b, size_t first,
                              size_t n, double weight, struct sp_train_sums *sums) {
  const struct sp_train_settings *s = t->settings;
  const float *a = b->first_pass + first, *l = t->loss + first, *e = b->errors + first;
  struct sp_list_loss loss = s->data.objective == SP_OBJECTIVE_MWER
                                 ? sp_mwer(a, l, e, n, s->beta, t->d_l)
                                 : sp_mwed(a, l, e, n, s->beta, s->detach, t->d_l);
  sums->skipped += loss.skipped;
  sums->loss += loss.skipped ? 0 : loss.value;
  add_gradient(t, first, n, weight);
}

/* The hypothesis with the largest a + beta l, of equal ones the first; one without a first-pass score is
 * taken where all are. */
static size_t chosen(const struct sp_training *t, const struct sp_train_batch *b, size_t first,
                     size_t end, double beta) {
  size_t best = first;
  double most = -INFINITY;
  for (size_t i = first; i < end; i++) {
    double total = b->first_pass[i] + beta * t->loss[i];
    if (total > most) {
      best = i;
      most = total;
    }
  }
  return best;
}

/* Word errors of what a + beta l puts first, of the first pass's own choice and of the best. */
static void count_errors(const struct sp_training *t, const struct sp_train_batch *b, size_t list,
                         struct sp_train_sums *sums) {
  size_t first = b->list_start[list], end = b->list_start[list + 1];
  size_t best = chosen(t, b, first, end, t->settings->beta), own = chosen(t, b, first, end, 0);
  float oracle = b->errors[first];
  for (size_t i = first; i < end; i++) {
    oracle = fminf(oracle, b->errors[i]);
  }
  /* a rate is of one word at least */
  double scale = t->settings->data.error_rates ? fmax(b->ref_words[list], 1) : 1;
  sums->errors += scale * b->errors[best];
  sums->first_errors += scale * b->errors[own];
  sums->oracle_errors += scale * oracle;
  sums->ref_words += b->ref_words[list];
}

static enum sp_status list_loss(struct sp_training *t, struct sp_train_worker *w,
                                const struct sp_train_totals *totals, struct sp_train_sums *sums,
                                struct sp_error *err) {
  const struct sp_train_batch *b = &w->batch;
  bool distill = t->settings->data.objective == SP_OBJECTIVE_DISTILL;
  double weight = totals ? 1 / (double)totals->lists : 0;
  SP_TRY(sp_network_scores(w->network, t->loss, err));
  for (size_t i = 0; i < b->sequences; i++) {
    t->loss[i] = (float)(t->scale.mean + t->scale.deviation * t->loss[i]);
  }
  memset(t->d_score, 0, b->sequences * sizeof *t->d_score);
  for (size_t list = 0; list < b->lists; list++) {
    size_t first = b->list_start[list], n = b->list_start[list + 1] - first;
    if (distill) {
      distill_list(t, b, first, n, weight, &sums->loss);
      continue;
    }
    discriminate_list(t, b, first, n, weight, sums);
    if (b->teacher && t->settings->distill_weight != 0) {
      distill_list(t, b, first, n, weight * t->settings->distill_weight, &sums->distill);
    }
    count_errors(t, b, list, sums);
  }
  return SP_OK;
}

/* ---- soft masks ---- */

static enum sp_status penalise(struct sp_training *t, struct sp_train_worker *w,
                               const struct sp_train_totals *totals, struct sp_train_sums *sums,
                               struct sp_error *err) {
  const struct sp_train_batch *b = &w->batch;
  double positions = totals ? (double)totals->tokens : 1;
  double sequences = totals ? (double)totals->sequences : 1;
  SP_TRY(sp_network_soft_masks(w->network, t->a, err));
  memset(t->d_a, 0, t->params->config.layers * b->tokens * t->reach * sizeof *t->d_a);
  for (size_t s = 0; s < b->sequences; s++) {
    size_t first = b->row_start[s];
    struct sp_soft_masks masks = {.len = b->row_start[s + 1] - first,
                                  .layers = t->params->config.layers,
                                  .reach = t->reach,
                                  .rule = &t->params->config.lookahead,
                                  .a = t->a + first * t->reach,
                                  .stride = b->tokens};
    SP_TRY(sp_penalty_add(&t->settings->penalty, &masks, t->progress.average, positions, sequences,
                          &sums->penalty, totals ? t->d_a + first * t->reach : NULL, err));
  }
  return SP_OK;
}

enum sp_status sp_training_loss(struct sp_training *t, struct sp_train_worker *w,
                                const struct sp_train_totals *totals, struct sp_train_sums *sums,
                                struct sp_error *err) {
  bool mlm = w->batch.targets != 0;
  SP_TRY(mlm ? mlm_loss(t, w, sums, err) : list_loss(t, w, totals, sums, err));
  if (t->reach != 0) {
    SP_TRY(penalise(t, w, totals, sums, err));
  }
  if (!totals) {
    return SP_OK;
  }
  return sp_network_backward(w->network, mlm ? NULL : t->d_score, t->reach ? t->d_a : NULL, err);
}
