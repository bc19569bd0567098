#include "run.h"

#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "job_latency.h"
#include "manifest.h"
#include "spool.h"

static uint64_t min_u64(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

void sp_run_tell(struct sp_run *run, bool now) {
  const struct sp_score_options *options = run->settings->options;
  double time = sp_clock_seconds();
  if (!options->progress || (!now && time - run->last_told < 0.1)) {
    return;
  }
  struct sp_pool_done done = run->pool ? sp_pool_get_done(run->pool) : (struct sp_pool_done){0};
  struct sp_progress progress = run->progress;
  progress.utts_done += (uint64_t)done.utts;
  progress.hyps_done += (uint64_t)done.hyps;
  progress.tokens_done += (uint64_t)done.tokens;
  if (options->ranks) { /* whose totals are expected ones */
    progress.utts_done = min_u64(progress.utts_done, progress.utts_total);
    progress.hyps_done = min_u64(progress.hyps_done, progress.hyps_total);
    progress.tokens_done = min_u64(progress.tokens_done, progress.tokens_total);
  }
  progress.seconds = time - run->start;
  options->progress(options->context, &progress);
  run->last_told = time;
}

void sp_run_tick(void *run) {
  sp_run_tell(run, false);
}

enum sp_status sp_run_read(struct sp_run *run, struct sp_job *job, uint64_t utts, uint64_t *read,
                           sp_utt_fn each, void *context_of_each, struct sp_error *err) {
  for (*read = 0; *read < utts; ++*read) {
    struct sp_utt utt;
    bool found;
    if (sp_stop_wanted(run->settings->options)) {
      return sp_fail(err, SP_EINTERRUPTED, "interrupted");
    }
    SP_TRY(sp_archive_next(run->archive, &utt, &found, err));
    if (!found) {
      break;
    }
    if (each) {
      SP_TRY(each(context_of_each, &utt, err));
    }
    if (job) {
      SP_TRY(sp_job_add(job, &utt, err));
    }
  }
  return SP_OK;
}

static void copy_name(char *to, size_t capacity, const char *from) {
  snprintf(to, capacity, "%s", from);
}

void sp_run_describe(struct sp_run *run, enum sp_archive_format format,
                     enum sp_letter_case letter_case) {
  struct sp_score_summary *s = run->summary;
  const struct sp_context *context = run->context;
  if (context->n_devices > 0) {
    sp_manifest_signature(run->settings, context, letter_case, s->signature, sizeof s->signature);
    copy_name(s->dtype, sizeof s->dtype, sp_compute_name(context->devices[0]->compute));
    copy_name(s->device_type, sizeof s->device_type, context->devices[0]->type);
    s->on_host = sp_context_on_host(context);
  }
  copy_name(s->format, sizeof s->format, sp_archive_format_name(format));
  copy_name(s->letter_case, sizeof s->letter_case, sp_letter_case_name(letter_case));
  copy_name(s->model_hash, sizeof s->model_hash, context->model_hash);
  sp_lookahead_print(&context->lookahead, s->mask, sizeof s->mask);
  s->mask_forced = context->mask_forced;
  s->threads = run->settings->threads;
  s->devices = context->n_devices;
}

/* A prepared run needs no device: which it is to be is told, or left open. */
static enum sp_status open_context(const struct sp_settings *settings, struct sp_context *context,
                                   struct sp_error *err) {
  const struct sp_score_options *options = settings->options;
  const char *backend;
  if (!options->prepare) {
    return sp_context_open(settings, context, err);
  }
  if (options->parts > 0 || options->ranks || sp_spool_is_needed(options) ||
      strcmp(options->out, "-") == 0) {
    return sp_fail(
        err, SP_EUSAGE,
        "a run directory is prepared by one process, as a whole, from archives in files");
  }
  SP_TRY(sp_backend_name_of(options->device ? options->device : "auto", &backend, err));
  SP_TRY(sp_context_open_text(settings, context, err));
  context->asked_backend = backend;
  return SP_OK;
}

enum sp_status sp_score_run(const struct sp_score_options *options,
                            struct sp_score_summary *summary, struct sp_error *err) {
  struct sp_settings settings;
  struct sp_context context;
  double start = sp_clock_seconds();
  *summary = (struct sp_score_summary){0};
  SP_TRY(sp_settings_resolve(options, &settings, err));
  if (!options->out) {
    return sp_fail(err, SP_EUSAGE, "no output was given (--out RUN, or --out - for lines)");
  }
  SP_TRY(open_context(&settings, &context, err));
  struct sp_run run = {.settings = &settings, .context = &context, .summary = summary};
  bool stream = strcmp(options->out, "-") == 0;
  enum sp_status status = stream ? sp_run_stream(&run, err) : sp_run_directory(&run, err);
  sp_pool_destroy(run.pool);
  sp_archive_close(run.archive);
  if (status == SP_OK && options->latency && !options->prepare) {
    struct sp_latency_costs costs = sp_latency_costs_of(&settings, &context);
    summary->latency = sp_latency_summarize(&run.latency, &costs);
  }
  sp_latency_counts_release(&run.latency);
  sp_context_close(&context);
  summary->total_seconds = sp_clock_seconds() - start;
  return status;
}
