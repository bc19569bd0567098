/* bench_lists.c - `secondpass bench lists`: how long one list takes, as an online second pass has it.
 *
 * Lists come one at a time to threads that wait with the weights: the next one is handed over when all
 * scores of the last are there.  A time is of one list, from texts in memory to its score line in memory:
 * tokens, plan, batches, scores.  The model is opened, the archive read and its first lists scored once
 * before the clock starts. */
#include <math.h>
#include <stdlib.h>

#include "bench_stats.h"
#include "clock.h"
#include "commands.h"
#include "output.h"
#include "pool.h"
#include "run.h"
#include "score_args.h"

enum { warm_up_lists = 20 };

struct lists_bench {
  struct sp_settings settings;
  struct sp_context context;
  struct sp_job lists; /* ids and texts of the archive */
  struct sp_case_look look;
  struct sp_pool *pool;
  struct sp_counts warm_up; /* what was scored before the clock started */
  double *seconds;          /* (lists.n_utts) */
};

struct lists_result {
  double mean, p50, p95, p99, max, total; /* seconds */
};

/* ---- before the clock starts ---- */

static enum sp_status see_utt(void *context, const struct sp_utt *utt, struct sp_error *err) {
  struct lists_bench *bench = context;
  (void)err;
  for (size_t h = 0; h < utt->n_hyps && bench->lists.n_utts < SP_CASE_LOOK_UTTS; h++) {
    sp_case_look_at(&bench->look, utt->hyps[h].text);
  }
  return SP_OK;
}

static enum sp_status read_lists(struct lists_bench *bench, struct sp_error *err) {
  const struct sp_score_options *options = bench->settings.options;
  struct sp_run run = {.settings = &bench->settings, .context = &bench->context};
  uint64_t read;
  sp_job_begin(&bench->lists, 0);
  SP_TRY(sp_archive_open_with(options->archives, options->n_archives, &bench->settings.archive,
                              &run.archive, err));
  enum sp_status status =
      sp_run_read(&run, &bench->lists, options->limit ? options->limit : UINT64_MAX, &read, see_utt,
                  bench, err);
  sp_archive_close(run.archive);
  SP_TRY(status);
  return bench->lists.n_hyps ? SP_OK : sp_fail(err, SP_EINPUT, "there is nothing to score");
}

static enum sp_status drop_line(void *context, struct sp_text line, struct sp_text id,
                                uint64_t hyps, uint64_t tokens, struct sp_error *err) {
  (void)context, (void)line, (void)id, (void)hyps, (void)tokens, (void)err;
  return SP_OK;
}

static enum sp_status finish_list(void *context, struct sp_job *job, struct sp_error *err) {
  struct lists_bench *bench = context;
  return sp_job_write(job, &bench->settings, &bench->context, drop_line, NULL, err);
}

static void tick(void *context) {
  (void)context;
}

static enum sp_status start_pool(struct lists_bench *bench, struct sp_error *err) {
  struct sp_pool_rules rules = {
      .settings = &bench->settings,
      .context = &bench->context,
      .letter_case = sp_case_resolve(&bench->settings, &bench->context, &bench->look),
      .finish = finish_list,
      .tick = tick,
      .callback_context = bench};
  return sp_pool_create(&rules, &bench->pool, err);
}

/* ---- one list ---- */

/* Hands one list over as a service would get it, without its reference and first pass. */
static enum sp_status add_list(const struct lists_bench *bench, size_t u, struct sp_job *job,
                               struct sp_error *err) {
  const struct sp_job_utt *list = &bench->lists.utts[u];
  struct sp_hyp *hyps = calloc(list->n_hyps + 1, sizeof *hyps);
  if (!hyps) {
    return sp_fail_memory(err, list->n_hyps * sizeof *hyps);
  }
  for (size_t h = 0; h < list->n_hyps; h++) {
    hyps[h].text = bench->lists.hyps[list->first_hyp + h].text;
  }
  struct sp_utt utt = {.id = list->id, .hyps = hyps, .n_hyps = list->n_hyps};
  enum sp_status status = sp_job_add(job, &utt, err);
  free(hyps);
  return status;
}

static enum sp_status time_list(struct lists_bench *bench, size_t u, double *seconds,
                                struct sp_error *err) {
  struct sp_job *job;
  double start = sp_clock_seconds();
  SP_TRY(sp_pool_take(bench->pool, u, &job, err));
  SP_TRY(add_list(bench, u, job, err));
  sp_pool_submit(bench->pool, job);
  SP_TRY(sp_pool_drain(bench->pool, err));
  *seconds = sp_clock_seconds() - start;
  return SP_OK;
}

static enum sp_status time_lists(struct lists_bench *bench, struct sp_error *err) {
  size_t n = bench->lists.n_utts;
  for (size_t u = 0; u < n && u < warm_up_lists; u++) {
    SP_TRY(time_list(bench, u, &bench->seconds[u], err));
  }
  bench->warm_up = sp_pool_get_counts(bench->pool);
  for (size_t u = 0; u < n; u++) {
    SP_TRY(time_list(bench, u, &bench->seconds[u], err));
  }
  return SP_OK;
}

static enum sp_status measure(struct lists_bench *bench, struct sp_error *err) {
  SP_TRY(read_lists(bench, err));
  bench->seconds = calloc(bench->lists.n_utts, sizeof *bench->seconds);
  if (!bench->seconds) {
    return sp_fail_memory(err, bench->lists.n_utts * sizeof *bench->seconds);
  }
  SP_TRY(start_pool(bench, err));
  return time_lists(bench, err);
}

/* ---- what is said ---- */

/* The least time that `percent` of the lists do not exceed; values sorted. */
static double percentile(const double *values, size_t n, size_t percent) {
  return values[(n * percent + 99) / 100 - 1];
}

static struct lists_result summarize(struct lists_bench *bench) {
  size_t n = bench->lists.n_utts;
  double total = 0;
  for (size_t i = 0; i < n; i++) {
    total += bench->seconds[i];
  }
  sp_median(bench->seconds, n); /* sorts */
  return (struct lists_result){.mean = total / (double)n,
                               .p50 = percentile(bench->seconds, n, 50),
                               .p95 = percentile(bench->seconds, n, 95),
                               .p99 = percentile(bench->seconds, n, 99),
                               .max = bench->seconds[n - 1],
                               .total = total};
}

/* Tokens of the timed lists alone. */
static uint64_t timed_tokens(const struct lists_bench *bench) {
  return sp_pool_get_counts(bench->pool).tokens - bench->warm_up.tokens;
}

static size_t computers(const struct lists_bench *bench) {
  return sp_context_on_host(&bench->context) ? bench->settings.threads : bench->context.n_devices;
}

static json_t *result_json(const struct lists_bench *bench, const struct lists_result *r) {
  const struct sp_device *device = bench->context.devices[0];
  char mask[SP_LOOKAHEAD_TEXT];
  json_t *object = sp_json_begin("bench lists", SP_OK, NULL);
  sp_lookahead_print(&bench->context.lookahead, mask, sizeof mask);
  json_object_set_new(object, "device_type", sp_json_text(device->type));
  json_object_set_new(object, "dtype", sp_json_text(sp_compute_name(device->compute)));
  json_object_set_new(object, "mask", sp_json_text(mask));
  json_object_set_new(object, "mask_forced", json_boolean(bench->context.mask_forced));
  sp_json_set_count(object, "threads", bench->settings.threads);
  sp_json_set_count(object, "devices", bench->context.n_devices);
  sp_json_set_count(object, "lists", bench->lists.n_utts);
  sp_json_set_count(object, "hyps", bench->lists.n_hyps);
  sp_json_set_count(object, "tokens", timed_tokens(bench));
  json_object_set_new(
      object, "list_ms",
      json_pack("{s:f, s:f, s:f, s:f, s:f}", "mean", r->mean * 1e3, "p50", r->p50 * 1e3, "p95",
                r->p95 * 1e3, "p99", r->p99 * 1e3, "max", r->max * 1e3));
  json_object_set_new(object, "hyps_per_second",
                      sp_json_real((double)bench->lists.n_hyps / r->total));
  return object;
}

static void print_result(const struct lists_bench *bench, const struct lists_result *r) {
  const struct sp_device *device = bench->context.devices[0];
  bool host = sp_context_on_host(&bench->context);
  sp_row(
      "device", "%s, %s, %s", device->type, sp_compute_name(device->compute),
      sp_count_of(computers(bench), host ? "thread" : "device", host ? "threads" : "devices").text);
  sp_row("workload", "%s, %s, %s", sp_count_of(bench->lists.n_utts, "list", "lists").text,
         sp_count_of(bench->lists.n_hyps, "hypothesis", "hypotheses").text,
         sp_count_of(timed_tokens(bench), "token", "tokens").text);
  sp_row("one list", "mean %.3f ms, p50 %.3f, p95 %.3f, p99 %.3f, max %.3f", r->mean * 1e3,
         r->p50 * 1e3, r->p95 * 1e3, r->p99 * 1e3, r->max * 1e3);
  sp_row("hypotheses", "%.1f a second", (double)bench->lists.n_hyps / r->total);
}

static void on_warn(void *context, const char *message) {
  (void)context;
  sp_say("warning: %s", message);
}

static enum sp_status check_needed(const struct sp_score_options *options, struct sp_error *err) {
  const char *missing = !options->model        ? "--model DIR"
                        : !options->n_archives ? "an ARCHIVE"
                                               : NULL;
  if (missing) {
    return sp_fail(err, SP_EUSAGE, "%s is missing", missing);
  }
  return options->shard_utts
             ? sp_fail(err, SP_EUSAGE, "--shard-utts does not apply: every list is scored alone")
             : SP_OK;
}

static enum sp_status bench_lists(const struct sp_score_args *args,
                                  const struct sp_operands *operands, struct sp_error *err) {
  struct lists_bench bench = {0};
  struct sp_score_options options = args->options;
  options.archives = operands->items;
  options.n_archives = operands->n;
  options.warn = on_warn;
  SP_TRY(check_needed(&options, err));
  SP_TRY(sp_settings_resolve(&options, &bench.settings, err));
  SP_TRY(sp_context_open(&bench.settings, &bench.context, err));
  enum sp_status status = measure(&bench, err);
  if (status == SP_OK) {
    struct lists_result result = summarize(&bench);
    if (args->json) {
      status = sp_json_print(result_json(&bench, &result), stdout, err);
    } else {
      print_result(&bench, &result);
    }
  }
  sp_pool_destroy(bench.pool);
  sp_job_release(&bench.lists);
  sp_context_close(&bench.context);
  free(bench.seconds);
  return status;
}

static enum sp_status run_bench_lists(const void *values, const struct sp_operands *operands,
                                      struct sp_error *err) {
  const struct sp_score_args *args = values;
  return sp_json_failure(args->json, "bench lists", bench_lists(args, operands, err), err);
}

static const struct sp_opt output_options[] = {
    {.name = "json",
     .kind = SP_OPT_FLAG,
     .offset = offsetof(struct sp_score_args, json),
     .help = "print one JSON object"},
};
static const struct sp_opt_group output_group = {"Output", output_options,
                                                 sizeof output_options / sizeof *output_options};
static const struct sp_opt_group *const groups[] = {&sp_score_what, &sp_score_work, &output_group,
                                                    NULL};

const struct sp_command sp_command_bench_lists = {
    .name = "bench lists",
    .summary = "the time of one list, as an online second pass has it",
    .example = "secondpass bench lists --model student --method cls --limit 500 dev.jsonl.zst",
    .usage = "--model DIR [OPTIONS] ARCHIVE...",
    .description =
        "Scores list after list, each alone, and reports mean, p50, p95 and p99 of their times: "
        "from texts in memory to scores in memory, tokenizing included; opening the model and "
        "reading the archive are not. The first lists are scored once before, to warm up. "
        "A list that fits a batch is scored by one thread; a small --batch-tokens divides it "
        "among all.",
    .groups = groups,
    .values_bytes = sizeof(struct sp_score_args),
    .max_operands = SIZE_MAX,
    .run = run_bench_lists,
};
