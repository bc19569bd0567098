/* bench_engine.c - `secondpass bench engine`: how fast a model is scored, and how much of that time
 * its matrix products alone take.
 *
 * Rounds of scoring and rounds of the products alone take turns over the same batches, after one of
 * each that does not count; medians are reported, the share as the median of the pairs' ratios. */
#include <math.h>

#include "bench_args.h"
#include "bench_stats.h"
#include "clock.h"
#include "commands.h"
#include "output.h"

struct engine_result {
  double seconds, products_seconds, share;
  size_t rounds;
};

/* `products` may be NULL: *alone is then not a number. */
static enum sp_status one_pair(struct sp_workload *workload, struct sp_products *products,
                               double *score, double *alone, struct sp_error *err) {
  *alone = NAN;
  SP_TRY(sp_workload_round(workload, NULL, score, err));
  return products ? sp_workload_round(workload, products, alone, err) : SP_OK;
}

static enum sp_status time_rounds(const struct sp_bench_args *args, struct sp_workload *workload,
                                  struct sp_products *products, struct engine_result *out,
                                  struct sp_error *err) {
  double score[sp_bench_max_rounds], alone[sp_bench_max_rounds], share[sp_bench_max_rounds];
  double start = sp_clock_seconds();
  size_t n = 0;
  SP_TRY(one_pair(workload, products, &score[0], &alone[0], err));
  for (; sp_bench_goes_on(args, n, start); n++) {
    SP_TRY(one_pair(workload, products, &score[n], &alone[n], err));
    share[n] = alone[n] / score[n];
  }
  *out = (struct engine_result){sp_median(score, n), sp_median(alone, n), sp_median(share, n), n};
  return SP_OK;
}

static json_t *result_json(const struct sp_workload *w, const struct engine_result *r) {
  const struct sp_counts *c = &w->job.counts;
  json_t *object = sp_json_begin("bench engine", SP_OK, NULL);
  json_object_set_new(object, "device_type", sp_json_text(w->context.devices[0]->type));
  json_object_set_new(object, "dtype",
                      sp_json_text(sp_compute_name(w->context.devices[0]->compute)));
  json_object_set_new(object, "threads", json_integer((json_int_t)w->settings.threads));
  json_object_set_new(object, "devices", json_integer((json_int_t)w->context.n_devices));
  json_object_set_new(object, "batch_tokens", json_integer((json_int_t)w->context.limits.tokens));
  json_object_set_new(object, "rounds", json_integer((json_int_t)r->rounds));
  json_object_set_new(object, "sequences", json_integer((json_int_t)c->sequences));
  json_object_set_new(object, "seconds", sp_json_real(r->seconds));
  json_object_set_new(object, "copies_per_s", sp_json_real((double)c->sequences / r->seconds));
  json_object_set_new(object, "hyps_per_s", sp_json_real((double)w->job.n_hyps / r->seconds));
  json_object_set_new(object, "tokens_per_s",
                      sp_json_real((double)c->sequence_tokens / r->seconds));
  json_object_set_new(object, "flops_per_s", sp_json_real(c->flops / r->seconds));
  json_object_set_new(object, "products_seconds", sp_json_real(r->products_seconds));
  json_object_set_new(object, "products_share", sp_json_real(r->share));
  return object;
}

static void print_result(const struct sp_workload *w, const struct engine_result *r) {
  const struct sp_counts *c = &w->job.counts;
  bool on_host = sp_context_on_host(&w->context);
  sp_row("device", "%s, %s, %s", w->context.devices[0]->type,
         sp_compute_name(w->context.devices[0]->compute),
         on_host ? sp_count_of(w->settings.threads, "thread", "threads").text
                 : sp_count_of(w->context.n_devices, "device", "devices").text);
  sp_row("workload", "%s hypotheses, %s sequences, %s tokens", sp_number(w->job.n_hyps).text,
         sp_number(c->sequences).text, sp_number(c->sequence_tokens).text);
  sp_row("round", "%s (median of %zu)", sp_duration(r->seconds).text, r->rounds);
  sp_row("copies", "%s a second", sp_number((uint64_t)((double)c->sequences / r->seconds)).text);
  sp_row("hypotheses", "%.1f a second", (double)w->job.n_hyps / r->seconds);
  sp_row("arithmetic", "%.1f GFLOP/s of matrix products", c->flops / r->seconds * 1e-9);
  if (!isnan(r->share)) {
    sp_row("products alone", "%.1f %% of the time of scoring", 100 * r->share);
  }
}

static enum sp_status bench_engine(const struct sp_bench_args *args,
                                   const struct sp_operands *operands, struct sp_error *err) {
  struct sp_workload workload;
  struct sp_products *products = NULL;
  struct engine_result result;
  SP_TRY(sp_bench_open(args, operands, &workload, err));
  enum sp_status status = SP_OK;
  if (!args->scoring_only) {
    status = sp_workload_replan(&workload, SP_SAVING_ALL & ~SP_SAVING_NODES, err);
    status = status == SP_OK ? sp_products_create(&workload, &products, err) : status;
  }
  if (status == SP_OK) {
    status = time_rounds(args, &workload, products, &result, err);
  }
  if (status == SP_OK && args->json) {
    status = sp_json_print(result_json(&workload, &result), stdout, err);
  } else if (status == SP_OK) {
    print_result(&workload, &result);
  }
  sp_products_destroy(products);
  sp_workload_close(&workload);
  return status;
}

static enum sp_status run_bench_engine(const void *values, const struct sp_operands *operands,
                                       struct sp_error *err) {
  const struct sp_bench_args *args = values;
  return sp_json_failure(args->json, "bench engine", bench_engine(args, operands, err), err);
}

static const struct sp_opt engine_options[] = {
    {.name = "scoring-only",
     .kind = SP_OPT_FLAG,
     .offset = offsetof(struct sp_bench_args, scoring_only),
     .help = "leave out the matrix products alone"},
};
static const struct sp_opt_group engine_group = {"Of bench engine alone", engine_options,
                                                 sizeof engine_options / sizeof *engine_options};
static const struct sp_opt_group *const groups[] = {&sp_bench_group, &engine_group, NULL};

const struct sp_command sp_command_bench_engine = {
    .name = "bench engine",
    .summary = "scoring speed, and the share of its matrix products",
    .example = "secondpass bench engine --model bert-base-uncased --length 24",
    .usage = "--model DIR [OPTIONS] --length L | ARCHIVE...",
    .description =
        "Scores one workload again and again: N random hypotheses of L tokens, or an "
        "archive. Times are of scoring from tokens in memory to scores in memory; the "
        "matrix products alone run in turn with it, on the same batches; beside them a model with "
        "a "
        "bounded lookahead computes every node, equal or not.",
    .groups = groups,
    .values_bytes = sizeof(struct sp_bench_args),
    .max_operands = SIZE_MAX,
    .run = run_bench_engine,
};
