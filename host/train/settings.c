/* settings.c - what a training run does when it is told nothing else. */
#include "training.h"

/* Of all objectives: AdamW as BERT is trained, a tenth of the peak rate at the end. */
static const struct sp_train_settings COMMON = {
    .device = "cpu",
    .data = {.holdout_every = 0,
             .join_share = 0.5,
             .mask_rate = 0.15,
             .mask_as_mask = 0.8,
             .mask_as_random = 0.1,
             .seed = 1},
    .epochs = 1,
    .warmup = 100,
    .decay = SP_DECAY_LINEAR,
    .beta1 = 0.9,
    .beta2 = 0.999,
    .eps = 1e-8,
    .weight_decay = 0.01,
    .clip = 1,
    .seed = 1,
    .beta = 1,
    .tau_start = 1,
    .tau_end = 30,
    .penalty = {.kind = SP_PENALTY_NONE, .backlog = {.node = 1}},
    .latency_momentum = 0.99,
    .keep = 2,
    .save_dtype = SP_F32,
};

static const char *const objectives[] = {"mlm", "distill", "mwer", "mwed"};

const char *sp_objective_name(enum sp_objective objective) {
  return objectives[objective];
}

void sp_train_settings_init(struct sp_train_settings *settings, enum sp_objective objective) {
  *settings = COMMON;
  settings->data.objective = objective;
  bool mlm = objective == SP_OBJECTIVE_MLM;
  bool lists = objective == SP_OBJECTIVE_MWER || objective == SP_OBJECTIVE_MWED;
  settings->rate = mlm ? 5e-4 : objective == SP_OBJECTIVE_DISTILL ? 1e-4 : 1e-5;
  settings->step_tokens = 4096;
  settings->batch_tokens = 4096;
  settings->distill_weight = lists ? 1e-4 : 0;
  settings->save_every = 200;
}
