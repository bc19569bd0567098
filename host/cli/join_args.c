#include "join_args.h"

#include <math.h>
#include <string.h>

#include "json_fast.h"
#include "output.h"
#include "signature.h"

#define FIELD(member) offsetof(struct sp_join_args, member)

static const struct sp_opt scores[] = {
    {.name = "scores",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(scores),
     .argument = "RUN[,..]",
     .help = "second-pass scores: run directories of `secondpass score`, whose methods name the "
             "scores; NAME=RUN to name them otherwise; RUN+RUN for the runs of several archives; "
             "NAME=FILE for scores made elsewhere (JSONL or TSV with id, i, value)"},
    SP_SCORE_SIGN_OPTION(FIELD(score_sign)),
    SP_MISSING_OPTION(FIELD(missing)),
    SP_LIMIT_OPTION(FIELD(limit), "the first N utterances only"),
};
const struct sp_opt_group sp_join_scores_group = {"Scores", scores, sizeof scores / sizeof *scores};

static const struct sp_opt combine[] = {
    {.name = "first",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(first),
     .argument = "NAME=V[,..]",
     .help = "first-pass components and their factors; score is the total that the archive has; "
             "none leaves the first pass out",
     .fallback = "score=1"},
    {.name = "combine",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(combine),
     .argument = "HOW",
     .choices = "additive,convex",
     .help = "first + sum w second, or (1 - sum w) first + sum w second",
     .fallback = "additive"},
    {.name = "length-norm",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(length_norm),
     .argument = "NORM",
     .help = "what second-pass scores are divided by: none, tokens, words, or gnmt:A for "
             "((5 + tokens) / 6)^A; the first pass is not normalised",
     .fallback = "none"},
    {.name = "insertion-bonus",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(bonus),
     .argument = "X",
     .help = "added for every word; `tune` also takes tune",
     .fallback = "0"},
};
const struct sp_opt_group sp_join_combine = {"Combination", combine,
                                             sizeof combine / sizeof *combine};

enum sp_status sp_join_args_open(const struct sp_join_args *args,
                                 const struct sp_operands *operands, const char *command,
                                 struct sp_join **out, struct sp_error *err) {
  if (!args->scores) {
    return sp_fail(err, SP_EUSAGE, "--scores is missing; see `secondpass help %s`", command);
  }
  bool null = args->missing && strcmp(args->missing, "null") == 0;
  struct sp_join_options options = {
      .paths = operands->items,
      .n_paths = operands->n,
      .limit = args->limit,
      .scores = {args->scores, args->score_sign, null ? SP_MISSING_NULL : SP_MISSING_ERROR}};
  SP_TRY(sp_archive_args_resolve(&args->archive, &options.archive, err));
  return sp_join_open(&options, out, err);
}

enum sp_status sp_parse_weight(struct sp_text text, const char *option, double *out,
                               struct sp_error *err) {
  if (!sp_number_parse(text, out) || !(fabs(*out) <= SP_WEIGHT_LIMIT)) {
    return sp_fail(err, SP_EUSAGE, "--%s: '%.*s' is not a number within %g", option, (int)text.len,
                   text.data, SP_WEIGHT_LIMIT);
  }
  return SP_OK;
}

enum sp_status sp_join_args_combination(const struct sp_join_args *args, struct sp_combination *out,
                                        struct sp_error *err) {
  const char *first = args->first ? args->first : "score=1";
  *out = (struct sp_combination){0};
  out->kind = args->combine && *args->combine == 'c' ? SP_COMBINE_CONVEX : SP_COMBINE_ADDITIVE;
  if (strcmp(first, "none") != 0) {
    SP_TRY(sp_named_weights_parse(first, "first", &out->first, err));
  }
  return sp_length_norm_parse(args->length_norm ? args->length_norm : "none", &out->norm,
                              &out->gnmt_alpha, err);
}

static void say_column(const struct sp_score_column *column) {
  if (column->other_input) {
    sp_say(
        "%s: %s was scored from other files than this archive; ids and counts agree, make sure "
        "that the texts do",
        column->name, column->path);
  }
  if (column->missing > 0) {
    sp_say("%s: %s of the archive missing in %s", column->name,
           sp_count_of(column->missing, "hypothesis", "hypotheses").text, column->path);
  }
  if (column->surplus > 0) {
    sp_say("%s: %s in %s that the archive does not have", column->name,
           sp_count_of(column->surplus, "score", "scores").text, column->path);
  }
  if (column->nulls > 0) {
    sp_say("%s: %s without a score, ranked last", column->name,
           sp_count_of(column->nulls, "hypothesis", "hypotheses").text);
  }
  if (!column->is_run && column->positive > 0 && column->negative == 0) {
    sp_say("%s: no log probability in %s is negative; %s", column->name, column->path,
           column->is_cost ? "are these costs?" : "for costs say --score-sign NAME=cost");
  }
}

void sp_join_say(struct sp_join *join, const struct sp_combination *combination) {
  const struct sp_archive_file *files;
  size_t n_files;
  if (sp_join_files(join, &files, &n_files, NULL) == SP_OK) {
    sp_scores_compare_inputs(sp_join_scores(join), files, n_files);
  }
  for (size_t k = 0; k < combination->second.n; k++) {
    const struct sp_score_column *column =
        sp_scores_find(sp_join_scores(join), combination->second.items[k].name);
    if (column) {
      say_column(column);
    }
  }
}

json_t *sp_join_scores_json(struct sp_join *join, const struct sp_combination *combination) {
  json_t *list = json_array();
  for (size_t k = 0; k < combination->second.n; k++) {
    const struct sp_named_weight *weight = &combination->second.items[k];
    const struct sp_score_column *column = sp_scores_find(sp_join_scores(join), weight->name);
    if (!column) {
      continue;
    }
    json_t *entry = json_object();
    json_object_set_new(entry, "name", json_string(weight->name));
    json_object_set_new(entry, "weight", sp_json_real(weight->value));
    json_object_set_new(entry, "path", sp_json_text(column->path));
    json_object_set_new(entry, "signature", sp_json_text(column->signature));
    json_object_set_new(entry, "nulls", json_integer((json_int_t)column->nulls));
    json_object_set_new(entry, "missing", json_integer((json_int_t)column->missing));
    json_object_set_new(entry, "surplus", json_integer((json_int_t)column->surplus));
    json_array_append_new(list, entry);
  }
  return list;
}
