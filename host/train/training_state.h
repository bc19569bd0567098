/* training_state.h - a training run in memory; private to training*.c. */
#ifndef SP_TRAIN_TRAINING_STATE_H
#define SP_TRAIN_TRAINING_STATE_H

#include <stdio.h>

#include "network.h"
#include "run_manifest.h"
#include "state.h"
#include "training.h"

/* What a checkpoint keeps beside the arrays: where the run stands. */
struct sp_train_progress {
  uint64_t step;
  struct sp_train_position at; /* in the data, behind that step */
  double average;              /* moving average of the mean latency; 0 before the first */
  double best_loss;            /* NaN before the first evaluation */
  uint64_t best_step, bad_evals, tokens, skipped;
  bool early;
};

/* One device's part: its network, the optimiser's moments, and the batch it works on. */
struct sp_train_worker {
  struct sp_device *device;
  struct sp_network *network;
  float *m, *v; /* (params->count) device memory */
  struct sp_train_batch batch;
  char *block;  /* holds the batch's arrays */
  size_t block_bytes;
};

/* What all batches of a step hold together: known before the first is worked on. */
struct sp_train_totals {
  size_t batches, tokens, sequences, targets, lists;
};

/* Sums over the batches of a step or of an evaluation. */
struct sp_train_sums {
  double loss, distill;   /* summed over targets or lists */
  uint64_t skipped;
  struct sp_penalty_sums penalty;
  double errors, first_errors, oracle_errors, ref_words;
};

/* What the head's output is of a score: (score - mean) / deviation. */
struct sp_train_scale {
  double mean, deviation;
};

struct sp_training {
  const struct sp_train_settings *settings;
  const struct sp_train_events *events;
  struct sp_checkpoint *checkpoint; /* what it began from; NULL from scratch */
  struct sp_tokenizer *tokenizer;
  struct sp_params *params;
  struct sp_train_data *data;
  struct sp_train_worker worker[SP_MAX_DEVICES];
  size_t workers;
  struct sp_train_arrays host; /* param, m, v for checkpoints and the best model */
  char *config_from, *tokenizer_from; /* paths */

  /* of one batch, host: */
  float *loss;           /* (greatest of targets and sequences) losses or scores */
  float *d_score;        /* (sequences) */
  double *d_l;           /* (sequences) */
  float *a, *d_a;        /* (L, T, J) */
  size_t token_limit, sequence_limit, target_limit, reach;

  struct sp_train_scale scale;

  uint64_t steps;        /* in all */
  struct sp_train_progress progress;
  double started;        /* seconds */
  uint64_t tokens_before; /* that were done before this call */
  FILE *log;
  struct sp_run_lock lock;
  bool locked, made; /* the directory, by this call */
};

/* training_setup.c: model, data, devices, arrays. */
SP_MUST_CHECK enum sp_status sp_training_setup(struct sp_training *t, struct sp_error *err);
void sp_training_release(struct sp_training *t);
/* The arrays between host and every device. */
SP_MUST_CHECK enum sp_status sp_training_to_devices(struct sp_training *t, struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_training_to_host(struct sp_training *t, bool moments,
                                                 struct sp_error *err);

/* training_model.c: what is trained: its config, parameters and first values. */
SP_MUST_CHECK enum sp_status sp_training_open_model(struct sp_training *t, struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_training_fill_values(struct sp_training *t, struct sp_error *err);

/* training_scale.c: a head's last layer in units of the scores that it learns. */
SP_MUST_CHECK enum sp_status sp_training_measure_scale(struct sp_training *t, struct sp_error *err);
void sp_training_enter_scale(const struct sp_training *t, float *values);
void sp_training_leave_scale(const struct sp_training *t, float *values);

/* training_step.c */
SP_MUST_CHECK enum sp_status sp_training_step(struct sp_training *t, struct sp_train_step *out,
                                              struct sp_error *err);
/* training_loss.c: losses of the batch that worker `w` forwarded, and with `totals` its backward pass;
 * NULL: an evaluation. */
SP_MUST_CHECK enum sp_status sp_training_loss(struct sp_training *t, struct sp_train_worker *w,
                                              const struct sp_train_totals *totals,
                                              struct sp_train_sums *sums, struct sp_error *err);
/* training_eval.c */
SP_MUST_CHECK enum sp_status sp_training_eval(struct sp_training *t, struct sp_train_eval *out,
                                              struct sp_error *err);

/* training_files.c: train.json, steps.jsonl, checkpoints, the model. */
/* Makes and locks the directory. */
SP_MUST_CHECK enum sp_status sp_training_open_directory(struct sp_training *t,
                                                        struct sp_error *err);
/* Writes train.json, or compares with the one that is there; *finished: the run is complete. */
SP_MUST_CHECK enum sp_status sp_training_check_identity(struct sp_training *t, bool *finished,
                                                        struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_training_open_log(struct sp_training *t, struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_training_log_step(struct sp_training *t,
                                                  const struct sp_train_step *step,
                                                  struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_training_log_eval(struct sp_training *t,
                                                  const struct sp_train_eval *eval,
                                                  struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_training_save(struct sp_training *t, struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_training_load(struct sp_training *t, bool *found,
                                              struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_training_write_model(struct sp_training *t, struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_training_succeed(struct sp_training *t, struct sp_error *err);

/* tau of soft masks and the learning rate at a step, from 1 (rates.c). */
double sp_train_tau(const struct sp_train_settings *settings, uint64_t step, uint64_t steps);
double sp_train_rate(const struct sp_train_settings *settings, uint64_t step, uint64_t steps);

#endif
