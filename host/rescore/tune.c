#include "tune.h"

#include <math.h>
#include <stdlib.h>

enum { max_sweeps = 100 };

struct descent {
  const struct sp_lists *lists;
  const struct sp_tune_options *options;
  struct sp_tune_result *result;
};

/* splitmix64: the state is a counter, each output a mix of it. */
static uint64_t next_random(uint64_t *state) {
  uint64_t x = *state += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

static void draw_start(const struct sp_tune_options *options, bool first, uint64_t *random,
                       struct sp_linear *out) {
  *out = options->start;
  for (size_t dim = 0; dim <= out->n; dim++) {
    const struct sp_tune_range *range = &options->ranges[dim];
    double share = first ? 0 : (double)(next_random(random) >> 11) * 0x1p-53;
    if (range->tuned) {
      out->weights[dim] =
          first ? fmin(fmax(0, range->lo), range->hi) : range->lo + share * (range->hi - range->lo);
    }
  }
}

static enum sp_status search_axis(struct descent *descent, struct sp_linear *at, size_t dim,
                                  struct sp_line_best *best, struct sp_error *err) {
  const struct sp_tune_range *range = &descent->options->ranges[dim];
  struct sp_curve curve;
  enum sp_status status = sp_curve_make(descent->lists, at, dim, range->lo, range->hi, &curve, err);
  if (status == SP_OK) {
    sp_line_search(descent->lists, at, dim, &curve, best);
    descent->result->searches++;
  }
  sp_curve_release(&curve);
  return status;
}

/* One search a weight. A weight also moves at equal errors in the first sweep: to the middle of its
 * run. *gained: errors became fewer. */
static enum sp_status sweep(struct descent *descent, struct sp_linear *at, uint64_t *errors,
                            bool first, bool *gained, struct sp_error *err) {
  *gained = false;
  for (size_t dim = 0; dim <= at->n; dim++) {
    struct sp_line_best best;
    if (!descent->options->ranges[dim].tuned) {
      continue;
    }
    SP_TRY(search_axis(descent, at, dim, &best, err));
    if (best.errors < *errors || (first && best.errors == *errors)) {
      *gained |= best.errors < *errors;
      at->weights[dim] = best.weight;
      *errors = best.errors;
    }
  }
  descent->result->sweeps++;
  return SP_OK;
}

static size_t count_tuned(const struct sp_tune_options *options) {
  size_t n = 0;
  for (size_t dim = 0; dim <= options->start.n; dim++) {
    n += options->ranges[dim].tuned;
  }
  return n;
}

static enum sp_status descend(struct descent *descent, struct sp_linear *at, uint64_t *errors,
                              struct sp_error *err) {
  bool alone = count_tuned(descent->options) <= 1; /* one search is exact: no second look */
  bool gained = true;
  *errors = sp_lists_errors(descent->lists, at);
  for (size_t i = 0; i < max_sweeps && gained; i++) {
    SP_TRY(sweep(descent, at, errors, i == 0, &gained, err));
    gained = gained && !alone;
  }
  return SP_OK;
}

/* Gains by list, summed up by block: `with` against `without`, NULL standing for the first pass. */
static enum sp_status measure_gain(const struct sp_lists *lists, const struct sp_linear *with,
                                   const struct sp_linear *without, struct sp_tune_gain *out,
                                   struct sp_error *err) {
  double *by_block = calloc((size_t)lists->n_blocks + 1, sizeof *by_block);
  if (!by_block) {
    return sp_fail_memory(err, (size_t)lists->n_blocks * sizeof *by_block);
  }
  *out = (struct sp_tune_gain){0};
  for (size_t list = 0; list < lists->n_lists; list++) {
    int64_t other =
        without ? sp_list_errors(lists, list, without) : lists->errors[lists->starts[list]];
    int64_t gain = other - (int64_t)sp_list_errors(lists, list, with);
    out->errors += gain;
    by_block[lists->blocks[list]] += (double)gain;
  }
  double mean = lists->n_blocks ? (double)out->errors / lists->n_blocks : 0, squares = 0;
  for (uint32_t b = 0; b < lists->n_blocks; b++) {
    squares += (by_block[b] - mean) * (by_block[b] - mean);
  }
  out->standard_error = sqrt(squares);
  free(by_block);
  return SP_OK;
}

static void sample_axis(const struct sp_curve *curve, struct sp_tune_axis *axis) {
  double reach = 4 * fmax(fabs(axis->interval.from), fabs(axis->interval.to));
  double from = reach > 0 ? fmax(curve->lo, -reach) : curve->lo;
  double to = reach > 0 ? fmin(curve->hi, reach) : curve->hi;
  for (int i = 0; i < sp_tune_samples; i++) {
    double share = (double)i / (sp_tune_samples - 1);
    axis->weights[i] = from + share * (to - from);
  }
  axis->weights[sp_tune_samples - 1] = to;
  sp_curve_sample(curve, axis->weights, sp_tune_samples, axis->errors);
}

static enum sp_status describe_axis(struct descent *descent, size_t dim, struct sp_error *err) {
  const struct sp_tune_range *range = &descent->options->ranges[dim];
  const struct sp_linear *best = &descent->result->linear;
  struct sp_tune_axis *axis = &descent->result->axes[dim];
  struct sp_linear without = *best;
  struct sp_curve curve;
  enum sp_status status =
      sp_curve_make(descent->lists, best, dim, range->lo, range->hi, &curve, err);
  if (status == SP_OK) {
    axis->interval = sp_curve_run_at(&curve, best->weights[dim]);
    sample_axis(&curve, axis);
    axis->at_lower = axis->interval.from <= range->lo;
    axis->at_upper = axis->interval.to >= range->hi;
    without.weights[dim] = 0;
    status = measure_gain(descent->lists, best, &without, &axis->gain, err);
    axis->flat =
        (double)axis->gain.errors < 2 * axis->gain.standard_error || axis->gain.errors <= 0;
  }
  sp_curve_release(&curve);
  return status;
}

enum sp_status sp_tune(const struct sp_lists *lists, const struct sp_tune_options *options,
                       struct sp_tune_result *result, struct sp_error *err) {
  struct descent descent = {lists, options, result};
  uint64_t random = options->seed;
  *result = (struct sp_tune_result){.errors = UINT64_MAX,
                                    .first_errors = sp_lists_first_errors(lists),
                                    .oracle_errors = sp_lists_oracle_errors(lists),
                                    .starts = options->restarts + 1};
  for (size_t start = 0; start <= options->restarts; start++) {
    struct sp_linear at;
    uint64_t errors;
    draw_start(options, start == 0, &random, &at);
    SP_TRY(descend(&descent, &at, &errors, err));
    if (errors < result->errors) {
      result->errors = errors;
      result->linear = at;
    }
  }
  SP_TRY(measure_gain(lists, &result->linear, NULL, &result->gain, err));
  for (size_t dim = 0; dim <= options->start.n; dim++) {
    if (options->ranges[dim].tuned) {
      SP_TRY(describe_axis(&descent, dim, err));
    }
  }
  return SP_OK;
}
