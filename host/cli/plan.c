/* plan.c - `secondpass plan`: what scoring would take, without scoring. */
#include <string.h>

#include "commands.h"
#include "output.h"
#include "plan_described.h"
#include "progress.h"
#include "score_args.h"

/* Where the engine's calls end up. */
struct plan_view {
  struct sp_progress_view progress;
  json_t *names; /* with --list: an array of {what, id, i} */
};

static void on_progress(void *context, const struct sp_progress *progress) {
  sp_progress_show(&((struct plan_view *)context)->progress, progress);
}

static void on_warn(void *context, const char *message) {
  sp_progress_clear(&((struct plan_view *)context)->progress);
  sp_say("warning: %s", message);
}

static void on_name(void *context, const char *what, const char *id, size_t id_len,
                    uint32_t rank) {
  json_t *entry = json_object();
  json_object_set_new(entry, "what", json_string(what));
  json_object_set_new(entry, "id", json_stringn(id, id_len));
  json_object_set_new(entry, "i", json_integer(rank));
  json_array_append_new(((struct plan_view *)context)->names, entry);
}

static void print_names(json_t *names) {
  size_t index;
  json_t *entry;
  json_array_foreach(names, index, entry) {
    printf("%s\t%s\t%lld\n", json_string_value(json_object_get(entry, "what")),
           json_string_value(json_object_get(entry, "id")),
           (long long)json_integer_value(json_object_get(entry, "i")));
  }
}

/* What depends on which nodes are equal. */
static bool is_bound(const struct sp_plan_summary *plan, const struct sp_count_name *name) {
  return plan->nodes_bound && (name->offset == offsetof(struct sp_counts, nodes) ||
                               name->offset == offsetof(struct sp_counts, scored_rows));
}

void sp_plan_print_counts(const struct sp_plan_summary *plan) {
  for (size_t i = 0; i < sp_n_count_names; i++) {
    const struct sp_count_name *name = &sp_count_names[i];
    char label[48];
    snprintf(label, sizeof label, "%s%s", name->label, is_bound(plan, name) ? ", at most" : "");
    sp_row(label, "%s", sp_number(sp_count_get(&plan->counts, name)).text);
  }
}

static void print_table(const struct sp_plan_summary *plan) {
  sp_plan_print_counts(plan);
  sp_row("longest hypothesis", "%s tokens; the model takes %s",
         sp_number(plan->longest_tokens).text, sp_number(plan->max_tokens).text);
  sp_row("matrix products", "%s%.4g FLOP", plan->nodes_bound ? "at most " : "", plan->counts.flops);
  sp_row("shards", "%s of %s utterances", sp_number(plan->shards).text,
         sp_number(plan->shard_utts).text);
  sp_row("format", "%s", plan->format);
  sp_row("letter case", "%s", plan->letter_case);
  sp_row("mask", "%s%s", plan->mask, plan->mask_forced ? " (forced)" : "");
  sp_row("model", "%s", plan->model_hash);
  sp_row("device", "%s, %s, %s, batches of %s tokens", plan->device_type, plan->dtype,
         plan->on_host ? sp_count_of(plan->threads, "thread", "threads").text
                       : sp_count_of(plan->devices, "device", "devices").text,
         sp_number(plan->batch_tokens).text);
  sp_row("measured speed", "%.3g FLOP/s a %s", plan->measured_flops,
         plan->on_host ? "thread" : "device");
  sp_row("estimated time", "%s", sp_duration(plan->estimated_seconds).text);
  sp_row("estimated memory", "%s", sp_bytes(plan->memory_bytes).text);
  if (!plan->on_host) {
    sp_row("on each device", "%s beside the model", sp_bytes(plan->device_bytes).text);
  }
}

json_t *sp_plan_json(const struct sp_plan_summary *plan, enum sp_status status,
                     const struct sp_error *err) {
  json_t *object = sp_json_begin("plan", status, err);
  json_object_set_new(object, "format", sp_json_text(plan->format));
  json_object_set_new(object, "dtype", sp_json_text(plan->dtype));
  json_object_set_new(object, "device_type", sp_json_text(plan->device_type));
  json_object_set_new(object, "case", sp_json_text(plan->letter_case));
  json_object_set_new(object, "mask", sp_json_text(plan->mask));
  json_object_set_new(object, "mask_forced", json_boolean(plan->mask_forced));
  json_object_set_new(object, "nodes_bound", json_boolean(plan->nodes_bound));
  json_object_set_new(object, "model_hash", sp_json_text(plan->model_hash));
  json_object_set_new(object, "threads", json_integer((json_int_t)plan->threads));
  json_object_set_new(object, "devices", json_integer((json_int_t)plan->devices));
  json_object_set_new(object, "shards", json_integer((json_int_t)plan->shards));
  json_object_set_new(object, "shard_utts", json_integer((json_int_t)plan->shard_utts));
  json_object_set_new(object, "batch_tokens", json_integer((json_int_t)plan->batch_tokens));
  json_object_set_new(object, "max_tokens", json_integer((json_int_t)plan->max_tokens));
  json_object_set_new(object, "longest_tokens", json_integer((json_int_t)plan->longest_tokens));
  json_object_set_new(object, "measured_flops", sp_json_real(plan->measured_flops));
  json_object_set_new(object, "estimated_seconds", sp_json_real(plan->estimated_seconds));
  json_object_set_new(object, "memory_bytes", json_integer((json_int_t)plan->memory_bytes));
  json_object_set_new(object, "device_bytes", json_integer((json_int_t)plan->device_bytes));
  json_object_set_new(object, "counts", sp_counts_json(&plan->counts));
  return object;
}

static enum sp_status show_plan(const struct sp_score_args *args, struct plan_view *view,
                                const struct sp_plan_summary *plan, enum sp_status status,
                                struct sp_error *err) {
  if (args->json) {
    struct sp_error lost;
    json_t *object = sp_plan_json(plan, status, err);
    if (view->names) {
      json_object_set(object, "list", view->names);
    }
    enum sp_status printed = sp_json_print(object, stdout, status == SP_OK ? err : &lost);
    return status == SP_OK ? printed : status;
  }
  if (status == SP_OK) {
    print_table(plan);
    print_names(view->names);
  }
  return status;
}

/* What goes with --describe, and what only with it. */
static enum sp_status check_describe(const struct sp_score_args *args,
                                     const struct sp_operands *operands, struct sp_error *err) {
  const struct sp_describe *describe = &args->describe;
  if (!describe->path && (describe->devices || describe->device_flops > 0)) {
    return sp_fail(err, SP_EUSAGE, "--%s needs --describe FILE",
                   describe->devices ? "devices" : "device-flops");
  }
  if (describe->path && operands->n > 0) {
    return sp_fail(err, SP_EUSAGE, "--describe takes the place of archives: '%s' is too much",
                   operands->items[0]);
  }
  return describe->path && args->list
             ? sp_fail(err, SP_EUSAGE, "--list does not go with --describe: nothing is read")
             : SP_OK;
}

static enum sp_status run_plan(const void *values, const struct sp_operands *operands,
                               struct sp_error *err) {
  const struct sp_score_args *args = values;
  SP_TRY(check_describe(args, operands, err));
  if (args->describe.path) {
    return sp_plan_show_described(args, err);
  }
  struct plan_view view = {.names = args->list ? json_array() : NULL};
  struct sp_score_options options = args->options;
  options.archives = operands->items;
  options.n_archives = operands->n;
  if (!options.model || !options.n_archives) {
    json_decref(view.names);
    return sp_fail(err, SP_EUSAGE, "%s is missing; usage: secondpass plan %s",
                   options.model ? "an ARCHIVE" : "--model DIR", sp_command_plan.usage);
  }
  sp_progress_init(&view.progress, args->progress);
  options.progress = on_progress;
  options.warn = on_warn;
  options.name = args->list ? on_name : NULL;
  options.context = &view;
  options.stop = sp_stop_on_signals();
  struct sp_plan_summary plan = {0};
  enum sp_status status = sp_plan_run(&options, &plan, err);
  sp_progress_clear(&view.progress);
  status = show_plan(args, &view, &plan, status, err);
  json_decref(view.names);
  return status;
}

static const struct sp_opt_group *const groups[] = {&sp_score_what, &sp_score_work,
                                                    &sp_score_output, &sp_plan_output, NULL};

const struct sp_command sp_command_plan = {
    .name = "plan",
    .summary = "says what scoring would take, without scoring",
    .example = "secondpass plan --model bert-base-uncased --method pll dev.jsonl.zst\n"
               "secondpass plan --model bert-base-uncased --describe billion.json --devices 1024",
    .usage = "--model DIR [OPTIONS] ARCHIVE...",
    .description =
        "Reads and checks the archives and the model as `score` does, counts what would be "
        "computed, measures the device that --device names for a moment and estimates time and "
        "memory. Time is that of computing at the measured speed; where GPUs compute, reading and "
        "writing may take longer. Where a dynamic model's batches go by distinct nodes, what its "
        "schedulers decide is known only when scoring: nodes, rows of a head and FLOP are then the "
        "most that they can come to (with --json, nodes_bound is true). Speed is counted in the "
        "same FLOP, on batches as the schedulers have them, so that the time is no bound. Nothing is written: the options are those of `score`, and --out "
        "may be left out.\n"
        "With --describe the archive need not exist: a JSON file says how many utterances it has, "
        "of how many hypotheses and which lengths (FORMATS.md). Counts are arithmetic; speeds and "
        "bytes are measured on a few thousand generated hypotheses. Hours are of devices that "
        "never wait; the pass that validates, by the --threads of one worker, comes before.",
    .groups = groups,
    .values_bytes = sizeof(struct sp_score_args),
    .max_operands = SIZE_MAX,
    .run = run_plan,
};
