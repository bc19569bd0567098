/* bench_replay.c - `secondpass bench replay`: the user-perceived latency of a streamed pass, measured
 * and as the backlog model has it.
 *
 * Measured  position i of a sentence arrives at i periods of a clock that only moves by what steps
 *           of the replay really take (replay.h) and by waiting for arrivals, so that nothing sleeps.
 * Modelled  the recursion of latency.h with nodes as the cost; its capacity is that of the fastest step
 *           of the same run, of whole sentences and of the streamed ones.
 * A bound   No step of the stream takes less than its nodes times the cost that the model has for one,
 *           and none begins before its nodes are released: what is modelled is never more than what is
 *           measured. Whole sentences alone would not do: a stream projects rows before their nodes can
 *           be computed, and the machine may be less busy by then. */
#include <math.h>
#include <stdlib.h>

#include "bench_args.h"
#include "bench_stats.h"
#include "checked.h"
#include "clock.h"
#include "commands.h"
#include "latency.h"
#include "output.h"
#include "replay.h"
#include "score_args.h"

enum { whole_rounds = 3 };

struct replay_args {
  struct sp_bench_args bench; /* first */
  double period_ms;
};

/* Of every sentence, in seconds: what is left one period after the last arrival, and the time from
 * the last arrival to the last output. */
struct series {
  double *upl, *last; /* (n) */
};

struct replay_run {
  const struct sp_workload *w;
  struct sp_replay *replay;
  double period;   /* seconds */
  double per_node; /* seconds, of the fastest step */
  double busy;     /* seconds of all steps over the time that sentences took to arrive */
  size_t n;        /* sentences */
  struct series measured, modelled;
};

/* Position by position, [CLS] and [SEP] around the tokens. */
static size_t spell(const struct replay_run *run, const struct sp_job_hyp *hyp, int32_t *ids) {
  const struct sp_tokenizer_info *info = sp_tokenizer_get_info(run->w->context.tokenizer);
  ids[0] = info->cls;
  for (size_t i = 0; i < hyp->n; i++) {
    ids[i + 1] = hyp->ids[i];
  }
  ids[hyp->n + 1] = info->sep;
  return (size_t)hyp->n + 2;
}

typedef enum sp_status (*sentence_fn)(struct replay_run *run, const int32_t *ids, size_t len,
                                      size_t number, struct sp_error *err);

/* Calls `each` for every hypothesis that has tokens. */
static enum sp_status each_sentence(struct replay_run *run, sentence_fn each,
                                    struct sp_error *err) {
  const struct sp_job *job = &run->w->job;
  int32_t *ids = malloc((run->w->context.max_tokens + 2) * sizeof *ids);
  enum sp_status status =
      ids ? SP_OK : sp_fail_memory(err, (run->w->context.max_tokens + 2) * sizeof *ids);
  run->n = 0;
  for (size_t h = 0; status == SP_OK && h < job->n_hyps; h++) {
    if (job->hyps[h].n > 0) {
      status = each(run, ids, spell(run, &job->hyps[h], ids), run->n, err);
      run->n++;
    }
  }
  free(ids);
  return status;
}

/* Positions before `arrived` have come: computes what can be; *took seconds. */
static enum sp_status time_step(struct replay_run *run, size_t arrived, double *took,
                                struct sp_error *err) {
  size_t nodes;
  double start = sp_clock_seconds();
  SP_TRY(sp_replay_step(run->replay, arrived, &nodes, err));
  *took = sp_clock_seconds() - start;
  if (nodes > 0) {
    run->per_node = fmin(run->per_node, *took / (double)nodes);
  }
  return SP_OK;
}

/* One sentence in one step. */
static enum sp_status time_whole(struct replay_run *run, const int32_t *ids, size_t len,
                                 size_t number, struct sp_error *err) {
  double took;
  (void)number;
  SP_TRY(sp_replay_begin(run->replay, ids, len, NULL, err));
  return time_step(run, len, &took, err);
}

/* *end: when the last output is there, by a clock on which position i arrives at i periods. */
static enum sp_status stream(struct replay_run *run, size_t len, double *end,
                             struct sp_error *err) {
  double now = 0;
  for (size_t arrived = 0; arrived < len;) {
    double due = floor(now / run->period) + 1;
    if (due <= (double)arrived) {
      now = (double)arrived * run->period;
      due = (double)arrived + 1;
    }
    arrived = due < (double)len ? (size_t)due : len;
    double took;
    SP_TRY(time_step(run, arrived, &took, err));
    now += took;
    run->busy += took;
  }
  *end = now;
  return SP_OK;
}

/* Of the masks that the replay has come to. */
static enum sp_status model_backlog(const struct replay_run *run, struct sp_backlog *out,
                                    struct sp_error *err) {
  const struct sp_mask_graph *masks = sp_replay_masks(run->replay);
  struct sp_latency_costs costs = {.node = 1, .capacity = run->period / run->per_node};
  struct sp_latency latency;
  SP_TRY(sp_latency_create(masks, &latency, err));
  enum sp_status status = sp_latency_backlog(masks, &latency, NULL, &costs, out, err);
  sp_latency_release(&latency);
  return status;
}

static enum sp_status time_stream(struct replay_run *run, const int32_t *ids, size_t len,
                                  size_t number, struct sp_error *err) {
  double end, last_arrival = (double)(len - 1) * run->period;
  SP_TRY(sp_replay_begin(run->replay, ids, len, NULL, err));
  SP_TRY(stream(run, len, &end, err));
  run->measured.last[number] = end - last_arrival;
  run->measured.upl[number] = fmax(0, end - last_arrival - run->period);
  return SP_OK;
}

/* When every step has been timed. Masks of schedulers have to be computed once more. */
static enum sp_status model_stream(struct replay_run *run, const int32_t *ids, size_t len,
                                   size_t number, struct sp_error *err) {
  struct sp_backlog backlog;
  size_t nodes;
  SP_TRY(sp_replay_begin(run->replay, ids, len, NULL, err));
  if (run->w->context.lookahead.policy == SP_MASK_DYNAMIC) {
    SP_TRY(sp_replay_step(run->replay, len, &nodes, err));
  }
  SP_TRY(model_backlog(run, &backlog, err));
  run->modelled.last[number] = backlog.finish * run->period;
  run->modelled.upl[number] = backlog.upl * run->period;
  return SP_OK;
}

static size_t count_positions(const struct sp_job *job) {
  size_t positions = 0;
  for (size_t h = 0; h < job->n_hyps; h++) {
    positions += job->hyps[h].n > 0 ? (size_t)job->hyps[h].n + 2 : 0;
  }
  return positions;
}

static enum sp_status measure(struct replay_run *run, struct sp_error *err) {
  double positions = (double)count_positions(&run->w->job);
  run->per_node = INFINITY;
  for (int round = 0; round < whole_rounds; round++) {
    SP_TRY(each_sentence(run, time_whole, err));
  }
  SP_TRY(each_sentence(run, time_stream, err));
  SP_TRY(each_sentence(run, model_stream, err));
  run->busy /= positions * run->period;
  return SP_OK;
}

/* ---- what is said ---- */

struct summary {
  double mean, p50, p99, max; /* milliseconds */
};

static struct summary summarize(double *values, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) {
    sum += values[i];
  }
  sp_median(values, n); /* sorts */
  return (struct summary){sum / (double)n * 1e3, values[(n + 1) / 2 - 1] * 1e3,
                          values[n - n / 100 - 1] * 1e3, values[n - 1] * 1e3};
}

static json_t *summary_json(struct summary s) {
  return json_pack("{s:f, s:f, s:f, s:f}", "mean", s.mean, "p50", s.p50, "p99", s.p99, "max",
                   s.max);
}

static json_t *series_json(const struct series *s, size_t n) {
  return json_pack("{s:o, s:o}", "upl_ms", summary_json(summarize(s->upl, n)), "last_output_ms",
                   summary_json(summarize(s->last, n)));
}

static json_t *result_json(struct replay_run *run, const char *mask) {
  const struct sp_device *device = run->w->context.devices[0];
  json_t *object = sp_json_begin("bench replay", SP_OK, NULL);
  json_object_set_new(object, "device_type", sp_json_text(device->type));
  json_object_set_new(object, "dtype", sp_json_text(sp_compute_name(device->compute)));
  json_object_set_new(object, "mask", sp_json_text(mask));
  json_object_set_new(object, "mask_forced", json_boolean(run->w->context.mask_forced));
  json_object_set_new(object, "sentences", json_integer((json_int_t)run->n));
  json_object_set_new(object, "positions", json_integer((json_int_t)count_positions(&run->w->job)));
  json_object_set_new(object, "period_ms", sp_json_real(run->period * 1e3));
  json_object_set_new(object, "nodes_per_period", sp_json_real(run->period / run->per_node));
  json_object_set_new(object, "busy", sp_json_real(run->busy));
  json_object_set_new(object, "modelled", series_json(&run->modelled, run->n));
  json_object_set_new(object, "measured", series_json(&run->measured, run->n));
  return object;
}

static void print_summary(const char *label, struct summary s) {
  sp_row(label, "mean %.3f ms, p50 %.3f, p99 %.3f, max %.3f", s.mean, s.p50, s.p99, s.max);
}

static void print_result(struct replay_run *run, const char *mask) {
  const struct sp_device *device = run->w->context.devices[0];
  sp_row("device", "%s, %s, 1 thread", device->type, sp_compute_name(device->compute));
  sp_row("mask", "%s%s", mask, run->w->context.mask_forced ? " (forced)" : "");
  sp_row("workload", "%s, %s, one every %g ms", sp_count_of(run->n, "sentence", "sentences").text,
         sp_count_of(count_positions(&run->w->job), "position", "positions").text,
         run->period * 1e3);
  sp_row("capacity", "%.1f nodes a period, as the fastest step of this run",
         run->period / run->per_node);
  sp_row("busy", "%.1f %% of the time, streamed", 100 * run->busy);
  puts("last output, after the last position has arrived");
  print_summary("  modelled", summarize(run->modelled.last, run->n));
  print_summary("  measured", summarize(run->measured.last, run->n));
  puts("user-perceived latency: what of it is later than one period");
  print_summary("  modelled", summarize(run->modelled.upl, run->n));
  print_summary("  measured", summarize(run->measured.upl, run->n));
  puts(
      "The model is a lower bound of what is measured here: its capacity is that of the fastest\n"
      "step, whole sentences and streamed ones, small steps cost more a node, and none is "
      "divided.");
}

static enum sp_status run_replay(struct sp_workload *w, const struct replay_args *args,
                                 struct sp_error *err) {
  char mask[SP_MASK_TEXT];
  size_t n = w->job.n_hyps, longest = w->context.max_tokens + 2;
  double *values = calloc(n, 4 * sizeof *values);
  struct replay_run run = {.w = w, .period = (args->period_ms > 0 ? args->period_ms : 40) * 1e-3};
  if (!values) {
    return sp_fail_memory(err, n * 4 * sizeof *values);
  }
  run.measured = (struct series){values, values + n};
  run.modelled = (struct series){values + 2 * n, values + 3 * n};
  enum sp_status status =
      sp_replay_create(w->context.weights[0], &w->context.lookahead, longest, &run.replay, err);
  if (status == SP_OK) {
    status = measure(&run, err);
  }
  sp_lookahead_print(&w->context.lookahead, mask, sizeof mask);
  if (status == SP_OK && args->bench.json) {
    status = sp_json_print(result_json(&run, mask), stdout, err);
  } else if (status == SP_OK) {
    print_result(&run, mask);
  }
  sp_replay_destroy(run.replay);
  free(values);
  return status;
}

static enum sp_status bench_replay(const struct replay_args *args,
                                   const struct sp_operands *operands, struct sp_error *err) {
  struct sp_bench_args bench = args->bench;
  struct sp_workload workload;
  if (!bench.options.methods) {
    bench.options.methods = "maskless";
  }
  bench.options.threads = 1;
  SP_TRY(sp_bench_open(&bench, operands, &workload, err));
  enum sp_status status = run_replay(&workload, args, err);
  sp_workload_close(&workload);
  return status;
}

static enum sp_status run_bench_replay(const void *values, const struct sp_operands *operands,
                                       struct sp_error *err) {
  const struct replay_args *args = values;
  return sp_json_failure(args->bench.json, "bench replay", bench_replay(args, operands, err), err);
}

#define FIELD(member) offsetof(struct replay_args, member)

static const struct sp_opt options[] = {
    {.name = "model",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(bench.options.model),
     .argument = "DIR",
     .help = "model directory"},
    {.name = "period",
     .kind = SP_OPT_REAL,
     .offset = FIELD(period_ms),
     .argument = "MS",
     .max = 1000000,
     .fallback = "40",
     .help = "milliseconds from one position to the next"},
    {.name = "dtype",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(bench.options.dtype),
     .argument = "NAME",
     .choices = "auto,f32,bf16",
     .fallback = "auto",
     .help = "as for score"},
    {.name = "method",
     .kind = SP_OPT_LIST,
     .offset = FIELD(bench.options.methods),
     .argument = "NAME[,..]",
     .choices = sp_method_choices,
     .fallback = "maskless",
     .help = "what the model must have a head for; heads themselves are not run"},
    {.name = "length",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(bench.length),
     .argument = "L",
     .min = 3,
     .max = 1 << 20,
     .fallback = "an archive's own lengths",
     .help = "random sentences of L tokens each, [CLS] and [SEP] included, and no archive"},
    {.name = "hyps",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(bench.hyps),
     .argument = "N",
     .min = 1,
     .max = 1 << 20,
     .fallback = "100",
     .help = "how many of them"},
    SP_LIMIT_OPTION(FIELD(bench.options.limit), "the first N utterances of the archive only"),
    {.name = "json",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(bench.json),
     .help = "print one JSON object"},
};
static const struct sp_opt_group group = {"Options", options, sizeof options / sizeof *options};
static const struct sp_opt_group *const groups[] = {&group, &sp_bench_mask_group, NULL};

const struct sp_command sp_command_bench_replay = {
    .name = "bench replay",
    .summary = "user-perceived latency of a streamed pass, measured and modelled",
    .example = "secondpass bench replay --model lookahead-model --period 40 dev.jsonl.zst",
    .usage = "--model DIR [OPTIONS] --length L | ARCHIVE...",
    .description =
        "Computes the unmasked pass of every hypothesis as if its tokens came one a period: each "
        "node on one thread as soon as what it reads is there, with keys and values kept. Beside "
        "what is measured stands the model of `score --latency`, nodes being the cost and the "
        "capacity that of the fastest step of the same run, whole sentences and streamed ones: a "
        "lower bound of what is measured, and far below it, since products run in fixed tiles of "
        "rows here. Outputs are timed, not compared with those of the whole pass: tests do that. "
        "Archives carry no token times, so the period is given.",
    .groups = groups,
    .values_bytes = sizeof(struct replay_args),
    .max_operands = SIZE_MAX,
    .run = run_bench_replay,
};
