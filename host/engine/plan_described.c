/* plan_described.c - what scoring an archive would take that is only described.
 *
 * Counts are arithmetic (described_counts.h).  Speeds and bytes are measured on a generated sample, which
 * goes through the scan, the tokenizer, the planner, the devices and the writer of score lines as any
 * archive would; its scores are drawn, since only their digits matter. */
#include <stdio.h>
#include <string.h>

#include "checked.h"
#include "described_bytes.h"
#include "described_counts.h"
#include "id_set.h"
#include "plan_speed.h"
#include "run.h"
#include "run_files.h"
#include "run_plan.h"
#include "sample_archive.h"
#include "scan_team.h"

struct describer {
  const struct sp_describe *describe;
  struct sp_score_options options; /* the caller's, with the sample for its archive */
  const char *path;                /* of the sample */
  struct sp_settings settings;
  struct sp_context context;
  struct sp_description description;
  struct sp_described_summary *summary;
  struct sp_sample sample;
  struct sp_scan scan; /* of the sample */
  struct sp_text_rule rule;
  struct sp_run run; /* for reading */
  struct sp_job job; /* the sample's first shard */
};

/* ---- the sample ---- */

static enum sp_status check_record(const struct describer *d, uint64_t longest,
                                   struct sp_error *err) {
  enum { record_ceiling = 64 << 20, bytes_a_token = 16, bytes_a_hyp = 64 };
  uint64_t bytes = d->description.hyps * (longest * bytes_a_token + bytes_a_hyp);
  return bytes <= record_ceiling
             ? SP_OK
             : sp_fail(
                   err, SP_EINPUT,
                   "%s: %u hypotheses of %llu tokens pass 64 MiB, the most that a record may have",
                   d->describe->path, d->description.hyps, (unsigned long long)longest);
}

/* Four shards' worth, within 64 MiB and 40,000 hypotheses. */
static uint64_t sample_utts(const struct describer *d) {
  enum { hyps = 40000, shards = 4, bytes = 64 << 20 };
  size_t most = sp_max_size(1, hyps / d->description.hyps);
  most = sp_min_size(most, sp_max_size(1, bytes / (d->description.utt_bytes + 1)));
  most = sp_min_size(most, shards * d->summary->plan.shard_utts);
  return sp_min_size(most, d->summary->plan.counts.utts);
}

/* Of the first pass's threads one reads, the others look at what it has read: the slower side decides.
 * Processor time, since others may have the machine now. */
static double pass_seconds(const struct describer *d) {
  double threads = (double)sp_min_size(d->settings.threads, SP_SCAN_TEAM);
  double look = d->scan.look_seconds / threads;
  return d->scan.read_seconds > look ? d->scan.read_seconds : look;
}

/* Reads the sample as a run's first pass would. */
static enum sp_status scan_sample(struct describer *d, struct sp_error *err) {
  SP_TRY(sp_sample_make(&d->description, &d->context, sample_utts(d), &d->sample, err));
  d->path = d->sample.path;
  d->summary->sample_utts = d->sample.utts;
  SP_TRY(sp_scan_archive(&d->settings, &d->context, &d->path, 1, &d->scan, err));
  d->summary->read_seconds =
      pass_seconds(d) / (double)d->sample.utts * (double)d->summary->plan.counts.utts;
  return SP_OK;
}

static enum sp_status prepare_shard(struct describer *d, struct sp_error *err) {
  uint64_t read;
  SP_TRY(sp_text_rule_init(&d->rule, &d->settings, &d->context, d->scan.letter_case, err));
  SP_TRY(sp_archive_open_with(&d->path, 1, &d->settings.archive, &d->run.archive, err));
  sp_job_begin(&d->job, 0);
  d->run.settings = &d->settings;
  d->run.context = &d->context;
  SP_TRY(sp_run_read(&d->run, &d->job, d->summary->plan.shard_utts, &read, NULL, NULL, err));
  return sp_job_prepare(&d->job, &d->settings, &d->context, &d->rule, err);
}

/* ---- memory ---- */

/* What a worker keeps of shards: marks, or lines of the plan, in an array that doubles, old and new at
 * once; places in the order, with what sorts them; states; and _SUCCESS, which is written whole from a
 * buffer that doubles too. */
static void bound_memory(struct describer *d) {
  enum { order = 16 + 4, state = 16 };
  struct sp_described_summary *s = d->summary;
  uint64_t marks = sp_max_size(s->plan.shards, sp_min_size(SP_MARKS, s->plan.counts.utts));
  uint64_t plan = 3 * marks * sizeof(struct sp_plan_shard);
  s->head_ids_bytes =
      sp_id_set_bytes(s->plan.counts.utts, SP_ID_SET_MEMORY, &s->head_spilled_bytes);
  s->head_shards_bytes = plan + s->plan.shards * (order + state) + 3 * s->success_bytes;
  s->head_bytes = s->plan.memory_bytes + s->head_ids_bytes + s->head_shards_bytes;
}

/* ---- all of it ---- */

static void name_things(struct describer *d) {
  struct sp_plan_summary *plan = &d->summary->plan;
  struct sp_score_summary score = {0};
  if (!d->describe->device_flops) {
    struct sp_run run = {.settings = &d->settings, .context = &d->context, .summary = &score};
    sp_run_describe(&run, d->scan.format, d->scan.letter_case);
    memcpy(plan->dtype, score.dtype, sizeof plan->dtype);
    memcpy(plan->device_type, score.device_type, sizeof plan->device_type);
    plan->devices = d->context.n_devices;
    plan->on_host = sp_context_on_host(&d->context);
    plan->batch_tokens = d->context.limits.tokens;
    plan->memory_bytes = sp_context_host_bytes(&d->context, &d->settings);
    plan->device_bytes = sp_context_device_bytes(&d->context, &d->settings);
  }
  snprintf(plan->format, sizeof plan->format, "described");
  snprintf(plan->letter_case, sizeof plan->letter_case, "%s",
           sp_letter_case_name(d->scan.letter_case));
  memcpy(plan->model_hash, d->context.model_hash, sizeof plan->model_hash);
  sp_lookahead_print(&d->context.lookahead, plan->mask, sizeof plan->mask);
  plan->mask_forced = d->context.mask_forced;
  plan->threads = d->settings.threads;
  plan->max_tokens = d->context.max_tokens;
}

static enum sp_status tell_speed(struct describer *d, struct sp_error *err) {
  struct sp_described_summary *s = d->summary;
  s->devices = d->describe->devices ? d->describe->devices
                                    : sp_max_size(1, s->plan.on_host ? 1 : s->plan.devices);
  s->device_flops = d->describe->device_flops;
  if (!s->device_flops && d->job.n_batches > 0) {
    SP_TRY(sp_plan_speed(&d->job, &d->settings, &d->context, &s->plan.measured_flops, err));
    s->device_flops = s->plan.measured_flops * (double)(s->plan.on_host ? s->plan.threads : 1);
  }
  s->score_seconds =
      s->device_flops > 0 ? s->plan.counts.flops / (s->device_flops * (double)s->devices) : 0;
  s->plan.estimated_seconds = s->score_seconds;
  return SP_OK;
}

static enum sp_status count_shards(struct describer *d, struct sp_error *err) {
  struct sp_plan_summary *plan = &d->summary->plan;
  plan->shard_utts = sp_described_shard_utts(&d->settings, &plan->counts);
  uint64_t shards = (plan->counts.utts + plan->shard_utts - 1) / plan->shard_utts;
  if (shards > SP_SHARDS_CEILING) {
    return sp_fail(
        err, SP_EUSAGE,
        "%llu shards of %zu utterances are too many (%d at most): give --shard-utts %llu",
        (unsigned long long)shards, plan->shard_utts, SP_SHARDS_CEILING,
        (unsigned long long)(plan->counts.utts / SP_SHARDS_CEILING + 1));
  }
  plan->shards = (size_t)shards;
  return SP_OK;
}

static enum sp_status count_all(struct describer *d, struct sp_error *err) {
  struct sp_described_summary *s = d->summary;
  const unsigned both = 1u << SP_PLL | 1u << SP_PLL_L2R;
  struct sp_tokens eos = {0};
  if (d->settings.eos.len > 0) {
    struct sp_encoder *encoder;
    SP_TRY(sp_encoder_create(d->context.tokenizer, false, &encoder, err));
    enum sp_status status = sp_encode(encoder, d->settings.eos, &eos, err);
    sp_encoder_destroy(encoder);
    SP_TRY(status);
  }
  SP_TRY(sp_described_count(&d->description, &d->settings, &d->context, eos.n, &s->plan.counts,
                            &s->plan.longest_tokens, err));
  s->plan.nodes_bound = sp_context_tells_nodes(&d->context, &d->settings);
  s->at_most = s->plan.nodes_bound ||
               ((d->settings.methods & both) == both && d->settings.savings & SP_SAVING_DEDUPE);
  if (__builtin_mul_overflow(s->plan.counts.utts, (uint64_t)d->description.utt_bytes,
                             &s->archive_bytes)) {
    return sp_fail(err, SP_EINPUT, "%s: the archive passes 2^64 bytes", d->describe->path);
  }
  return check_record(d, s->plan.longest_tokens, err);
}

static enum sp_status describe_all(struct describer *d, struct sp_error *err) {
  SP_TRY(sp_description_read(d->describe->path, &d->description, err));
  if (d->describe->device_flops > 0) {
    SP_TRY(sp_context_open_text(&d->settings, &d->context, err));
  } else {
    SP_TRY(sp_context_open(&d->settings, &d->context, err));
  }
  SP_TRY(count_all(d, err));
  SP_TRY(count_shards(d, err));
  if (d->describe->device_flops > 0) {
    d->settings.savings &= ~(unsigned)SP_SAVING_NODES; /* whose batches a device's limits bound */
  }
  SP_TRY(scan_sample(d, err));
  SP_TRY(prepare_shard(d, err));
  name_things(d);
  SP_TRY(tell_speed(d, err));
  SP_TRY(sp_described_weigh(&d->job, &d->settings, &d->context, d->description.id_bytes, d->summary,
                            err));
  bound_memory(d);
  return SP_OK;
}

enum sp_status sp_plan_described(const struct sp_score_options *options,
                                 const struct sp_describe *describe,
                                 struct sp_described_summary *summary, struct sp_error *err) {
  struct describer d = {.describe = describe, .options = *options, .summary = summary};
  *summary = (struct sp_described_summary){0};
  d.path = describe->path;
  d.options.archives = &d.path;
  d.options.n_archives = 1;
  d.options.format = "jsonl";
  d.options.progress = NULL;
  d.sample.fd = -1;
  SP_TRY(sp_settings_resolve(&d.options, &d.settings, err));
  enum sp_status status = describe_all(&d, err);
  sp_job_release(&d.job);
  sp_text_rule_release(&d.rule);
  sp_archive_close(d.run.archive);
  sp_scan_release(&d.scan);
  sp_sample_close(&d.sample);
  sp_context_close(&d.context);
  sp_description_release(&d.description);
  return status;
}
