#include "costs.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "checked.h"
#include "described_counts.h"
#include "mix.h"
#include "run.h"
#include "run_files.h"

struct lister {
  struct sp_settings settings;
  struct sp_context context;
  struct sp_text_rule rule;
  struct sp_run run; /* for reading */
  struct sp_job job; /* one utterance */
  size_t room;
  struct sim_lists *out;
};

void sim_lists_release(struct sim_lists *lists) {
  free(lists->flops);
  free(lists->hyps);
  free(lists->tokens);
  *lists = (struct sim_lists){0};
}

static enum sp_status take_shape(struct lister *l, const char *shape, struct sp_error *err) {
  struct sp_model_config *c = &l->context.config;
  char end;
  if (!shape) {
    return SP_OK;
  }
  if (sscanf(shape, "%zux%zu%c", &c->layers, &c->hidden, &end) != 2 || c->layers == 0 ||
      c->layers > 512 || c->hidden == 0 || c->hidden > 65536) {
    return sp_fail(err, SP_EUSAGE, "'%s' is no shape like 12x768", shape);
  }
  c->ffn = 4 * c->hidden;
  c->vocab_size = 30522;
  return SP_OK;
}

static enum sp_status grow(struct lister *l, struct sp_error *err) {
  struct sim_lists *out = l->out;
  if (out->n + 1 < l->room) {
    return SP_OK;
  }
  size_t room = sp_max_size(1024, l->room * 2);
  double *flops = realloc(out->flops, sp_mul_sat(room, sizeof *flops));
  out->flops = flops ? flops : out->flops;
  uint64_t *hyps = realloc(out->hyps, sp_mul_sat(room, sizeof *hyps));
  out->hyps = hyps ? hyps : out->hyps;
  uint64_t *tokens = realloc(out->tokens, sp_mul_sat(room, sizeof *tokens));
  out->tokens = tokens ? tokens : out->tokens;
  if (!flops || !hyps || !tokens) {
    return sp_fail_memory(err, room * sizeof *flops);
  }
  if (l->room == 0) {
    flops[0] = 0;
    hyps[0] = tokens[0] = 0;
  }
  l->room = room;
  return SP_OK;
}

static enum sp_status add_utt(struct lister *l, struct sp_error *err) {
  struct sim_lists *out = l->out;
  const struct sp_counts *counts = &l->job.counts;
  SP_TRY(sp_job_prepare(&l->job, &l->settings, &l->context, &l->rule, err));
  SP_TRY(grow(l, err));
  out->flops[out->n + 1] = out->flops[out->n] + counts->flops;
  out->hyps[out->n + 1] = out->hyps[out->n] + l->job.n_hyps;
  out->tokens[out->n + 1] = out->tokens[out->n] + counts->tokens;
  out->n++;
  return SP_OK;
}

static enum sp_status read_lists(struct lister *l, struct sp_error *err) {
  const struct sp_score_options *options = l->settings.options;
  SP_TRY(sp_text_rule_init(&l->rule, &l->settings, &l->context, SP_CASE_KEEP, err));
  SP_TRY(sp_archive_open_with(options->archives, options->n_archives, &l->settings.archive,
                              &l->run.archive, err));
  for (uint64_t read = 1;;) {
    sp_job_begin(&l->job, 0);
    SP_TRY(sp_run_read(&l->run, &l->job, 1, &read, NULL, NULL, err));
    if (read == 0) {
      break;
    }
    SP_TRY(add_utt(l, err));
  }
  for (size_t i = 0; i < options->n_archives; i++) {
    struct stat info;
    l->out->bytes += stat(options->archives[i], &info) == 0 ? (double)info.st_size : 0;
  }
  return l->out->n && l->out->hyps[l->out->n]
             ? SP_OK
             : sp_fail(err, SP_EINPUT, "%s: no hypothesis", options->archives[0]);
}

enum sp_status sim_lists_read(const struct sp_score_options *options, const char *shape,
                              struct sim_lists *out, struct sp_error *err) {
  struct lister l = {.out = out};
  *out = (struct sim_lists){0};
  SP_TRY(sp_settings_resolve(options, &l.settings, err));
  SP_TRY(sp_context_open_text(&l.settings, &l.context, err));
  l.run = (struct sp_run){.settings = &l.settings, .context = &l.context};
  enum sp_status status = take_shape(&l, shape, err);
  if (status == SP_OK) {
    status = read_lists(&l, err);
  }
  sp_job_release(&l.job);
  sp_text_rule_release(&l.rule);
  sp_archive_close(l.run.archive);
  sp_context_close(&l.context);
  if (status != SP_OK) {
    sim_lists_release(out);
  }
  return status;
}

/* The stretch of `utts` utterances from `first` on, as often around as it takes. */
static struct sp_plan_shard stretch(const struct sim_lists *lists, size_t first, size_t utts) {
  size_t n = lists->n, rounds = utts / n, rest = utts % n, end = first + rest;
  struct sp_plan_shard shard = {.utts = utts,
                                .hyps = rounds * lists->hyps[n],
                                .tokens = rounds * lists->tokens[n],
                                .cost = (double)rounds * lists->flops[n]};
  size_t last = sp_min_size(end, n), wrapped = end - last;
  shard.hyps += lists->hyps[last] - lists->hyps[first] + lists->hyps[wrapped];
  shard.tokens += lists->tokens[last] - lists->tokens[first] + lists->tokens[wrapped];
  shard.cost += lists->flops[last] - lists->flops[first] + lists->flops[wrapped];
  return shard;
}

enum sp_status sim_shards_make(const struct sim_lists *lists, uint64_t hyps, uint64_t seed,
                               size_t *shard_utts, struct sp_plan_shard **out, size_t *n,
                               struct sp_error *err) {
  uint64_t utts = lists->n;
  if (hyps) {
    utts = (uint64_t)((double)hyps * (double)lists->n / (double)lists->hyps[lists->n] + 0.5);
    utts = utts ? utts : 1;
  }
  if (*shard_utts == 0) {
    const struct sp_score_options none = {0};
    const struct sp_settings settings = {.options = &none};
    double tokens = (double)lists->tokens[lists->n] / (double)lists->n * (double)utts;
    struct sp_counts counts = {.utts = utts, .tokens = (uint64_t)tokens};
    *shard_utts = sp_described_shard_utts(&settings, &counts);
  }
  uint64_t shards = (utts + *shard_utts - 1) / *shard_utts;
  if (shards > SP_SHARDS_CEILING) {
    return sp_fail(err, SP_EUSAGE, "%llu shards are more than a run may have (%d)",
                   (unsigned long long)shards, SP_SHARDS_CEILING);
  }
  *out = calloc(shards, sizeof **out);
  if (!*out) {
    return sp_fail_memory(err, shards * sizeof **out);
  }
  for (uint64_t s = 0; s < shards; s++) {
    uint64_t first = hyps ? sp_mix64(seed + s * 0x9e3779b97f4a7c15u) : s * *shard_utts;
    uint64_t left = utts - s * *shard_utts;
    (*out)[s] = stretch(lists, (size_t)(first % lists->n), sp_min_size(left, *shard_utts));
  }
  *n = (size_t)shards;
  return SP_OK;
}
