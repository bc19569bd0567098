/* rates.c - what changes over a run: the learning rate and the temperature of soft masks. */
#include <math.h>

#include "training_state.h"

double sp_train_rate(const struct sp_train_settings *s, uint64_t step, uint64_t steps) {
  if (step <= s->warmup) {
    return s->rate * (double)step / (double)s->warmup;
  }
  double left = steps > s->warmup ? (double)(steps - step) / (double)(steps - s->warmup) : 0;
  switch (s->decay) {
    case SP_DECAY_LINEAR:
      return s->end_rate + (s->rate - s->end_rate) * left;
    case SP_DECAY_COSINE:
      return s->end_rate + (s->rate - s->end_rate) * 0.5 * (1 - cos(M_PI * left));
    case SP_DECAY_CONSTANT:
      break;
  }
  return s->rate;
}

double sp_train_tau(const struct sp_train_settings *s, uint64_t step, uint64_t steps) {
  double done = steps > 1 ? (double)(step > 0 ? step - 1 : 0) / (double)(steps - 1) : 1;
  return s->tau_start * pow(s->tau_end / s->tau_start, done < 1 ? done : 1);
}
