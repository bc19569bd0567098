#include "plan_described.h"

#include "output.h"

static void on_warn(void *context, const char *message) {
  (void)context;
  sp_say("warning: %s", message);
}

/* Bytes with their part of a hypothesis. */
static void bytes_row(const char *label, uint64_t bytes, uint64_t hyps) {
  sp_row(label, "%s, %.3g bytes a hypothesis", sp_bytes(bytes).text, (double)bytes / (double)hyps);
}

static void print_time(const struct sp_described_summary *s) {
  const struct sp_plan_summary *plan = &s->plan;
  if (plan->measured_flops > 0) {
    sp_row("measured speed", "%.3g FLOP/s a %s", plan->measured_flops,
           plan->on_host ? "thread" : "device");
  }
  sp_row("devices", "%s of %.4g FLOP/s", sp_number(s->devices).text, s->device_flops);
  sp_row("validating pass", "%s, %s and the one that reads", sp_duration(s->read_seconds).text,
         sp_count_of(plan->threads, "thread", "threads").text);
  sp_row("scoring", "%s (%.2f h), if no device ever waits", sp_duration(s->score_seconds).text,
         s->score_seconds / 3600);
  sp_row("both", "%s", sp_duration(s->read_seconds + s->score_seconds).text);
}

static void print_storage(const struct sp_described_summary *s) {
  uint64_t hyps = s->plan.counts.hyps;
  if (s->archive_bytes) {
    bytes_row("archive, not packed", s->archive_bytes, hyps);
  }
  bytes_row("score lines", s->scores_raw_bytes, hyps);
  bytes_row("score shards", s->scores_zst_bytes, hyps);
  sp_row("markers", "%s", sp_bytes(s->markers_bytes).text);
  sp_row("plan.jsonl.zst", "%s", sp_bytes(s->run_plan_bytes).text);
  sp_row("_SUCCESS", "%s", sp_bytes(s->success_bytes).text);
  sp_row("run directory", "%s in %s files", sp_bytes(s->run_bytes).text,
         sp_number(s->run_files).text);
}

static void print_memory(const struct sp_described_summary *s) {
  const struct sp_plan_summary *plan = &s->plan;
  sp_row("head: ids", "at most %s, %s more in $TMPDIR", sp_bytes(s->head_ids_bytes).text,
         sp_bytes(s->head_spilled_bytes).text);
  sp_row("head: shards", "at most %s", sp_bytes(s->head_shards_bytes).text);
  if (plan->memory_bytes) {
    sp_row("each worker", "%s", sp_bytes(plan->memory_bytes).text);
    sp_row("head, all", "at most %s", sp_bytes(s->head_bytes).text);
  }
  if (plan->device_bytes) {
    sp_row("on each device", "%s beside the model", sp_bytes(plan->device_bytes).text);
  }
}

static void print_table(const struct sp_described_summary *s) {
  const struct sp_plan_summary *plan = &s->plan;
  sp_plan_print_counts(plan);
  sp_row("longest hypothesis", "%s tokens; the model takes %s",
         sp_number(plan->longest_tokens).text, sp_number(plan->max_tokens).text);
  sp_row("matrix products", "%s%.4g FLOP", s->at_most ? "at most " : "", plan->counts.flops);
  sp_row("shards", "%s of %s utterances", sp_number(plan->shards).text,
         sp_number(plan->shard_utts).text);
  sp_row("mask", "%s%s", plan->mask, plan->mask_forced ? " (forced)" : "");
  sp_row("model", "%s", plan->model_hash);
  sp_row("sample", "%s generated utterances", sp_number(s->sample_utts).text);
  print_time(s);
  print_storage(s);
  print_memory(s);
}

static json_t *described_json(const struct sp_described_summary *s) {
  const struct {
    const char *key;
    uint64_t value;
  } counts[] = {{"devices", s->devices},
                {"sample_utts", s->sample_utts},
                {"archive_bytes", s->archive_bytes},
                {"scores_raw_bytes", s->scores_raw_bytes},
                {"scores_zst_bytes", s->scores_zst_bytes},
                {"markers_bytes", s->markers_bytes},
                {"run_plan_bytes", s->run_plan_bytes},
                {"success_bytes", s->success_bytes},
                {"run_bytes", s->run_bytes},
                {"run_files", s->run_files},
                {"head_ids_bytes", s->head_ids_bytes},
                {"head_spilled_bytes", s->head_spilled_bytes},
                {"head_shards_bytes", s->head_shards_bytes},
                {"head_bytes", s->head_bytes}};
  json_t *object = json_object();
  json_object_set_new(object, "at_most", json_boolean(s->at_most));
  json_object_set_new(object, "device_flops", sp_json_real(s->device_flops));
  json_object_set_new(object, "read_seconds", sp_json_real(s->read_seconds));
  json_object_set_new(object, "score_seconds", sp_json_real(s->score_seconds));
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    sp_json_set_count(object, counts[i].key, counts[i].value);
  }
  return object;
}

enum sp_status sp_plan_show_described(const struct sp_score_args *args, struct sp_error *err) {
  struct sp_described_summary summary = {0};
  struct sp_score_options options = args->options;
  options.warn = on_warn;
  enum sp_status status = sp_plan_described(&options, &args->describe, &summary, err);
  if (args->json) {
    struct sp_error lost;
    json_t *object = sp_plan_json(&summary.plan, status, err);
    if (status == SP_OK) {
      json_object_set_new(object, "described", described_json(&summary));
    }
    enum sp_status printed = sp_json_print(object, stdout, status == SP_OK ? err : &lost);
    return status == SP_OK ? printed : status;
  }
  if (status == SP_OK) {
    print_table(&summary);
  }
  return status;
}
