#include "compare_args.h"

#include <math.h>
#include <string.h>

#include "history.h"
#include "join_args.h"
#include "weights_file.h"

#define FIELD(member) offsetof(struct sp_compare_args, member)

enum { default_last = 7 };

static const struct sp_opt ranking[] = {
    {.name = "archive",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(archive),
     .argument = "FILE[,..]",
     .help =
         "the archive that both runs scored: best hypotheses by a total, and with references the "
         "error rates of both"},
    {.name = "weight",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(weight),
     .argument = "NAME=W[,..]",
     .help = "methods that make the total with the first pass, and their weights",
     .fallback = "the first method alone, without the first pass"},
    {.name = "weights",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(weights),
     .argument = "FILE",
     .help = "the combination that `secondpass tune` found"},
    {.name = "first",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(first),
     .argument = "NAME=V[,..]",
     .help = "first-pass components and their factors beside --weight, or none",
     .fallback = "score=1"},
};
const struct sp_opt_group sp_compare_ranking_group = {"Best hypotheses", ranking,
                                                      sizeof ranking / sizeof *ranking};

static const struct sp_opt gate[] = {
    {.name = "max-diff",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(max_diff),
     .argument = "X",
     .help = "largest difference of any score or per-token value; 0 is bitwise, and then token "
             "counts and flags must be the same too",
     .fallback = "0"},
    {.name = "max-nulls",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(max_nulls),
     .argument = "N",
     .help = "nulls of a method that appeared or vanished",
     .fallback = "0"},
    {.name = "max-changed-best",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(max_changed_best),
     .argument = "PERCENT",
     .help = "utterances with another best hypothesis",
     .fallback = "any"},
    {.name = "max-wer-increase",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(max_wer_increase),
     .argument = "POINTS",
     .help = "error rate of RUN_B less that of RUN_A, in percentage points; needs --archive",
     .fallback = "any"},
    {.name = "max-slowdown",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(max_slowdown),
     .argument = "PERCENT",
     .help = "fewer hypotheses a second than RUN_A; needs --summary-a and --summary-b",
     .fallback = "any"},
    {.name = "fail-on-drift",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(fail_on_drift),
     .help = "drift against --history is beyond the thresholds too"},
};
const struct sp_opt_group sp_compare_gate_group = {"Thresholds", gate, sizeof gate / sizeof *gate};

static const struct sp_opt speed[] = {
    {.name = "summary-a",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(summary_a),
     .argument = "FILE",
     .help = "what `secondpass score --json` printed for RUN_A: a run directory records no times"},
    {.name = "summary-b",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(summary_b),
     .argument = "FILE",
     .help = "the same of RUN_B"},
};
const struct sp_opt_group sp_compare_speed_group = {"Speed", speed, sizeof speed / sizeof *speed};

static const struct sp_opt history[] = {
    {.name = "history",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(history),
     .argument = "FILE",
     .help =
         "append a line with tonight's numbers, and name those that drift from the lines before"},
    {.name = "last",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(last),
     .argument = "N",
     .min = 1,
     .max = sp_history_max_lines,
     .help = "lines of the history that tonight is held against",
     .fallback = "7"},
};
const struct sp_opt_group sp_compare_history_group = {"History", history,
                                                      sizeof history / sizeof *history};

static const struct sp_opt output[] = {
    {.name = "json",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(wer.json),
     .help = "print the result as one JSON object"},
};
const struct sp_opt_group sp_compare_output_group = {"Output", output,
                                                     sizeof output / sizeof *output};

/* NULL: `fallback`. */
static enum sp_status read_limit(const char *text, const char *option, double fallback, double *out,
                                 struct sp_error *err) {
  *out = fallback;
  if (!text) {
    return SP_OK;
  }
  SP_TRY(sp_parse_weight((struct sp_text){text, strlen(text)}, option, out, err));
  return *out >= 0 ? SP_OK : sp_fail(err, SP_EUSAGE, "--%s: '%s' is below 0", option, text);
}

static enum sp_status read_limits(const struct sp_compare_args *args,
                                  struct sp_compare_limits *limits, struct sp_error *err) {
  SP_TRY(read_limit(args->max_diff, "max-diff", 0, &limits->diff, err));
  SP_TRY(read_limit(args->max_nulls, "max-nulls", 0, &limits->nulls, err));
  SP_TRY(read_limit(args->max_changed_best, "max-changed-best", NAN, &limits->changed_best, err));
  SP_TRY(read_limit(args->max_wer_increase, "max-wer-increase", NAN, &limits->wer_increase, err));
  return read_limit(args->max_slowdown, "max-slowdown", NAN, &limits->slowdown, err);
}

/* An option that says nothing without another one. */
static enum sp_status check_needs(const struct sp_compare_args *args, struct sp_error *err) {
  const struct {
    bool given, there;
    const char *option, *needed;
  } needs[] = {
      {args->weight, args->archive, "weight", "--archive"},
      {args->weights, args->archive, "weights", "--archive"},
      {args->first, args->weight, "first", "--weight"},
      {args->max_wer_increase, args->archive, "max-wer-increase", "--archive"},
      {args->max_slowdown, args->summary_a && args->summary_b, "max-slowdown",
       "--summary-a and --summary-b"},
      {args->fail_on_drift, args->history, "fail-on-drift", "--history"},
      {args->last > 0, args->history, "last", "--history"},
  };
  for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
    if (needs[i].given && !needs[i].there) {
      return sp_fail(err, SP_EUSAGE, "--%s needs %s", needs[i].option, needs[i].needed);
    }
  }
  return args->weight && args->weights
             ? sp_fail(err, SP_EUSAGE, "--weight does not go with --weights, which says it")
             : SP_OK;
}

enum sp_status sp_compare_args_check(struct sp_compare_args *args,
                                     const struct sp_operands *operands,
                                     struct sp_compare_limits *limits, struct sp_error *err) {
  SP_TRY(check_needs(args, err));
  SP_TRY(read_limits(args, limits, err));
  args->last = args->last ? args->last : default_last;
  return sp_wer_args_check(&args->wer, operands, err);
}

enum sp_status sp_compare_args_combination(const struct sp_compare_args *args,
                                           struct sp_combination *out, struct sp_error *err) {
  struct sp_join_args join = {.first = args->first};
  struct sp_weights_file file;
  *out = (struct sp_combination){0};
  if (args->weights) {
    SP_TRY(sp_weights_file_read(args->weights, &file, err));
    *out = file.combination;
  } else if (args->weight) {
    SP_TRY(sp_join_args_combination(&join, out, err));
    SP_TRY(sp_named_weights_parse(args->weight, "weight", &out->second, err));
  }
  return SP_OK;
}
