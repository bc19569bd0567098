/* train_args.c - settings of a training run from what the command line says. */
#include "train_args.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNSET UINT64_MAX

/* ---- lists of paths ---- */

static size_t count_commas(const char *text) {
  size_t n = 0;
  for (; text && *text; text++) {
    n += *text == ',';
  }
  return n;
}

/* The paths of `text`, then `more`. */
static enum sp_status split_paths(const char *option, const char *text, const char **more,
                                  size_t n_more, struct sp_train_paths *out, struct sp_error *err) {
  size_t room = (text ? count_commas(text) + 1 : 0) + n_more;
  out->items = calloc(room + 1, sizeof *out->items);
  out->text = strdup(text ? text : "");
  if (!out->items || !out->text) {
    return sp_fail_memory(err, (room + 1) * sizeof *out->items);
  }
  for (char *at = out->text; text && at;) {
    char *comma = strchr(at, ',');
    if (comma) {
      *comma++ = '\0';
    }
    if (*at == '\0') {
      return sp_fail(err, SP_EUSAGE, "--%s '%s' has an empty name", option, text);
    }
    out->items[out->n++] = at;
    at = comma;
  }
  for (size_t i = 0; i < n_more; i++) {
    out->items[out->n++] = more[i];
  }
  return SP_OK;
}

static void release_paths(struct sp_train_paths *paths) {
  free(paths->items);
  free(paths->text);
}

void sp_train_lists_release(struct sp_train_lists *lists) {
  release_paths(&lists->data);
  release_paths(&lists->holdout);
  release_paths(&lists->teacher);
  release_paths(&lists->holdout_teacher);
}

static enum sp_status split_lists(const struct sp_train_args *a, const struct sp_operands *operands,
                                  struct sp_train_lists *l, struct sp_error *err) {
  SP_TRY(split_paths("data", a->data, operands->items, operands->n, &l->data, err));
  SP_TRY(split_paths("holdout", a->holdout, NULL, 0, &l->holdout, err));
  SP_TRY(split_paths("teacher", a->teacher, NULL, 0, &l->teacher, err));
  return split_paths("holdout-teacher", a->holdout_teacher, NULL, 0, &l->holdout_teacher, err);
}

/* ---- settings ---- */

static size_t index_of(const char *word, const char *const *words, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (strcmp(word, words[i]) == 0) {
      return i;
    }
  }
  return 0;
}

static void take_real(double given, double *to) {
  if (given >= 0) {
    *to = given;
  }
}
static void take_u64(uint64_t given, uint64_t *to) {
  if (given != UNSET) {
    *to = given;
  }
}
static void take_size(size_t given, size_t *to) {
  if (given != 0) {
    *to = given;
  }
}

static enum sp_status parse_split(const char *text, struct sp_train_data_settings *out,
                                  struct sp_error *err) {
  double part[3];
  char end;
  if (sscanf(text, "%lf,%lf,%lf%c", &part[0], &part[1], &part[2], &end) != 3 ||
      !(part[0] >= 0 && part[1] >= 0 && part[2] >= 0) ||
      !(fabs(part[0] + part[1] + part[2] - 100) < 1e-6)) {
    return sp_fail(err, SP_EUSAGE,
                   "--mask-split '%s': it takes three percentages that are 100 together", text);
  }
  out->mask_as_mask = part[0] / 100;
  out->mask_as_random = part[1] / 100;
  return SP_OK;
}

static void take_what(const struct sp_train_args *a, struct sp_train_settings *s) {
  s->model = a->model;
  s->config = a->config;
  s->vocab = a->vocab;
  s->init_layers = a->init_layers;
  s->lookahead = a->lookahead;
  s->lookahead_cells = a->cells;
  s->cls_row = a->cls;
  s->out = a->out;
  s->device = a->device ? a->device : s->device;
  s->threads = a->threads;
}

static enum sp_status take_data(const struct sp_train_args *a, const struct sp_train_lists *l,
                                struct sp_train_data_settings *d, struct sp_error *err) {
  d->files = l->data.items;
  d->n_files = l->data.n;
  d->holdout = l->holdout.items;
  d->n_holdout = l->holdout.n;
  d->teacher = l->teacher.items;
  d->n_teacher = l->teacher.n;
  d->holdout_teacher = l->holdout_teacher.items;
  d->n_holdout_teacher = l->holdout_teacher.n;
  d->holdout_every = a->holdout_every;
  d->teacher_method = a->teacher_method;
  d->format = a->format;
  d->only_ids = a->only_ids;
  d->max_hyps = a->max_hyps;
  d->max_tokens = a->max_tokens;
  d->error_rates = a->error_rates;
  take_real(a->join_share, &d->join_share);
  take_real(a->mask_rate, &d->mask_rate);
  take_u64(a->seed, &d->seed);
  return a->mask_split ? parse_split(a->mask_split, d, err) : SP_OK;
}

static void take_update(const struct sp_train_args *a, struct sp_train_settings *s) {
  static const char *const decays[] = {"linear", "cosine", "constant"};
  s->steps = a->steps;
  take_real(a->epochs, &s->epochs);
  take_size(a->step_tokens, &s->step_tokens);
  take_size(a->batch_tokens, &s->batch_tokens);
  take_real(a->rate, &s->rate);
  take_real(a->end_rate, &s->end_rate);
  take_u64(a->warmup, &s->warmup);
  take_real(a->weight_decay, &s->weight_decay);
  take_real(a->clip, &s->clip);
  take_real(a->beta1, &s->beta1);
  take_real(a->beta2, &s->beta2);
  take_real(a->adam_eps, &s->eps);
  take_u64(a->seed, &s->seed);
  if (a->decay) {
    s->decay = (enum sp_decay)index_of(a->decay, decays, 3);
  }
}

static void take_losses(const struct sp_train_args *a, struct sp_train_settings *s) {
  take_real(a->beta, &s->beta);
  take_real(a->distill_weight, &s->distill_weight);
  s->distill_sum = a->distill_sum;
  s->detach = a->detach;
  take_real(a->tau_start, &s->tau_start);
  take_real(a->tau_end, &s->tau_end);
  s->penalty.lambda = 1;
  take_real(a->penalty_weight, &s->penalty.lambda);
  if (a->penalty) {
    sp_penalty_parse(a->penalty, &s->penalty.kind);
  }
  s->penalty.backlog.capacity = a->capacity;
  s->penalty.backlog.node = a->node_cost > 0 ? a->node_cost : 1;
  s->penalty.backlog.key = a->key_cost;
}

static void take_output(const struct sp_train_args *a, struct sp_train_settings *s) {
  s->eval_every = a->eval_every;
  s->patience = a->patience;
  take_u64(a->save_every, &s->save_every);
  take_size(a->keep, &s->keep);
  s->save_dtype = a->save_dtype && strcmp(a->save_dtype, "bf16") == 0 ? SP_BF16 : SP_F32;
}

/* auto: where the hardware multiplies it; on a GPU always. */
static bool wants_bf16(const struct sp_train_args *a, const struct sp_train_settings *s) {
  if (a->dtype && strcmp(a->dtype, "auto") != 0) {
    return strcmp(a->dtype, "bf16") == 0;
  }
  struct sp_cpu_facts facts;
  sp_cpu_get_facts(&facts);
  return strncmp(s->device, "cpu", 3) != 0 || facts.amx || facts.avx512_bf16;
}

/* The parser let no other word through. */
static enum sp_objective objective_of(const char *word) {
  enum sp_objective objective = SP_OBJECTIVE_MLM;
  while (strcmp(sp_objective_name(objective), word) != 0 && objective + 1 < SP_N_OBJECTIVES) {
    objective++;
  }
  return objective;
}

enum sp_status sp_train_args_resolve(const struct sp_train_args *args,
                                     const struct sp_operands *operands,
                                     struct sp_train_lists *lists, struct sp_train_settings *out,
                                     struct sp_error *err) {
  if (!args->objective || !args->out) {
    return sp_fail(err, SP_EUSAGE, "train needs --objective NAME and --out DIR");
  }
  sp_train_settings_init(out, objective_of(args->objective));
  SP_TRY(split_lists(args, operands, lists, err));
  if (lists->data.n == 0) {
    return sp_fail(err, SP_EUSAGE, "train needs --data FILE");
  }
  take_what(args, out);
  SP_TRY(take_data(args, lists, &out->data, err));
  take_update(args, out);
  take_losses(args, out);
  take_output(args, out);
  out->bf16 = wants_bf16(args, out);
  return SP_OK;
}
