/* report.c - `secondpass report`: what rescoring changed, as one HTML page. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "compare_speed.h"
#include "file.h"
#include "output.h"
#include "report_html.h"
#include "weights_args.h"
#include "wer_args.h"
#include "wer_block.h"

struct report_args {
  struct sp_join_args join; /* its scores stay NULL: they are operands */
  const char *archive, *weight, *weights, *summary, *out;
  const char *unit, *normalize, *block_by;
  size_t replicates, examples, points;
  uint64_t seed;
};

/* The parts of a list, in a copy of it. */
struct parts {
  char *copy;
  const char **items; /* (n) */
  size_t n;
};

struct making {
  const struct report_args *args;
  const struct sp_operands *runs;
  struct parts archive, weight, weights, summary;
  struct sp_wer_args wer; /* for its units */
  struct sp_wer_blocks blocks;
  struct sp_report *report;
  struct sp_buf page;
};

enum { default_replicates = 1000, default_examples = 10, default_points = 1500 };

static void release_parts(struct parts *parts) {
  free(parts->copy);
  free(parts->items);
}

static enum sp_status split(const char *text, char separator, struct parts *out,
                            struct sp_error *err) {
  if (!text) {
    return SP_OK;
  }
  out->copy = strdup(text);
  out->items = calloc(strlen(text) + 1, sizeof *out->items);
  if (!out->copy || !out->items) {
    return sp_fail_memory(err, strlen(text));
  }
  for (char *at = out->copy; at;) {
    char *end = strchr(at, separator);
    out->items[out->n++] = at;
    if (end) {
      *end++ = '\0';
    }
    at = end;
  }
  return SP_OK;
}

static enum sp_status block_of(void *context, const struct sp_utt *utt, struct sp_text *block,
                               struct sp_error *err) {
  return sp_wer_blocks_find(context, utt->id, utt->fields, utt->n_fields, block, err);
}

/* One for all runs, or one each. */
static enum sp_status check_count(const struct parts *parts, const char *option, size_t n_runs,
                                  struct sp_error *err) {
  return parts->n <= 1 || parts->n == n_runs
             ? SP_OK
             : sp_fail(err, SP_EUSAGE, "--%s has %zu parts for %s; one for all or one each", option,
                       parts->n, sp_count_of(n_runs, "run", "runs").text);
}

static const char *part_of(const struct parts *parts, size_t run) {
  return parts->n == 0 ? NULL : parts->items[parts->n == 1 ? 0 : run];
}

static enum sp_status check(struct making *making, struct sp_error *err) {
  const struct report_args *args = making->args;
  if (!args->archive) {
    return sp_fail(err, SP_EUSAGE, "--archive ARCHIVE is missing; see `secondpass help report`");
  }
  if (!args->out) {
    return sp_fail(err, SP_EUSAGE, "--out FILE is missing; - is standard output");
  }
  if (strcmp(args->out, "-") != 0) {
    SP_TRY(sp_file_check_parent(args->out, err));
  }
  SP_TRY(split(args->archive, ',', &making->archive, err));
  SP_TRY(split(args->weight, ':', &making->weight, err));
  SP_TRY(split(args->weights, ',', &making->weights, err));
  SP_TRY(split(args->summary, ',', &making->summary, err));
  if (args->summary && making->summary.n != making->runs->n) {
    return sp_fail(err, SP_EUSAGE, "--summary has %zu files for %s; one each", making->summary.n,
                   sp_count_of(making->runs->n, "run", "runs").text);
  }
  SP_TRY(check_count(&making->weight, "weight", making->runs->n, err));
  SP_TRY(check_count(&making->weights, "weights", making->runs->n, err));
  making->wer = (struct sp_wer_args){.unit = args->unit,
                                     .normalize = args->normalize,
                                     .block_by = args->block_by,
                                     .replicates = args->replicates,
                                     .seed = args->seed};
  SP_TRY(sp_wer_args_check(&making->wer, making->runs, err));
  return sp_wer_blocks_open(making->wer.block_by, &making->blocks, err);
}

static enum sp_status open_report(struct making *making, struct sp_error *err) {
  const struct report_args *args = making->args;
  struct sp_archive_options archive;
  SP_TRY(sp_archive_args_resolve(&args->join.archive, &archive, err));
  const struct sp_report_options options = {
      .paths = making->archive.items,
      .n_paths = making->archive.n,
      .archive = archive,
      .limit = args->join.limit,
      .unit = sp_wer_args_unit(&making->wer),
      .normalize = making->wer.normalize,
      .replicates = making->wer.replicates,
      .seed = making->wer.seed,
      .block_of = block_of,
      .block_context = &making->blocks,
      .block_by = args->block_by,
      .wants_blocks = sp_wer_block_wanted(making->wer.block_by),
      .examples = args->examples ? args->examples : default_examples,
      .points = args->points ? args->points : default_points};
  return sp_report_create(&options, &making->report, err);
}

/* A run directory records no times; the summary of its command does. */
static enum sp_status add_speed(struct making *making, size_t run, struct sp_error *err) {
  struct sp_report_run *added = making->report->runs[run];
  const char *signature = sp_report_fact_find(&added->facts, "signature");
  struct sp_run_speed speed;
  if (making->summary.n == 0) {
    return SP_OK;
  }
  SP_TRY(sp_run_speed_read(making->summary.items[run], signature ? signature : "", &speed, err));
  added->seconds = isfinite(speed.seconds) ? speed.seconds : 0;
  added->hyps_per_second = isfinite(speed.hyps_per_second) ? speed.hyps_per_second : 0;
  return SP_OK;
}

static enum sp_status add_run(struct making *making, size_t run, struct sp_error *err) {
  const struct sp_join_args *join = &making->args->join;
  const char *path = part_of(&making->weights, run);
  struct sp_weights_file weights;
  struct sp_scores_options scores = {
      making->runs->items[run], join->score_sign,
      join->missing && strcmp(join->missing, "null") == 0 ? SP_MISSING_NULL : SP_MISSING_ERROR};
  SP_TRY(sp_weights_args_read(join, part_of(&making->weight, run), path, &weights, err));
  SP_TRY(sp_combination_check(&weights.combination, err));
  SP_TRY(sp_report_add(making->report, &scores, &weights.combination, err));
  const struct sp_report_run *added = making->report->runs[run];
  for (size_t k = 0; k < weights.combination.second.n; k++) {
    const struct sp_report_score *score = &added->scores[k];
    if (path) {
      struct sp_weights_origin origin = {score->path, score->model_hash, score->mask};
      sp_weights_args_say(&weights, k, &origin, path);
    }
    if (score->other_input) {
      sp_say("%s: %s was scored from other files than this archive; make sure that texts agree",
             score->name, score->path);
    }
  }
  return add_speed(making, run, err);
}

static enum sp_status write_page(struct making *making, struct sp_error *err) {
  const char *path = making->args->out;
  SP_TRY(sp_report_html(making->report, &making->page, err));
  if (strcmp(path, "-") == 0) {
    struct sp_stream_out out = {.fd = 1};
    return sp_stream_write(&out, making->page.data, making->page.len, err);
  }
  return sp_file_replace(path, making->page.data, making->page.len, err);
}

static enum sp_status make(struct making *making, struct sp_error *err) {
  SP_TRY(check(making, err));
  SP_TRY(open_report(making, err));
  for (size_t run = 0; run < making->runs->n; run++) {
    SP_TRY(add_run(making, run, err));
  }
  SP_TRY(sp_report_finish(making->report, err));
  return write_page(making, err);
}

static json_t *run_json(const struct sp_report *report, const struct sp_report_run *run) {
  const struct sp_bootstrap *shown = report->n_blocks ? &run->by_block : &run->by_utt;
  json_t *object = json_object();
  json_object_set_new(object, "name", sp_json_text(run->name));
  json_object_set_new(object, "signature", sp_json_text(run->signature.data));
  json_object_set_new(object, "rate", sp_json_real(sp_wer_sum_rate(&run->after.units)));
  json_object_set_new(object, "low", sp_json_real(shown->a.low));
  json_object_set_new(object, "high", sp_json_real(shown->a.high));
  json_object_set_new(object, "mapsswe_p", sp_json_real(run->test.p));
  return object;
}

static json_t *summary_json(const struct making *making, enum sp_status status,
                            const struct sp_error *err) {
  json_t *object = sp_json_begin("report", status, err), *runs = json_array();
  const struct sp_report *report = making->report;
  if (status == SP_OK) {
    json_object_set_new(object, "out", sp_json_text(making->args->out));
    json_object_set_new(object, "signature", sp_json_text(report->signature));
    json_object_set_new(object, "first_pass_rate",
                        sp_json_real(sp_wer_sum_rate(&report->runs[0]->before.units)));
    for (size_t i = 0; i < report->n_runs; i++) {
      json_array_append_new(runs, run_json(report, report->runs[i]));
    }
  }
  json_object_set_new(object, "runs", runs);
  return object;
}

static void print_summary(FILE *to, const struct making *making) {
  const struct sp_report *report = making->report;
  const char *rate = sp_unit_rate_name(report->options.unit);
  fprintf(to, "%s %.2f %% before\n", rate, 100 * sp_wer_sum_rate(&report->runs[0]->before.units));
  for (size_t i = 0; i < report->n_runs; i++) {
    const struct sp_report_run *run = report->runs[i];
    fprintf(to, "%s %.2f %% after %s, p %.4g\n", rate, 100 * sp_wer_sum_rate(&run->after.units),
            run->name, run->test.p);
  }
  fprintf(to, "%s\n", making->args->out);
}

static enum sp_status run_report(const void *values, const struct sp_operands *operands,
                                 struct sp_error *err) {
  struct making making = {.args = values, .runs = operands};
  enum sp_status status = make(&making, err);
  FILE *to = making.args->out && strcmp(making.args->out, "-") == 0 ? stderr : stdout;
  if (making.args->join.json) {
    struct sp_error lost;
    enum sp_status printed =
        sp_json_print(summary_json(&making, status, err), to, status == SP_OK ? err : &lost);
    status = status == SP_OK ? printed : status;
  } else if (status == SP_OK) {
    print_summary(to, &making);
  }
  sp_report_destroy(making.report);
  sp_buf_release(&making.page);
  release_parts(&making.archive);
  release_parts(&making.weight);
  release_parts(&making.weights);
  release_parts(&making.summary);
  sp_wer_blocks_close(&making.blocks);
  return status;
}

#define FIELD(member) offsetof(struct report_args, member)

static const struct sp_opt input[] = {
    {.name = "archive",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(archive),
     .argument = "FILE[,..]",
     .help = "the archive that was scored, with references"},
    SP_LIMIT_OPTION(FIELD(join.limit), "the first N utterances only"),
    SP_SCORE_SIGN_OPTION(FIELD(join.score_sign)),
    SP_MISSING_OPTION(FIELD(join.missing)),
    {.name = "summary",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(summary),
     .argument = "FILE[,..]",
     .help = "what `secondpass score --json` printed for each run, to show its speed"},
};
static const struct sp_opt weights[] = {
    {.name = "weight",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(weight),
     .argument = "NAME=W[,..]",
     .help = "second-pass scores to use, and their weights; for several runs the same, or one part "
             "each with : between"},
    {.name = "weights",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(weights),
     .argument = "FILE[,..]",
     .help = "the combination that `secondpass tune` found, in place of the options above; one for "
             "all runs or one each"},
};
static const struct sp_opt count[] = {
    {.name = "unit",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(unit),
     .argument = "UNIT",
     .choices = sp_unit_choices,
     .fallback = "word",
     .help = "what is counted, as for wer"},
    {.name = "normalize",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(normalize),
     .argument = "PROFILE",
     .fallback = "none",
     .help = "what texts go through before they are compared, as for wer"},
    {.name = "block-by",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(block_by),
     .argument = "HOW",
     .fallback = "speaker where every id has a -",
     .help = "what is resampled as a whole: speaker, prefix:SEP, utterance; as for wer"},
    SP_BOOTSTRAP_OPTION(FIELD(replicates)),
    SP_SEED_OPTION(FIELD(seed)),
};
static const struct sp_opt output[] = {
    {.name = "out",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(out),
     .argument = "FILE|-",
     .help = "the page; it needs no other file and no network"},
    {.name = "examples",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(examples),
     .argument = "N",
     .min = 1,
     .max = 1000,
     .fallback = "10",
     .help = "utterances shown of those improved most, and of those harmed most"},
    {.name = "points",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(points),
     .argument = "N",
     .min = 1,
     .max = 100000,
     .fallback = "1500",
     .help = "hypotheses in the scatter plots, a sample of all that is the same every time"},
    {.name = "json",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(join.json),
     .help = "print the summary as one JSON object"},
};
static const struct sp_opt_group input_group = {"Archive and scores", input,
                                                sizeof input / sizeof *input};
static const struct sp_opt_group weights_group = {"Weights", weights,
                                                  sizeof weights / sizeof *weights};
static const struct sp_opt_group count_group = {"Counting", count, sizeof count / sizeof *count};
static const struct sp_opt_group output_group = {"Output", output, sizeof output / sizeof *output};
static const struct sp_opt_group *const groups[] = {
    &input_group, &sp_archive_input, &sp_join_combine, &weights_group, &count_group, &output_group,
    NULL};

const struct sp_command sp_command_report = {
    .name = "report",
    .summary = "what rescoring changed, as one HTML page",
    .example =
        "secondpass report run --archive test.jsonl.zst --weights weights.json --out report.html\n"
        "secondpass report base large --archive test.jsonl --weight pll=0.3:pll=0.4 --out r.html",
    .usage = "RUN.. --archive ARCHIVE --weight NAME=W[,..] --out FILE [OPTIONS]",
    .description =
        "RUN is a run directory of `secondpass score`, or scores as --scores of rescore names "
        "them: RUN,NAME=FILE combines several. Every RUN is one system of the comparison; all "
        "start from the same archive.\n"
        "The page shows error rates with intervals and tests, the weight curve, what changed by "
        "utterance length and first-pass margin, what the lists allow, both scores against each "
        "other, the utterances that changed most, and how all of it was made. Equal inputs give "
        "equal bytes.",
    .groups = groups,
    .values_bytes = sizeof(struct report_args),
    .min_operands = 1,
    .max_operands = 1000,
    .run = run_report,
};
