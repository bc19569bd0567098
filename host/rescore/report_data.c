#include "report_data.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "checked.h"

static const size_t oracle_sizes[sp_oracle_sizes] = {1, 2, 3, 5, 10, 0};

/* What is needed while a system's archive is read. */
struct reading {
  struct sp_report *report;
  struct sp_report_run *run;
  struct sp_join *join;
  struct sp_linear linear;
  struct sp_text_profile *profile;
  struct sp_units *units;
  struct sp_edit *edit;
  struct sp_wer *wer;
  struct sp_lists lists;
  double *x;           /* (capacity, n_second + 2) features of the utterance */
  uint32_t *distances; /* (capacity) edit distances */
  size_t capacity;
  struct sp_buf texts; /* normalised, of an example */
  bool first;          /* the report's first system: facts of the archive are taken */
};

enum sp_status sp_report_create(const struct sp_report_options *options, struct sp_report **out,
                                struct sp_error *err) {
  *out = calloc(1, sizeof **out);
  if (!*out) {
    return sp_fail_memory(err, sizeof **out);
  }
  (*out)->options = *options;
  for (int i = 0; i < sp_oracle_sizes; i++) {
    (*out)->oracles[i].size = oracle_sizes[i];
  }
  return SP_OK;
}

static void destroy_run(struct sp_report_run *run) {
  if (run) {
    for (size_t k = 0; k < sp_max_weights; k++) {
      free(run->scores[k].path);
      free(run->scores[k].model_hash);
    }
    sp_buf_release(&run->signature);
    sp_report_facts_release(&run->facts);
    sp_points_release(&run->points);
    sp_examples_release(&run->improved);
    sp_examples_release(&run->harmed);
    free(run->name);
    free(run);
  }
}

void sp_report_destroy(struct sp_report *report) {
  if (report) {
    for (size_t i = 0; i < report->n_runs; i++) {
      destroy_run(report->runs[i]);
    }
    for (size_t i = 0; i < report->n_files; i++) {
      free((char *)report->files[i].path);
    }
    free(report->runs);
    free(report->files);
    free(report);
  }
}

static enum sp_status reserve(struct reading *reading, size_t n, struct sp_error *err) {
  if (n <= reading->capacity) {
    return SP_OK;
  }
  size_t row = (reading->linear.n + 2) * sizeof *reading->x;
  free(reading->x);
  free(reading->distances);
  reading->capacity = 0;
  reading->x = calloc(n, row);
  reading->distances = calloc(n, sizeof *reading->distances);
  if (!reading->x || !reading->distances) {
    return sp_fail_memory(err, sp_mul_sat(n, row));
  }
  reading->capacity = n;
  return SP_OK;
}

static const double *features(const struct reading *reading, size_t hyp) {
  return reading->x + hyp * (reading->linear.n + 2);
}

static enum sp_status split(struct reading *reading, struct sp_text text, const uint32_t **ids,
                            size_t *n, struct sp_error *err) {
  SP_TRY(sp_text_profile_apply(reading->profile, text, &text, err));
  return sp_units_split(reading->units, text, ids, n, err);
}

/* Distances of all hypotheses, and the oracles on the way: sclite's counts of the first hypothesis of
 * least distance. */
static enum sp_status measure_list(struct reading *reading, const struct sp_utt *utt, size_t *n_ref,
                                   struct sp_error *err) {
  struct sp_oracle *oracles = reading->report->oracles;
  const uint32_t *ref, *hyp;
  size_t n, distance, least = SIZE_MAX;
  struct sp_edit_counts best = {0};
  sp_units_clear(reading->units);
  SP_TRY(split(reading, utt->ref, &ref, n_ref, err));
  SP_TRY(sp_edit_set_reference(reading->edit, ref, *n_ref, err));
  best.deletions = (uint32_t)*n_ref; /* of an empty list */
  int open = 0;
  for (size_t i = 0; i < utt->n_hyps; i++) {
    SP_TRY(split(reading, utt->hyps[i].text, &hyp, &n, err));
    SP_TRY(sp_edit_distance(reading->edit, hyp, n, &distance, err));
    reading->distances[i] = (uint32_t)sp_min_size(distance, UINT32_MAX);
    if (reading->first && distance < least) {
      least = distance;
      SP_TRY(sp_edit_count(reading->edit, hyp, n, &best, err));
    }
    for (; reading->first && oracles[open].size == i + 1; open++) {
      sp_wer_sum_add(&oracles[open].sum, &best);
    }
  }
  for (; reading->first && open < sp_oracle_sizes; open++) {
    sp_wer_sum_add(&oracles[open].sum, &best);
  }
  return SP_OK;
}

/* What the second pass adds to the first, or the one score itself. */
static double second_part(const struct reading *reading, const double *x) {
  const struct sp_linear *linear = &reading->linear;
  if (reading->run->one_score) {
    return x[1];
  }
  double sum = 0;
  for (size_t d = 0; d <= linear->n; d++) {
    sum += linear->weights[d] * x[d + 1];
  }
  return sum;
}

static void add_points(struct reading *reading, const struct sp_utt *utt) {
  const double *top = features(reading, 0);
  double top_second = utt->n_hyps > 0 ? second_part(reading, top) : 0;
  for (size_t i = 0; i < utt->n_hyps; i++) {
    const double *x = features(reading, i);
    struct sp_point point = {.first = x[0], .second = second_part(reading, x)};
    point.d_first = point.first - top[0];
    point.d_second = point.second - top_second;
    point.relative = i > 0 && isfinite(point.d_first) && isfinite(point.d_second);
    uint32_t mine = reading->distances[i], theirs = reading->distances[0];
    point.errors = (int8_t)((mine > theirs) - (mine < theirs));
    point.key = XXH64(utt->id.data, utt->id.len, i);
    if (isfinite(point.first) && isfinite(point.second)) {
      sp_points_add(&reading->run->points, &point);
    }
  }
}

/* Keeps the utterance's normalised texts when it is among those that changed most. */
static enum sp_status add_example(struct reading *reading, const struct sp_utt *utt, size_t best,
                                  uint64_t before, uint64_t after, struct sp_error *err) {
  struct sp_examples *to = after < before ? &reading->run->improved : &reading->run->harmed;
  uint64_t gain = after < before ? before - after : after - before;
  if (gain == 0 || !sp_examples_wants(to, gain)) {
    return SP_OK;
  }
  const struct sp_text raw[] = {utt->ref, utt->hyps[0].text, utt->hyps[best].text};
  struct sp_text texts[4] = {utt->id};
  size_t ends[4] = {0};
  sp_buf_clear(&reading->texts);
  for (int i = 0; i < 3; i++) {
    struct sp_text normal;
    SP_TRY(sp_text_profile_apply(reading->profile, raw[i], &normal, err));
    SP_TRY(sp_buf_append(&reading->texts, normal.data, normal.len, err));
    ends[i + 1] = reading->texts.len;
  }
  for (int i = 0; i < 3; i++) {
    texts[i + 1] = (struct sp_text){reading->texts.data + ends[i], ends[i + 1] - ends[i]};
  }
  return sp_examples_add(to, gain, best, texts, err);
}

static enum sp_status count_utt(struct reading *reading, const struct sp_utt *utt, size_t best,
                                struct sp_error *err) {
  const struct sp_report_options *options = &reading->report->options;
  struct sp_report_run *run = reading->run;
  const struct sp_text nothing = {"", 0};
  const struct sp_text before = utt->n_hyps ? utt->hyps[0].text : nothing;
  const struct sp_text after = utt->n_hyps ? utt->hyps[best].text : nothing;
  struct sp_text block;
  SP_TRY(options->block_of(options->block_context, utt, &block, err));
  if (block.len == 0 && options->wants_blocks) {
    return sp_fail(err, SP_EINPUT, "%s: utterance %.*s has no block: --block-by %s",
                   sp_join_place(reading->join), (int)sp_min_size(utt->id.len, 200), utt->id.data,
                   options->block_by);
  }
  struct sp_wer_utt counted;
  SP_TRY(
      sp_wer_add(reading->wer, utt->ref, &after, utt->n_hyps > 0, &before, block, &counted, err));
  uint64_t errors_after = sp_edit_errors(&counted.units);
  uint64_t errors_before = sp_edit_errors(&counted.others[0]);
  double margin = utt->n_hyps > 1 ? features(reading, 0)[0] - features(reading, 1)[0] : NAN;
  sp_histogram_add(&run->histogram, counted.n_ref, run->combination.first.n ? margin : NAN,
                   errors_before, errors_after);
  run->better_utts += errors_after < errors_before;
  run->worse_utts += errors_after > errors_before;
  return add_example(reading, utt, best, errors_before, errors_after, err);
}

static enum sp_status add_utt(struct reading *reading, const struct sp_utt *utt,
                              const struct sp_second *second, struct sp_error *err) {
  struct sp_report_run *run = reading->run;
  size_t n = utt->n_hyps, n_second = reading->linear.n, n_ref;
  SP_TRY(reserve(reading, n, err));
  for (size_t i = 0; i < n; i++) {
    double *x = reading->x + i * (n_second + 2);
    SP_TRY(sp_features(&run->combination, &utt->hyps[i], second + i * n_second, x, err));
    run->nulls += isnan(sp_total(&reading->linear, x));
  }
  size_t best = n > 0 ? sp_best_of(&reading->linear, reading->x, n) : 0;
  run->changed += best != 0;
  SP_TRY(measure_list(reading, utt, &n_ref, err));
  reading->lists.ref_units += n_ref;
  reading->lists.fixed_errors += n == 0 ? n_ref : 0;
  if (n > 0) {
    SP_TRY(sp_lists_add(&reading->lists, reading->x, reading->distances, n, 0, err));
  }
  add_points(reading, utt);
  if (reading->first) {
    reading->report->utts++;
    reading->report->hyps += n;
    reading->report->longest = sp_max_size(reading->report->longest, n);
  }
  return count_utt(reading, utt, best, err);
}

static enum sp_status read_archive(struct reading *reading, struct sp_error *err) {
  struct sp_report *report = reading->report;
  for (;;) {
    struct sp_utt utt;
    const struct sp_second *second;
    bool found;
    SP_TRY(sp_join_next(reading->join, &utt, &second, &found, err));
    if (!found) {
      break;
    }
    if (utt.has_ref) {
      SP_TRY(add_utt(reading, &utt, second, err));
    }
    report->without_ref += reading->first && !utt.has_ref;
  }
  struct sp_join_counts counts = sp_join_get_counts(reading->join);
  report->without_score = counts.without_score;
  if (reading->lists.ref_units == 0) {
    return sp_fail(err, SP_EINPUT, "the archive has no reference with a word: nothing to report");
  }
  if (reading->run->combination.first.n > 0 && counts.without_score == counts.hyps) {
    return sp_fail(err, SP_EINPUT,
                   "the archive has no first-pass scores; --first none ranks by the second pass "
                   "alone");
  }
  return SP_OK;
}

/* From 0 (or the convex range) to twice the weight, at least to 1. */
static enum sp_status make_curve(struct reading *reading, size_t dim, struct sp_error *err) {
  const struct sp_linear *linear = &reading->linear;
  struct sp_report_curve *out = &reading->run->curves[reading->run->n_curves++];
  double weight = linear->weights[dim];
  bool bonus = dim == linear->n, convex = linear->kind == SP_COMBINE_CONVEX && !bonus;
  double reach = convex ? 1 : fmin(fmax(1, 2 * fabs(weight)), SP_WEIGHT_LIMIT);
  out->lo = bonus || weight < 0 ? fmin(-reach, weight) : 0;
  out->hi = fmax(reach, weight);
  out->weight = weight;
  out->is_bonus = bonus;
  snprintf(out->name, sizeof out->name, "%s",
           bonus ? "insertion bonus" : reading->run->combination.second.items[dim].name);
  for (int i = 0; i < sp_curve_samples; i++) {
    out->at[i] = out->lo + (out->hi - out->lo) * i / (sp_curve_samples - 1);
  }
  struct sp_curve curve;
  enum sp_status status =
      sp_curve_make(&reading->lists, linear, dim, out->lo, out->hi, &curve, err);
  if (status == SP_OK) {
    sp_curve_sample(&curve, out->at, sp_curve_samples, out->at_errors);
    sp_curve_sample(&curve, &weight, 1, &out->errors);
    out->equal = sp_curve_run_at(&curve, weight);
    sp_line_search(&reading->lists, linear, dim, &curve, &out->best);
  }
  sp_curve_release(&curve);
  return status;
}

static enum sp_status make_curves(struct reading *reading, struct sp_error *err) {
  reading->run->curve_ref = reading->lists.ref_units;
  for (size_t dim = 0; dim < reading->linear.n; dim++) {
    SP_TRY(make_curve(reading, dim, err));
  }
  return reading->linear.weights[reading->linear.n] != 0
             ? make_curve(reading, reading->linear.n, err)
             : SP_OK;
}

static enum sp_status judge(struct reading *reading, struct sp_error *err) {
  struct sp_report *report = reading->report;
  const struct sp_report_options *options = &report->options;
  struct sp_report_run *run = reading->run;
  size_t n = sp_wer_blocks(reading->wer);
  run->after = *sp_wer_get_totals(reading->wer, 0);
  run->before = *sp_wer_get_totals(reading->wer, 1);
  run->test = sp_wer_get_mapsswe(reading->wer, 1);
  run->holm_p = run->test.p;
  report->n_blocks = options->wants_blocks || (n > 1 && n < run->after.utts) ? n : 0;
  SP_TRY(sp_wer_bootstrap(reading->wer, 1, false, options->replicates, options->seed, &run->by_utt,
                          err));
  run->by_block = run->by_utt;
  return report->n_blocks ? sp_wer_bootstrap(reading->wer, 1, true, options->replicates,
                                             options->seed, &run->by_block, err)
                          : SP_OK;
}

/* Once scores are read: their counts and where they come from. */
static enum sp_status take_scores(struct reading *reading, struct sp_error *err) {
  struct sp_report_run *run = reading->run;
  struct sp_scores *scores = sp_join_scores(reading->join);
  const struct sp_archive_file *files;
  size_t n_files;
  SP_TRY(sp_join_files(reading->join, &files, &n_files, err));
  sp_scores_compare_inputs(scores, files, n_files);
  for (size_t k = 0; k < run->combination.second.n; k++) {
    const struct sp_named_weight *weight = &run->combination.second.items[k];
    const struct sp_score_column *column = sp_scores_find(scores, weight->name);
    struct sp_report_score *out = &run->scores[k];
    *out = (struct sp_report_score){.weight = weight->value,
                                    .path = strdup(column->path),
                                    .model_hash = strdup(column->model_hash)};
    if (!out->path || !out->model_hash) {
      return sp_fail_memory(err, strlen(column->path));
    }
    memcpy(out->name, weight->name, sizeof out->name);
    sp_signature_mask(column->signature, out->mask);
    out->hyps = column->hyps;
    out->nulls = column->nulls;
    out->missing = column->missing;
    out->other_input = column->other_input;
    bool seen = !column->is_run;
    for (size_t j = 0; j < k && !seen; j++) {
      seen = strcmp(run->scores[j].path, column->path) == 0;
    }
    if (!seen) {
      SP_TRY(sp_report_facts_read(column->path, &run->facts, err));
    }
  }
  return sp_rescore_signature(&run->combination, scores, &run->signature, err);
}

static enum sp_status take_files(struct reading *reading, struct sp_error *err) {
  struct sp_report *report = reading->report;
  const struct sp_archive_file *files;
  size_t n;
  if (!reading->first) {
    return SP_OK;
  }
  SP_TRY(sp_join_files(reading->join, &files, &n, err));
  report->files = calloc(n + 1, sizeof *report->files);
  if (!report->files) {
    return sp_fail_memory(err, sp_mul_sat(n, sizeof *report->files));
  }
  for (; report->n_files < n; report->n_files++) {
    struct sp_archive_file *file = &report->files[report->n_files];
    *file = files[report->n_files];
    file->path = strdup(file->path);
    if (!file->path) {
      return sp_fail_memory(err, strlen(files[report->n_files].path));
    }
  }
  return SP_OK;
}

/* Where is a hypothesis as good as the first pass's best? c d_first + w d_second = 0. */
static void describe_points(struct reading *reading) {
  const struct sp_linear *linear = &reading->linear;
  double sum = 0;
  for (size_t k = 0; k < linear->n; k++) {
    sum += linear->weights[k];
  }
  double first = linear->kind == SP_COMBINE_CONVEX ? 1 - sum : 1;
  reading->run->one_score = linear->n == 1 && linear->weights[1] == 0;
  double second = reading->run->one_score ? linear->weights[0] : 1;
  reading->run->slope = second > 0 ? -first / second : NAN;
}

static enum sp_status open_reading(struct reading *reading, const struct sp_scores_options *scores,
                                   struct sp_error *err) {
  const struct sp_report_options *options = &reading->report->options;
  struct sp_report_run *run = reading->run;
  struct sp_join_options join = {.paths = options->paths,
                                 .n_paths = options->n_paths,
                                 .archive = options->archive,
                                 .limit = options->limit,
                                 .scores = *scores};
  run->name = strdup(scores->spec);
  if (!run->name) {
    return sp_fail_memory(err, strlen(scores->spec));
  }
  SP_TRY(sp_text_profile_open(options->normalize, &reading->profile, err));
  SP_TRY(sp_units_create(options->unit, &reading->units, err));
  SP_TRY(sp_edit_create(&reading->edit, err));
  SP_TRY(sp_wer_create(options->unit, reading->profile, 2, &reading->wer, err));
  SP_TRY(sp_points_create(&run->points, options->points, err));
  SP_TRY(sp_examples_create(&run->improved, options->examples, err));
  SP_TRY(sp_examples_create(&run->harmed, options->examples, err));
  SP_TRY(sp_join_open(&join, &reading->join, err));
  return sp_scores_select(sp_join_scores(reading->join), &run->combination.second, err);
}

static enum sp_status read_run(struct reading *reading, const struct sp_scores_options *scores,
                               struct sp_error *err) {
  struct sp_report *report = reading->report;
  SP_TRY(open_reading(reading, scores, err));
  describe_points(reading);
  SP_TRY(read_archive(reading, err));
  SP_TRY(make_curves(reading, err));
  SP_TRY(judge(reading, err));
  SP_TRY(take_scores(reading, err));
  sp_points_finish(&reading->run->points);
  snprintf(report->profile, sizeof report->profile, "%s", sp_text_profile_name(reading->profile));
  return take_files(reading, err);
}

enum sp_status sp_report_add(struct sp_report *report, const struct sp_scores_options *scores,
                             const struct sp_combination *combination, struct sp_error *err) {
  struct reading reading = {.report = report, .first = report->n_runs == 0};
  size_t bytes = sp_mul_sat(report->n_runs + 1, sizeof *report->runs);
  struct sp_report_run **runs = realloc(report->runs, bytes);
  if (!runs) {
    return sp_fail_memory(err, bytes);
  }
  report->runs = runs;
  reading.run = calloc(1, sizeof *reading.run);
  if (!reading.run) {
    return sp_fail_memory(err, sizeof *reading.run);
  }
  runs[report->n_runs++] = reading.run;
  reading.run->combination = *combination;
  sp_combination_linear(combination, &reading.linear);
  sp_lists_init(&reading.lists, combination->second.n);
  enum sp_status status = read_run(&reading, scores, err);
  sp_join_close(reading.join);
  sp_text_profile_close(reading.profile);
  sp_units_destroy(reading.units);
  sp_edit_destroy(reading.edit);
  sp_wer_destroy(reading.wer);
  sp_lists_release(&reading.lists);
  sp_buf_release(&reading.texts);
  free(reading.x);
  free(reading.distances);
  return status;
}

enum sp_status sp_report_finish(struct sp_report *report, struct sp_error *err) {
  const struct sp_report_options *options = &report->options;
  double *p = calloc(report->n_runs + 1, sizeof *p);
  if (!p) {
    return sp_fail_memory(err, sp_mul_sat(report->n_runs, sizeof *p));
  }
  for (size_t i = 0; i < report->n_runs; i++) {
    p[i] = report->runs[i]->test.p;
  }
  enum sp_status status = sp_holm(p, report->n_runs, err);
  for (size_t i = 0; status == SP_OK && i < report->n_runs; i++) {
    report->runs[i]->holm_p = p[i];
  }
  free(p);
  sp_wer_signature(options->unit, report->profile,
                   report->n_blocks ? options->block_by ? options->block_by : "speaker" : NULL,
                   options->replicates, options->seed, report->signature, sizeof report->signature);
  return status;
}
