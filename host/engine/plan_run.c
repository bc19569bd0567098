/* plan_run.c - what scoring would do: the same reading, tokens and plans, but no scores. */
#include <stdio.h>

#include "checked.h"
#include "plan_speed.h"
#include "run.h"

struct planner {
  const struct sp_settings *settings;
  const struct sp_context *context;
  struct sp_plan_summary *summary;
  struct sp_scan scan;
  struct sp_run run; /* for reading */
  struct sp_job job;
  struct sp_text_rule rule;
  struct sp_lookahead lookahead; /* within which nodes are counted */
  struct sp_nodes *nodes;        /* NULL where none are told */
  bool measured;
};

/* Names what is not scored as it stands, or not on its own. */
static enum sp_status name_hyps(struct planner *p, struct sp_error *err) {
  const struct sp_score_options *options = p->settings->options;
  struct sp_job *job = &p->job;
  bool *seen = sp_arena_calloc(&job->tokens, job->plan.bases, sizeof *seen);
  if (!seen) {
    return sp_fail_memory(err, job->plan.bases);
  }
  for (size_t u = 0; u < job->n_utts; u++) {
    const struct sp_job_utt *utt = &job->utts[u];
    for (size_t h = 0; h < utt->n_hyps; h++) {
      const struct sp_job_hyp *hyp = &job->hyps[utt->first_hyp + h];
      bool *known = hyp->n ? &seen[job->plan.hyp_base[hyp->plan_hyp]] : NULL;
      const char *what = hyp->flag ? sp_flag_name(hyp->flag) : *known ? "duplicate" : NULL;
      if (what) {
        options->name(options->context, what, utt->id.data, utt->id.len, (uint32_t)h);
      }
      if (known) {
        *known = (p->settings->savings & SP_SAVING_DEDUPE) != 0;
      }
    }
  }
  return SP_OK;
}

/* What tells the nodes of a shard without computing them. */
static enum sp_status open_nodes(struct planner *p, struct sp_error *err) {
  struct sp_nodes_rule rule = sp_job_count_rule(p->context, &p->lookahead);
  return sp_context_tells_nodes(p->context, p->settings) ? sp_nodes_create(&rule, &p->nodes, err)
                                                         : SP_OK;
}

static enum sp_status plan_shard(struct planner *p, size_t shard, struct sp_error *err) {
  uint64_t read, left = p->scan.counts.utts - (uint64_t)shard * p->summary->shard_utts;
  uint64_t want = sp_min_size(left, p->summary->shard_utts);
  sp_job_begin(&p->job, shard);
  SP_TRY(sp_run_read(&p->run, &p->job, want, &read, NULL, NULL, err));
  if (read != want) {
    return sp_fail(err, SP_EINPUT, "the archive became shorter while it was being read");
  }
  SP_TRY(sp_job_prepare(&p->job, p->settings, p->context, &p->rule, err));
  sp_job_count(&p->job, p->context, p->nodes);
  p->summary->nodes_bound |= p->job.by_nodes && p->context->lookahead.policy == SP_MASK_DYNAMIC;
  sp_counts_add(&p->summary->counts, &p->job.counts);
  if (p->settings->options->name) {
    SP_TRY(name_hyps(p, err));
  }
  if (p->measured || p->job.n_batches == 0) {
    return SP_OK;
  }
  p->measured = true;
  return sp_plan_speed(&p->job, p->settings, p->context, &p->summary->measured_flops, err);
}

static void describe(struct planner *p) {
  struct sp_plan_summary *s = p->summary;
  const struct sp_context *context = p->context;
  struct sp_score_summary score = {0};
  struct sp_run run = {.settings = p->settings, .context = context, .summary = &score};
  sp_run_describe(&run, p->scan.format, p->scan.letter_case);
#define COPY(field) snprintf(s->field, sizeof s->field, "%s", score.field)
  COPY(format);
  COPY(dtype);
  COPY(device_type);
  COPY(letter_case);
  COPY(mask);
  COPY(model_hash);
#undef COPY
  s->mask_forced = score.mask_forced;
  s->threads = p->settings->threads;
  s->devices = context->n_devices;
  s->on_host = sp_context_on_host(context);
  s->batch_tokens = context->limits.tokens;
  s->max_tokens = context->max_tokens;
  s->longest_tokens = p->scan.longest_tokens;
}

static enum sp_status plan_all(struct planner *p, struct sp_error *err) {
  const struct sp_score_options *options = p->settings->options;
  struct sp_plan_summary *s = p->summary;
  SP_TRY(sp_scan_archive(p->settings, p->context, options->archives, options->n_archives, &p->scan,
                         err));
  s->shard_utts = sp_scan_shard_utts(p->settings, &p->scan);
  s->shards = (size_t)((p->scan.counts.utts + s->shard_utts - 1) / s->shard_utts);
  describe(p);
  SP_TRY(sp_text_rule_init(&p->rule, p->settings, p->context, p->scan.letter_case, err));
  SP_TRY(sp_archive_open_with(options->archives, options->n_archives, &p->settings->archive,
                         &p->run.archive, err));
  SP_TRY(open_nodes(p, err));
  for (size_t shard = 0; shard < s->shards; shard++) {
    SP_TRY(plan_shard(p, shard, err));
  }
  if (p->measured) {
    size_t computing = s->on_host ? s->threads : s->devices;
    s->estimated_seconds = s->counts.flops / (s->measured_flops * (double)computing);
  }
  return SP_OK;
}

enum sp_status sp_plan_run(const struct sp_score_options *options, struct sp_plan_summary *summary,
                           struct sp_error *err) {
  struct sp_settings settings;
  struct sp_context context;
  *summary = (struct sp_plan_summary){0};
  SP_TRY(sp_settings_resolve(options, &settings, err));
  for (size_t i = 0; i < options->n_archives; i++) {
    if (options->archives[i][0] == '-' && options->archives[i][1] == '\0') {
      return sp_fail(err, SP_EUSAGE, "a plan reads its archive twice: standard input cannot be it");
    }
  }
  SP_TRY(sp_context_open(&settings, &context, err));
  struct planner p = {.settings = &settings, .context = &context, .summary = summary};
  p.run = (struct sp_run){.settings = &settings, .context = &context};
  enum sp_status status = plan_all(&p, err);
  summary->memory_bytes = sp_context_host_bytes(&context, &settings);
  summary->device_bytes = sp_context_device_bytes(&context, &settings);
  sp_job_release(&p.job);
  sp_nodes_destroy(p.nodes);
  sp_text_rule_release(&p.rule);
  sp_archive_close(p.run.archive);
  sp_scan_release(&p.scan);
  sp_context_close(&context);
  return status;
}
