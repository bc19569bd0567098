/* training_scale.c - a cls head in units of what it learns.
 *
 * A teacher's scores are sums over tokens: hundreds of nats, with a deviation of as many.  AdamW moves a
 * weight by about its rate an update, whatever the gradient, so a head would take thousands of updates to
 * get there.  While it is distilled, the network's output is (score - mean) / deviation, the moments those of
 * the teacher's scores of the training part; the last layer of what is loaded is brought into these
 * units, and of what is written back out of them.  The squared error is divided by the variance where
 * it goes backwards, never where it is told. */
#include <math.h>

#include "training_state.h"

/* Mean and deviation of the teacher's scores: one look over an epoch. */
enum sp_status sp_training_measure_scale(struct sp_training *t, struct sp_error *err) {
  struct sp_train_position at = {0};
  double sum = 0, squares = 0, n = 0;
  t->scale = (struct sp_train_scale){.mean = 0, .deviation = 1};
  if (t->settings->data.objective != SP_OBJECTIVE_DISTILL) {
    return SP_OK;
  }
  while (at.epoch == 0) {
    struct sp_train_batch batch;
    SP_TRY(sp_train_data_next(t->data, &at, t->settings->batch_tokens, &batch, err));
    for (size_t i = 0; i < batch.sequences; i++) {
      double value = batch.teacher[i];
      if (isfinite(value)) {
        sum += value;
        squares += value * value;
        n++;
      }
    }
  }
  if (n == 0) {
    return sp_fail(err, SP_EINPUT, "the teacher gave no score to any of the training data");
  }
  double mean = sum / n, variance = squares / n - mean * mean;
  t->scale.mean = mean;
  t->scale.deviation = variance > 1e-6 ? sqrt(variance) : 1;
  return SP_OK;
}

/* values = values * factor + shift on the head's last layer, shift for its bias alone. */
static void change_units(const struct sp_params *p, float *values, double factor, double shift) {
  if (p->n_cls == 0) {
    return;
  }
  const struct sp_param_linear *last = &p->cls[p->n_cls - 1];
  for (size_t i = 0; i < last->n * last->k; i++) {
    values[last->weight + i] = (float)(values[last->weight + i] * factor);
  }
  for (size_t i = 0; i < last->n; i++) {
    values[last->bias + i] = (float)(values[last->bias + i] * factor + shift);
  }
}

/* A fresh head begins in these units: small weights are small deviations. */
void sp_training_enter_scale(const struct sp_training *t, float *values) {
  const struct sp_train_scale *s = &t->scale;
  if (t->checkpoint && t->checkpoint->has_cls) {
    change_units(t->params, values, 1 / s->deviation, -s->mean / s->deviation);
  }
}

void sp_training_leave_scale(const struct sp_training *t, float *values) {
  change_units(t->params, values, t->scale.deviation, t->scale.mean);
}
