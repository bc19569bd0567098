/* training.h - a training run from settings to a model directory.
 *
 * OUT/train.json             resolved settings, hashes of model and data, version: the run's identity.  A
 *                            directory of another identity is refused (as `score` does)
 * OUT/steps.jsonl            a line a step and a line an evaluation; cut back to the checkpoint's step on resume
 * OUT/state-*.sptrain        checkpoints (state.h)
 * OUT/model/                 the best model by held-out loss; under a penalty, which lowers latency at the
 *                            price of loss, the last that was evaluated; where nothing is held out the
 *                            last.  Rounded masks where it has a scheduler
 * OUT/_SUCCESS               written last
 * Killed anywhere and started again, a run ends in the same bytes. */
#ifndef SP_TRAIN_TRAINING_H
#define SP_TRAIN_TRAINING_H

#include "data.h"
#include "latency_loss.h"
#include "safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

enum sp_decay { SP_DECAY_LINEAR, SP_DECAY_COSINE, SP_DECAY_CONSTANT };

struct sp_train_settings {
  const char *model;       /* directory to begin from, or NULL */
  const char *config;      /* config.json to begin from scratch, or NULL; with `vocab` */
  const char *vocab;       /* directory with a tokenizer */
  const char *init_layers; /* "0,2,5": layers of `model` that become ours; NULL: all */
  const char *lookahead;   /* a rule that replaces the model's ("causal", "layerwise:1", "dynamic:4"), or
                              NULL */
  const char *lookahead_cells; /* "independent" or "span", with dynamic; NULL: the model's */
  const char *cls_row;     /* "first" or "last": the position that a cls head scores; NULL: the model's */
  const char *out;
  const char *device;      /* "cpu", "cuda:0,1", "auto" */
  bool bf16;               /* compute type, else f32 */
  size_t threads;

  struct sp_train_data_settings data; /* objective included; scratch_dir is set by the run */

  uint64_t steps;          /* 0: from epochs */
  double epochs;           /* with steps == 0: as many tokens as so many rounds have, joins aside */
  size_t step_tokens;      /* tokens of a step over all devices and accumulated batches */
  size_t batch_tokens;     /* of one forward pass; a step is split into batches of at most this,
                              and of no more than a step */
  double rate, end_rate;   /* peak learning rate, and its floor */
  uint64_t warmup;         /* steps */
  enum sp_decay decay;
  double beta1, beta2, eps, weight_decay, clip; /* clip 0: none */
  uint64_t seed;

  double beta;             /* weight of the model's score beside the first pass: mwer, mwed */
  double distill_weight;   /* lambda of the auxiliary distillation term; 0: none */
  bool distill_sum;        /* squared errors of a list summed, else their mean */
  bool detach;             /* mwed: T is a constant */

  double tau_start, tau_end; /* of soft masks, geometric over the run */
  struct sp_penalty_rule penalty;
  double latency_momentum; /* of the moving average, 0.99 */

  uint64_t eval_every;     /* steps; 0: at the end of each epoch and at the end */
  uint64_t patience;       /* evaluations without a better loss before it stops; 0: never */
  uint64_t save_every;     /* steps between checkpoints */
  size_t keep;             /* checkpoints kept */
  enum sp_dtype save_dtype; /* of OUT/model: SP_F32 or SP_BF16 */
};

void sp_train_settings_init(struct sp_train_settings *settings, enum sp_objective objective);

struct sp_train_step {
  uint64_t step, steps, epoch;   /* step from 1 */
  double loss;                   /* mlm: nats a target; distill: mean squared error; mwer, mwed: mean a list */
  double distill, penalty;       /* the auxiliary terms before their weights; 0 without */
  double rate, norm, clip;       /* learning rate; gradient norm; factor that clipping gave */
  double tau, latency, lookahead, settled; /* of soft masks; share of cells within 0.05 of 0 or 1 */
  uint64_t tokens, targets, lists, skipped; /* of this step; skipped: lists that mwed leaves out */
  double seconds, tokens_per_second, eta; /* of this step, since the start of this call, left */
};
struct sp_train_eval {
  uint64_t step, epoch;
  double loss;                   /* held-out, as above; NaN where nothing is held out */
  double rounded;                /* with rounded masks; the same where there is no scheduler */
  double latency, lookahead, settled;
  double wer, first_wer, oracle_wer; /* lists: errors over reference words, best by a + beta l; NaN else */
  bool best;
};

struct sp_train_events {
  void *arg;
  void (*step)(void *arg, const struct sp_train_step *step);
  void (*eval)(void *arg, const struct sp_train_eval *eval);
  void (*note)(void *arg, const char *text); /* one line for the user */
  bool (*stop)(void *arg);                   /* asked between steps: save and end with SP_EINTERRUPTED */
};

struct sp_train_summary {
  uint64_t step, resumed_from, parameters, tokens, skipped;
  double best_loss;
  uint64_t best_step;
  struct sp_train_data_counts data;
  bool early; /* stopped by patience */
};

/* A loss, held-out loss or gradient that is not finite ends the run with SP_EMODEL, naming the step and the items of its
 * batch; the last checkpoint stays. */
SP_MUST_CHECK enum sp_status sp_training_run(const struct sp_train_settings *settings,
                                             const struct sp_train_events *events,
                                             struct sp_train_summary *summary,
                                             struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
