/* training_setup.c - opens what a run needs: model, data, devices, arrays; and gives it back. */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "checked.h"
#include "clock.h"
#include "training_state.h"

/* Weight of the past in a moving average: of 1 nothing would ever come in. */
static enum sp_status check_momentum(double value, const char *option, struct sp_error *err) {
  return value >= 0 && value < 1
             ? SP_OK
             : sp_fail(err, SP_EUSAGE, "%s is %g; it takes 0 or more, below 1", option, value);
}

static enum sp_status check_positive(double value, const char *option, struct sp_error *err) {
  return value > 0 && isfinite(value)
             ? SP_OK
             : sp_fail(err, SP_EUSAGE, "%s is %g; it takes a positive number", option, value);
}

static enum sp_status check_settings(const struct sp_train_settings *s, struct sp_error *err) {
  SP_TRY(check_positive(s->rate, "--rate", err));
  SP_TRY(check_positive((double)s->step_tokens, "--step-tokens", err));
  SP_TRY(check_positive((double)s->batch_tokens, "--batch-tokens", err));
  SP_TRY(check_positive(s->tau_start, "--tau-start", err));
  SP_TRY(check_positive(s->tau_end, "--tau-end", err));
  SP_TRY(check_positive(s->eps, "--adam-eps", err));
  SP_TRY(check_momentum(s->beta1, "--beta1", err));
  SP_TRY(check_momentum(s->beta2, "--beta2", err));
  SP_TRY(check_momentum(s->latency_momentum, "--latency-momentum", err));
  if (s->steps == 0) {
    SP_TRY(check_positive(s->epochs, "--epochs", err));
  }
  if (s->end_rate < 0 || s->end_rate > s->rate) {
    return sp_fail(err, SP_EUSAGE, "--end-rate is %g; it takes 0 up to --rate, %g", s->end_rate,
                   s->rate);
  }
  return SP_OK;
}

static enum sp_status open_data(struct sp_training *t, struct sp_error *err) {
  struct sp_train_data_settings data = t->settings->data;
  size_t positions = t->params->config.max_positions;
  data.scratch_dir = t->settings->out;
  if (data.max_tokens == 0) {
    data.max_tokens = positions;
  }
  if (data.max_tokens > positions || data.max_tokens < 3) {
    return sp_fail(err, SP_EUSAGE, "--max-tokens is %zu; it takes 3 to %zu, the model's positions",
                   data.max_tokens, positions);
  }
  SP_TRY(sp_train_data_open(t->tokenizer, &data, &t->data, err));
  sp_train_data_limits(t->data, t->settings->batch_tokens, &t->token_limit, &t->sequence_limit,
                       &t->target_limit);
  return SP_OK;
}

/* Steps of the run: told, or as many as the epochs' tokens fill. */
static uint64_t count_steps(const struct sp_training *t) {
  const struct sp_train_settings *s = t->settings;
  const struct sp_train_data_counts *counts = sp_train_data_get_counts(t->data);
  if (s->steps != 0) {
    return s->steps;
  }
  double tokens = (double)counts->tokens + 2 * (double)counts->hyps; /* [CLS] and [SEP] */
  double steps = ceil(s->epochs * tokens / (double)s->step_tokens);
  return steps < 1 ? 1 : (uint64_t)steps;
}

static enum sp_status open_devices(struct sp_training *t, struct sp_error *err) {
  struct sp_device *devices[SP_MAX_DEVICES];
  const struct sp_backend *backend;
  const char *spec;
  SP_TRY(sp_backend_find(t->settings->device, &backend, &spec, err));
  if (!backend->train) {
    return sp_fail(err, SP_EDEVICE, "--device %s: models cannot be trained on it",
                   t->settings->device);
  }
  enum sp_compute compute = t->settings->bf16 ? SP_COMPUTE_BF16 : SP_COMPUTE_F32;
  SP_TRY(backend->open(spec, compute, devices, SP_MAX_DEVICES, &t->workers, err));
  for (size_t i = 0; i < t->workers; i++) {
    t->worker[i].device = devices[i];
  }
  if (t->workers > 1 && !backend->train->all_reduce) {
    return sp_fail(err, SP_EDEVICE, "--device %s: these devices cannot train together",
                   t->settings->device);
  }
  return SP_OK;
}

static enum sp_status open_worker(struct sp_training *t, struct sp_train_worker *w,
                                  struct sp_error *err) {
  struct sp_network_limits limits = {.tokens = t->token_limit,
                                     .sequences = t->sequence_limit,
                                     .targets = t->target_limit,
                                     .threads = t->settings->threads};
  SP_TRY(sp_network_create(w->device, t->params, &limits, &w->network, err));
  size_t bytes = t->params->count * sizeof(float);
  SP_TRY(w->device->backend->alloc(w->device, bytes, (void **)&w->m, err));
  return w->device->backend->alloc(w->device, bytes, (void **)&w->v, err);
}

/* The greatest reach of a scheduler. */
static enum sp_status find_reach(struct sp_training *t, struct sp_error *err) {
  for (size_t l = 0; l < t->params->config.layers; l++) {
    if (t->params->layers[l].n_scheduler != 0) {
      t->reach = sp_max_size(t->reach, sp_lookahead_reach(&t->params->config.lookahead, l));
    }
  }
  return t->reach != 0 || t->settings->penalty.kind == SP_PENALTY_NONE
             ? SP_OK
             : sp_fail(err, SP_EUSAGE,
                       "--penalty %s: the model has no schedulers whose masks it could act on; "
                       "--lookahead dynamic:R makes them",
                       sp_penalty_name(t->settings->penalty.kind));
}

static enum sp_status take_arrays(struct sp_training *t, struct sp_error *err) {
  size_t count = t->params->count, layers = t->params->config.layers;
  size_t cells = sp_mul_sat(sp_mul_sat(layers, t->token_limit), t->reach);
  size_t rows = sp_max_size(t->target_limit, t->sequence_limit);
  t->host = (struct sp_train_arrays){
      .param = calloc(count, 4), .m = calloc(count, 4), .v = calloc(count, 4), .count = count};
  t->loss = calloc(rows, sizeof *t->loss);
  t->d_score = calloc(rows, sizeof *t->d_score);
  t->d_l = calloc(rows, sizeof *t->d_l);
  t->a = calloc(cells ? cells : 1, sizeof *t->a);
  t->d_a = calloc(cells ? cells : 1, sizeof *t->d_a);
  if (!t->host.param || !t->host.m || !t->host.v || !t->loss || !t->d_score || !t->d_l || !t->a ||
      !t->d_a) {
    return sp_fail_memory(err, count * 12 + rows * 16 + cells * 8);
  }
  return SP_OK;
}

enum sp_status sp_training_setup(struct sp_training *t, struct sp_error *err) {
  SP_TRY(check_settings(t->settings, err));
  SP_TRY(sp_training_open_model(t, err));
  SP_TRY(find_reach(t, err));
  SP_TRY(open_data(t, err));
  t->steps = count_steps(t);
  SP_TRY(take_arrays(t, err));
  SP_TRY(open_devices(t, err));
  for (size_t i = 0; i < t->workers; i++) {
    SP_TRY(open_worker(t, &t->worker[i], err));
  }
  SP_TRY(sp_training_measure_scale(t, err));
  SP_TRY(sp_training_fill_values(t, err));
  sp_training_enter_scale(t, t->host.param);
  t->progress.best_loss = NAN;
  return SP_OK;
}

enum sp_status sp_training_to_devices(struct sp_training *t, struct sp_error *err) {
  size_t bytes = t->params->count * sizeof(float);
  for (size_t i = 0; i < t->workers; i++) {
    struct sp_train_worker *w = &t->worker[i];
    const struct sp_train_backend *ops = w->device->backend->train;
    struct sp_trainer *trainer = sp_network_trainer(w->network);
    SP_TRY(ops->upload(trainer, sp_network_values(w->network), t->host.param, bytes, err));
    SP_TRY(ops->upload(trainer, w->m, t->host.m, bytes, err));
    SP_TRY(ops->upload(trainer, w->v, t->host.v, bytes, err));
    SP_TRY(sp_network_refresh(w->network, err));
  }
  return SP_OK;
}

enum sp_status sp_training_to_host(struct sp_training *t, bool moments, struct sp_error *err) {
  size_t bytes = t->params->count * sizeof(float);
  struct sp_train_worker *w = &t->worker[0];
  const struct sp_train_backend *ops = w->device->backend->train;
  struct sp_trainer *trainer = sp_network_trainer(w->network);
  SP_TRY(ops->download(trainer, t->host.param, sp_network_values(w->network), bytes, err));
  if (moments) {
    SP_TRY(ops->download(trainer, t->host.m, w->m, bytes, err));
    SP_TRY(ops->download(trainer, t->host.v, w->v, bytes, err));
  }
  return SP_OK;
}

void sp_training_release(struct sp_training *t) {
  for (size_t i = 0; i < t->workers; i++) {
    struct sp_train_worker *w = &t->worker[i];
    const struct sp_backend *backend = w->device->backend;
    sp_network_destroy(w->network);
    if (w->m) {
      backend->free(w->device, w->m);
    }
    if (w->v) {
      backend->free(w->device, w->v);
    }
    free(w->block);
    backend->close(w->device);
  }
  float *arrays[] = {t->host.param, t->host.m, t->host.v, t->loss, t->d_score, t->a, t->d_a};
  for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
    free(arrays[i]);
  }
  free(t->d_l);
  free(t->config_from);
  free(t->tokenizer_from);
  sp_train_data_close(t->data);
  sp_params_destroy(t->params);
  sp_tokenizer_close(t->tokenizer);
  sp_checkpoint_close(t->checkpoint);
  if (t->log) {
    fclose(t->log);
  }
  if (t->locked) {
    sp_run_lock_release(t->settings->out, &t->lock);
  }
  if (t->made) {
    rmdir(t->settings->out); /* which fails where something was written */
  }
}
