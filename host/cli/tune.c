/* tune.c - `secondpass tune`: the weights that make the fewest word errors on an archive. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "file.h"
#include "float_text.h"
#include "join_args.h"
#include "output.h"
#include "read_lists.h"
#include "signature.h"
#include "weights_file.h"

struct tune_args {
  struct sp_join_args join;
  const char *out, *use, *range, *block_by;
  uint64_t seed;
  const char *restarts; /* a number; NULL: 0 for one weight, 10 for several */
};

struct tune {
  const struct tune_args *args;
  struct sp_weights_file weights;
  struct sp_join *join;
  struct sp_lists lists;
  struct sp_read_counts read;
  struct sp_tune_options options;
  struct sp_tune_result result;
  struct sp_buf signature;
};

static const double default_bonus = 10; /* the bonus is tuned from -10 to 10 */

/* All scores, or those that --use names; weights start at 0. */
static enum sp_status choose_scores(struct tune *tune, struct sp_error *err) {
  struct sp_scores *scores = sp_join_scores(tune->join);
  struct sp_named_weights *second = &tune->weights.combination.second;
  for (size_t k = 0; k < sp_scores_count(scores) && !tune->args->use; k++) {
    memcpy(second->items[second->n++].name, sp_scores_column(scores, k)->name,
           sp_score_name_max + 1);
  }
  for (const char *rest = tune->args->use; rest && *rest;) {
    struct sp_text name = {rest, strcspn(rest, ",")};
    if (!sp_score_name_valid(name) || second->n == sp_max_weights) {
      return sp_fail(err, SP_EUSAGE, "--use: '%.*s' is no name of a score", (int)name.len,
                     name.data);
    }
    memcpy(second->items[second->n++].name, name.data, name.len);
    rest += name.len + (rest[name.len] == ',');
  }
  SP_TRY(sp_scores_select(scores, second, err));
  for (size_t k = 0; k < second->n; k++) {
    const struct sp_score_column *column = sp_scores_find(scores, second->items[k].name);
    if (strlen(column->model_hash) < sizeof tune->weights.model_hashes[k]) {
      memcpy(tune->weights.model_hashes[k], column->model_hash, strlen(column->model_hash) + 1);
    }
    sp_signature_mask(column->signature, tune->weights.masks[k]);
  }
  return SP_OK;
}

/* "pll=0:2" or "insertion-bonus=-5:5". */
static enum sp_status read_range(struct tune *tune, struct sp_text item, struct sp_error *err) {
  const struct sp_named_weights *second = &tune->weights.combination.second;
  const char *equals = memchr(item.data, '=', item.len);
  const char *end = item.data + item.len;
  const char *colon = equals ? memchr(equals, ':', (size_t)(end - equals)) : NULL;
  if (!colon) {
    return sp_fail(err, SP_EUSAGE, "--range: '%.*s' is not NAME=LO:HI", (int)item.len, item.data);
  }
  struct sp_text name = {item.data, (size_t)(equals - item.data)};
  size_t dim = 0;
  while (dim < second->n && !(strlen(second->items[dim].name) == name.len &&
                              memcmp(second->items[dim].name, name.data, name.len) == 0)) {
    dim++;
  }
  struct sp_tune_range *range = &tune->options.ranges[dim];
  if ((dim == second->n && !sp_text_equal(name, SP_TEXT_LITERAL("insertion-bonus"))) ||
      !range->tuned) {
    return sp_fail(err, SP_EUSAGE, "--range: %.*s is not tuned", (int)name.len, name.data);
  }
  struct sp_text lo = {equals + 1, (size_t)(colon - equals) - 1};
  struct sp_text hi = {colon + 1, (size_t)(end - colon) - 1};
  SP_TRY(sp_parse_weight(lo, "range", &range->lo, err));
  SP_TRY(sp_parse_weight(hi, "range", &range->hi, err));
  return range->lo < range->hi ? SP_OK
                               : sp_fail(err, SP_EUSAGE, "--range: %.*s goes from high to low",
                                         (int)item.len, item.data);
}

static enum sp_status read_bonus(struct tune *tune, struct sp_error *err) {
  const char *text = tune->args->join.bonus;
  struct sp_tune_options *options = &tune->options;
  size_t n = options->start.n;
  if (text && strcmp(text, "tune") == 0) {
    options->ranges[n] = (struct sp_tune_range){true, -default_bonus, default_bonus};
    return SP_OK;
  }
  return text ? sp_parse_weight((struct sp_text){text, strlen(text)}, "insertion-bonus",
                                &options->start.weights[n], err)
              : SP_OK;
}

static enum sp_status choose_ranges(struct tune *tune, struct sp_error *err) {
  struct sp_tune_options *options = &tune->options;
  sp_combination_linear(&tune->weights.combination, &options->start);
  double most = options->start.kind == SP_COMBINE_CONVEX ? 1 : 10;
  for (size_t dim = 0; dim < options->start.n; dim++) {
    options->ranges[dim] = (struct sp_tune_range){true, 0, most};
  }
  SP_TRY(read_bonus(tune, err));
  for (const char *rest = tune->args->range; rest && *rest;) {
    struct sp_text item = {rest, strcspn(rest, ",")};
    SP_TRY(read_range(tune, item, err));
    rest += item.len + (rest[item.len] == ',');
  }
  bool several = options->start.n > 1 || options->ranges[options->start.n].tuned;
  double restarts = several ? 10 : 0;
  const char *text = tune->args->restarts;
  if (text) {
    SP_TRY(sp_parse_weight((struct sp_text){text, strlen(text)}, "restarts", &restarts, err));
    if (!(restarts >= 0 && restarts <= 100000 && restarts == floor(restarts))) {
      return sp_fail(err, SP_EUSAGE, "--restarts: '%s' is not a whole number from 0 to 100000",
                     text);
    }
  }
  options->restarts = (size_t)restarts;
  options->seed = tune->args->seed ? tune->args->seed : 1;
  return SP_OK;
}

static enum sp_status open_tune(struct tune *tune, const struct sp_operands *operands,
                                struct sp_error *err) {
  if (!tune->args->out) {
    return sp_fail(err, SP_EUSAGE, "--out WEIGHTS.json is missing");
  }
  if (strcmp(tune->args->out, "-") != 0) {
    SP_TRY(sp_file_check_parent(tune->args->out, err));
  }
  SP_TRY(sp_join_args_combination(&tune->args->join, &tune->weights.combination, err));
  SP_TRY(sp_join_args_open(&tune->args->join, operands, "tune", &tune->join, err));
  SP_TRY(choose_scores(tune, err));
  return choose_ranges(tune, err);
}

static const char *block_by(const struct tune *tune) {
  return tune->args->block_by ? tune->args->block_by : "utterance";
}

static enum sp_status read_archive(struct tune *tune, struct sp_error *err) {
  bool by_speaker = strcmp(block_by(tune), "speaker") == 0;
  SP_TRY(sp_read_lists(tune->join, &tune->weights.combination,
                       by_speaker ? SP_BLOCK_SPEAKER : SP_BLOCK_UTTERANCE, &tune->lists,
                       &tune->read, err));
  struct sp_join_counts counts = sp_join_get_counts(tune->join);
  if (tune->lists.ref_units == 0) {
    return sp_fail(err, SP_EINPUT, "the archive has no reference with a word: nothing to tune on");
  }
  if (tune->weights.combination.first.n > 0 && counts.without_score == counts.hyps) {
    return sp_fail(err, SP_EINPUT,
                   "the archive has no first-pass scores; --first none tunes the second pass "
                   "alone");
  }
  return SP_OK;
}

static void take_result(struct tune *tune) {
  struct sp_combination *combination = &tune->weights.combination;
  for (size_t k = 0; k < combination->second.n; k++) {
    combination->second.items[k].value = tune->result.linear.weights[k];
  }
  combination->bonus = tune->result.linear.weights[combination->second.n];
}

static enum sp_status write_weights(struct tune *tune, struct sp_error *err) {
  struct sp_join_counts counts = sp_join_get_counts(tune->join);
  struct sp_tuned tuned = {.options = &tune->options,
                           .result = &tune->result,
                           .utts = counts.utts,
                           .hyps = counts.hyps,
                           .ref_words = tune->lists.ref_units,
                           .blocks = tune->lists.n_blocks,
                           .block_by = block_by(tune),
                           .signature = tune->signature.data};
  struct sp_buf text = {0};
  enum sp_status status = sp_join_files(tune->join, &tuned.files, &tuned.n_files, err);
  if (status == SP_OK) {
    status = sp_weights_file_text(&tune->weights, &tuned, &text, err);
  }
  if (status == SP_OK && strcmp(tune->args->out, "-") == 0) {
    struct sp_stream_out out = {.fd = 1};
    status = sp_stream_write(&out, text.data, text.len, err);
  } else if (status == SP_OK) {
    status = sp_file_replace(tune->args->out, text.data, text.len, err);
  }
  sp_buf_release(&text);
  return status;
}

static const char *axis_name(const struct tune *tune, size_t dim) {
  const struct sp_named_weights *second = &tune->weights.combination.second;
  return dim < second->n ? second->items[dim].name : "insertion bonus";
}

static double rate(const struct tune *tune, uint64_t errors) {
  return 100.0 * (double)errors / (double)tune->lists.ref_units;
}

/* Messages about weights that another archive may not bear out. */
static void say_doubts(const struct tune *tune) {
  for (size_t dim = 0; dim <= tune->options.start.n; dim++) {
    const struct sp_tune_axis *axis = &tune->result.axes[dim];
    if (!tune->options.ranges[dim].tuned) {
      continue;
    }
    if (axis->at_lower || axis->at_upper) {
      sp_say("%s: the optimum lies at the %s end of the range, %g; widen it with --range",
             axis_name(tune, dim), axis->at_lower ? "lower" : "upper",
             axis->at_lower ? tune->options.ranges[dim].lo : tune->options.ranges[dim].hi);
    }
    if (axis->flat) {
      sp_say("%s: flat within noise: %" PRId64
             " errors fewer than without it, standard error %.1f by %s",
             axis_name(tune, dim), axis->gain.errors, axis->gain.standard_error, block_by(tune));
    }
  }
  if (tune->read.without_ref > 0) {
    sp_say("%s left out: no reference",
           sp_count_of(tune->read.without_ref, "utterance", "utterances").text);
  }
}

/* Every fifth sample of the curve. */
static void print_curve(FILE *to, const struct tune *tune, size_t dim) {
  const struct sp_tune_axis *axis = &tune->result.axes[dim];
  fprintf(to, "\n%-18s %10s %8s\n", axis_name(tune, dim), "errors", "WER %");
  for (int i = 0; i < sp_tune_samples; i += 5) {
    fprintf(to, "%-18.6g %10" PRIu64 " %8.3f\n", axis->weights[i], axis->errors[i],
            rate(tune, axis->errors[i]));
  }
}

static void print_weights(FILE *to, const struct tune *tune) {
  fprintf(to, "\n%-18s %12s  %s\n", "weight", "best", "equally good");
  for (size_t dim = 0; dim <= tune->options.start.n; dim++) {
    const struct sp_tune_axis *axis = &tune->result.axes[dim];
    if (tune->options.ranges[dim].tuned) {
      fprintf(to,
              "%-18s %12.6g  %.6g to %.6g; %" PRId64 " errors fewer than without it (+- %.1f)\n",
              axis_name(tune, dim), tune->result.linear.weights[dim], axis->interval.from,
              axis->interval.to, axis->gain.errors, axis->gain.standard_error);
    }
  }
}

static void print_result(const struct tune *tune) {
  FILE *to = strcmp(tune->args->out, "-") == 0 ? stderr : stdout;
  const struct sp_tune_result *result = &tune->result;
  fprintf(to, "%s, %s, %s of reference\n",
          sp_count_of(tune->read.utts, "utterance", "utterances").text,
          sp_count_of(tune->lists.n_hyps, "hypothesis", "hypotheses").text,
          sp_count_of(tune->lists.ref_units, "word", "words").text);
  for (size_t dim = 0; dim <= tune->options.start.n; dim++) {
    if (tune->options.ranges[dim].tuned) {
      print_curve(to, tune, dim);
    }
  }
  print_weights(to, tune);
  fprintf(to, "\n%-18s %10s %8s\n", "", "errors", "WER %");
  fprintf(to, "%-18s %10" PRIu64 " %8.3f\n", "first pass", result->first_errors,
          rate(tune, result->first_errors));
  fprintf(to, "%-18s %10" PRIu64 " %8.3f\n", "tuned", result->errors, rate(tune, result->errors));
  fprintf(to, "%-18s %10" PRIu64 " %8.3f\n%s\n", "oracle", result->oracle_errors,
          rate(tune, result->oracle_errors), tune->signature.data);
}

static json_t *axis_json(const struct tune *tune, size_t dim) {
  const struct sp_tune_axis *axis = &tune->result.axes[dim];
  json_t *entry = json_object(), *curve = json_array();
  json_object_set_new(entry, "name", json_string(axis_name(tune, dim)));
  json_object_set_new(entry, "weight", sp_json_real(tune->result.linear.weights[dim]));
  json_object_set_new(entry, "best_from", sp_json_real(axis->interval.from));
  json_object_set_new(entry, "best_to", sp_json_real(axis->interval.to));
  json_object_set_new(entry, "gain", json_integer((json_int_t)axis->gain.errors));
  json_object_set_new(entry, "gain_standard_error", sp_json_real(axis->gain.standard_error));
  json_object_set_new(entry, "at_edge", json_boolean(axis->at_lower || axis->at_upper));
  json_object_set_new(entry, "flat", json_boolean(axis->flat));
  for (int i = 0; i < sp_tune_samples; i++) {
    json_t *point = json_array();
    json_array_append_new(point, sp_json_real(axis->weights[i]));
    json_array_append_new(point, json_integer((json_int_t)axis->errors[i]));
    json_array_append_new(curve, point);
  }
  json_object_set_new(entry, "curve", curve);
  return entry;
}

static json_t *result_json(struct tune *tune, enum sp_status status, const struct sp_error *err) {
  json_t *object = sp_json_begin("tune", status, err);
  const struct sp_tune_result *result = &tune->result;
  if (status != SP_OK) {
    return object;
  }
  json_t *axes = json_array();
  for (size_t dim = 0; dim <= tune->options.start.n; dim++) {
    if (tune->options.ranges[dim].tuned) {
      json_array_append_new(axes, axis_json(tune, dim));
    }
  }
  json_object_set_new(object, "out", sp_json_text(tune->args->out));
  json_object_set_new(object, "signature", sp_json_text(tune->signature.data));
  json_object_set_new(object, "utts", json_integer((json_int_t)tune->read.utts));
  json_object_set_new(object, "without_ref", json_integer((json_int_t)tune->read.without_ref));
  json_object_set_new(object, "hyps", json_integer((json_int_t)tune->lists.n_hyps));
  json_object_set_new(object, "ref_words", json_integer((json_int_t)tune->lists.ref_units));
  json_object_set_new(object, "errors", json_integer((json_int_t)result->errors));
  json_object_set_new(object, "first_pass_errors", json_integer((json_int_t)result->first_errors));
  json_object_set_new(object, "oracle_errors", json_integer((json_int_t)result->oracle_errors));
  json_object_set_new(object, "wer", sp_json_real(rate(tune, result->errors)));
  json_object_set_new(object, "first_pass_wer", sp_json_real(rate(tune, result->first_errors)));
  json_object_set_new(object, "gain_standard_error", sp_json_real(result->gain.standard_error));
  json_object_set_new(object, "axes", axes);
  json_object_set_new(object, "scores",
                      sp_join_scores_json(tune->join, &tune->weights.combination));
  return object;
}

static enum sp_status tune_all(struct tune *tune, const struct sp_operands *operands,
                               struct sp_error *err) {
  SP_TRY(open_tune(tune, operands, err));
  SP_TRY(read_archive(tune, err));
  SP_TRY(sp_tune(&tune->lists, &tune->options, &tune->result, err));
  take_result(tune);
  SP_TRY(sp_rescore_signature(&tune->weights.combination, sp_join_scores(tune->join),
                              &tune->signature, err));
  SP_TRY(write_weights(tune, err));
  sp_join_say(tune->join, &tune->weights.combination);
  say_doubts(tune);
  return SP_OK;
}

static enum sp_status run_tune(const void *values, const struct sp_operands *operands,
                               struct sp_error *err) {
  struct tune *tune = calloc(1, sizeof *tune);
  if (!tune) {
    return sp_fail_memory(err, sizeof *tune);
  }
  tune->args = values;
  enum sp_status status = tune_all(tune, operands, err);
  if (tune->args->join.json) {
    struct sp_error lost;
    FILE *to = tune->args->out && strcmp(tune->args->out, "-") == 0 ? stderr : stdout;
    enum sp_status printed =
        sp_json_print(result_json(tune, status, err), to, status == SP_OK ? err : &lost);
    status = status == SP_OK ? printed : status;
  } else if (status == SP_OK) {
    print_result(tune);
  }
  sp_lists_release(&tune->lists);
  sp_join_close(tune->join);
  sp_buf_release(&tune->signature);
  free(tune);
  return status;
}

static const struct sp_opt options[] = {
    {.name = "use",
     .kind = SP_OPT_TEXT,
     .offset = offsetof(struct tune_args, use),
     .argument = "NAME[,..]",
     .help = "the scores to combine",
     .fallback = "all of --scores"},
    {.name = "range",
     .kind = SP_OPT_TEXT,
     .offset = offsetof(struct tune_args, range),
     .argument = "NAME=LO:HI[,..]",
     .help = "where a weight, or insertion-bonus, is looked for",
     .fallback = "0:10, convex 0:1, insertion-bonus -10:10"},
    {.name = "restarts",
     .kind = SP_OPT_TEXT,
     .offset = offsetof(struct tune_args, restarts),
     .argument = "N",
     .help = "random starts beside that from 0",
     .fallback = "10 for several weights, 0 for one, where the search is exact"},
    {.name = "seed",
     .kind = SP_OPT_U64,
     .offset = offsetof(struct tune_args, seed),
     .argument = "S",
     .min = 1,
     .max = INT64_MAX,
     .help = "of the random starts",
     .fallback = "1"},
    {.name = "block-by",
     .kind = SP_OPT_CHOICE,
     .offset = offsetof(struct tune_args, block_by),
     .argument = "WHAT",
     .choices = "utterance,speaker",
     .help = "what standard errors resample; a speaker is what stands before the first - of an id",
     .fallback = "utterance"},
};
static const struct sp_opt output[] = {
    {.name = "out",
     .kind = SP_OPT_TEXT,
     .offset = offsetof(struct tune_args, out),
     .argument = "WEIGHTS.json",
     .help = "what `rescore --weights` takes; - is standard output"},
    {.name = "json",
     .kind = SP_OPT_FLAG,
     .offset = offsetof(struct tune_args, join.json),
     .help = "print the result as one JSON object"},
};
static const struct sp_opt_group search_group = {"Search", options,
                                                 sizeof options / sizeof *options};
static const struct sp_opt_group output_group = {"Output", output, sizeof output / sizeof *output};
static const struct sp_opt_group *const groups[] = {
    &sp_archive_input, &sp_join_scores_group, &sp_join_combine, &search_group, &output_group, NULL};

const struct sp_command sp_command_tune = {
    .name = "tune",
    .summary = "finds the weights with the fewest word errors",
    .example =
        "secondpass tune dev.jsonl.zst --scores run --out weights.json\n"
        "secondpass tune dev.jsonl --scores run,llm=llm.tsv --insertion-bonus tune --out w.json",
    .usage = "--scores RUN[,..] --out WEIGHTS.json [OPTIONS] ARCHIVE...",
    .description =
        "Word errors against the archive's references are piecewise constant in a weight; the "
        "search looks at every piece and takes the middle of the widest best one. Several weights "
        "are searched one after the other, from several starts.\n"
        "A weight is called flat within noise when leaving it out costs less than two standard "
        "errors (bootstrap, by --block-by).",
    .groups = groups,
    .values_bytes = sizeof(struct tune_args),
    .min_operands = 1,
    .max_operands = SIZE_MAX,
    .run = run_tune,
};
