#include "line_search.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "checked.h"

/* The total of a hypothesis as a function of the weight searched. */
struct line {
  double slope, base;
  double from; /* in the envelope: the weight where it begins to be the best */
  uint32_t hyp;
};

struct search {
  const struct sp_lists *lists;
  struct sp_linear linear; /* weights[dim] is free to be set */
  size_t dim;
  struct sp_curve *curve;
  struct line *lines; /* (capacity) of the list under work */
  size_t capacity;
};

void sp_curve_release(struct sp_curve *curve) {
  free(curve->steps);
  *curve = (struct sp_curve){0};
}

static enum sp_status reserve_lines(struct search *search, size_t n, struct sp_error *err) {
  if (n <= search->capacity) {
    return SP_OK;
  }
  size_t capacity = sp_max_size(n, 2 * search->capacity);
  struct line *grown = realloc(search->lines, sp_mul_sat(capacity, sizeof *grown));
  if (!grown) {
    return sp_fail_memory(err, sp_mul_sat(capacity, sizeof *grown));
  }
  search->lines = grown;
  search->capacity = capacity;
  return SP_OK;
}

static enum sp_status add_step(struct sp_curve *curve, struct sp_step step, struct sp_error *err) {
  if (curve->n_steps == curve->capacity) {
    size_t capacity = sp_max_size(4096, curve->capacity + curve->capacity / 2);
    struct sp_step *grown = realloc(curve->steps, sp_mul_sat(capacity, sizeof *grown));
    if (!grown) {
      return sp_fail_memory(err, sp_mul_sat(capacity, sizeof *grown));
    }
    curve->steps = grown;
    curve->capacity = capacity;
  }
  curve->steps[curve->n_steps++] = step;
  return SP_OK;
}

/* Rising slopes; of equal slopes the line that is best everywhere comes first. */
static int compare_lines(const void *a, const void *b) {
  const struct line *x = a, *y = b;
  if (x->slope < y->slope || x->slope > y->slope) {
    return x->slope < y->slope ? -1 : 1;
  }
  if (x->base < y->base || x->base > y->base) {
    return x->base > y->base ? -1 : 1;
  }
  return x->hyp < y->hyp ? -1 : x->hyp > y->hyp;
}

static void sort_lines(struct line *lines, size_t n) {
  enum { few = 32 };
  if (n > few) {
    qsort(lines, n, sizeof *lines, compare_lines);
    return;
  }
  for (size_t i = 1; i < n; i++) {
    struct line moved = lines[i];
    size_t at = i;
    for (; at > 0 && compare_lines(&moved, &lines[at - 1]) < 0; at--) {
      lines[at] = lines[at - 1];
    }
    lines[at] = moved;
  }
}

/* Lines of the hypotheses that have a total; returns how many. */
static size_t make_lines(struct search *search, size_t list) {
  const double *x = sp_list_x(search->lists, list);
  size_t width = search->lists->n_second + 2, n = 0;
  bool convex = search->linear.kind == SP_COMBINE_CONVEX && search->dim < search->linear.n;
  search->linear.weights[search->dim] = 0;
  for (size_t i = 0; i < sp_list_hyps(search->lists, list); i++, x += width) {
    double base = sp_total(&search->linear, x);
    if (!isnan(base)) {
      double slope = x[1 + search->dim] - (convex ? x[0] : 0);
      search->lines[n++] = (struct line){.slope = slope, .base = base, .hyp = (uint32_t)i};
    }
  }
  return n;
}

/* Keeps the n sorted lines that are best somewhere, with the place where each begins; returns how
 * many. */
static size_t make_envelope(struct line *lines, size_t n) {
  size_t kept = 0;
  for (size_t i = 0; i < n; i++) {
    struct line line = lines[i];
    if (kept > 0 && !(line.slope > lines[kept - 1].slope)) {
      continue;
    }
    line.from = -INFINITY;
    while (kept > 0) {
      const struct line *top = &lines[kept - 1];
      line.from = (top->base - line.base) / (line.slope - top->slope);
      if (line.from > top->from) {
        break;
      }
      line.from = -INFINITY;
      kept--;
    }
    lines[kept++] = line;
  }
  return kept;
}

/* Adds the list's part of the curve. lo and hi are reranked, and so is every vertex. */
static enum sp_status add_list(struct search *search, size_t list, struct sp_error *err) {
  struct sp_curve *curve = search->curve;
  const uint32_t *errors = search->lists->errors + search->lists->starts[list];
  double *weight = &search->linear.weights[search->dim];
  SP_TRY(reserve_lines(search, sp_list_hyps(search->lists, list), err));
  size_t n = make_lines(search, list);
  if (n == 0) { /* no hypothesis has a total: the original order stays */
    curve->at_lo += errors[0];
    curve->start += errors[0];
    curve->at_hi += errors[0];
    return SP_OK;
  }
  sort_lines(search->lines, n);
  n = make_envelope(search->lines, n);
  *weight = curve->lo;
  curve->at_lo += sp_list_errors(search->lists, list, &search->linear);
  *weight = curve->hi;
  curve->at_hi += sp_list_errors(search->lists, list, &search->linear);
  size_t at = 0;
  while (at + 1 < n && search->lines[at + 1].from <= curve->lo) {
    at++;
  }
  uint32_t before = errors[search->lines[at].hyp];
  curve->start += before;
  for (at++; at < n && search->lines[at].from < curve->hi; at++) {
    *weight = search->lines[at].from;
    uint32_t after = errors[search->lines[at].hyp];
    uint32_t point = sp_list_errors(search->lists, list, &search->linear);
    if (point != before || after != before) {
      struct sp_step step = {*weight, (int32_t)(point - before), (int32_t)(after - before)};
      SP_TRY(add_step(curve, step, err));
    }
    before = after;
  }
  return SP_OK;
}

static int compare_steps(const void *a, const void *b) {
  double x = ((const struct sp_step *)a)->at, y = ((const struct sp_step *)b)->at;
  return x < y ? -1 : x > y;
}

/* Sorts the steps and makes one of those at one weight; steps that cancel out go. */
static void order_steps(struct sp_curve *curve) {
  struct sp_step *steps = curve->steps;
  size_t kept = 0;
  if (curve->n_steps > 0) {
    qsort(steps, curve->n_steps, sizeof *steps, compare_steps);
  }
  for (size_t i = 0; i < curve->n_steps;) {
    struct sp_step sum = steps[i++];
    for (; i < curve->n_steps && steps[i].at == sum.at; i++) {
      sum.point += steps[i].point;
      sum.after += steps[i].after;
    }
    if (sum.point != 0 || sum.after != 0) {
      steps[kept++] = sum;
    }
  }
  curve->n_steps = kept;
}

enum sp_status sp_curve_make(const struct sp_lists *lists, const struct sp_linear *linear,
                             size_t dim, double lo, double hi, struct sp_curve *out,
                             struct sp_error *err) {
  uint64_t fixed = lists->fixed_errors;
  *out = (struct sp_curve){.lo = lo, .hi = hi, .at_lo = fixed, .start = fixed, .at_hi = fixed};
  struct search search = {.lists = lists, .linear = *linear, .dim = dim, .curve = out};
  enum sp_status status = SP_OK;
  for (size_t list = 0; list < lists->n_lists && status == SP_OK; list++) {
    status = add_list(&search, list, err);
  }
  free(search.lines);
  order_steps(out);
  return status;
}

/* `now` errors before `step`, the first that is not below the weight. */
static uint64_t errors_at(const struct sp_curve *curve, double weight, size_t step, uint64_t now) {
  if (weight <= curve->lo) {
    return curve->at_lo;
  }
  if (weight >= curve->hi) {
    return curve->at_hi;
  }
  /* No `?:` here: GCC 14 reads the step before it has looked whether there is one. */
  if (step < curve->n_steps && curve->steps[step].at == weight) {
    now += (uint64_t)(int64_t)curve->steps[step].point;
  }
  return now;
}

void sp_curve_sample(const struct sp_curve *curve, const double *weights, size_t n,
                     uint64_t *errors) {
  uint64_t now = curve->start;
  size_t step = 0;
  for (size_t i = 0; i < n; i++) {
    for (; step < curve->n_steps && curve->steps[step].at < weights[i]; step++) {
      now += (uint64_t)(int64_t)curve->steps[step].after;
    }
    errors[i] = errors_at(curve, weights[i], step, now);
  }
}

/* Maximal runs of pieces with equal errors, from left to right. */
struct runs {
  struct sp_weight_run run;
  void (*take)(void *context, const struct sp_weight_run *run);
  void *context;
};

static void add_piece(struct runs *runs, double from, double to, uint64_t errors) {
  if (errors != runs->run.errors) {
    runs->take(runs->context, &runs->run);
    runs->run = (struct sp_weight_run){from, to, errors};
  }
  runs->run.to = to;
}

static void for_each_run(const struct sp_curve *curve,
                         void (*take)(void *context, const struct sp_weight_run *run),
                         void *context) {
  struct runs runs = {{curve->lo, curve->lo, curve->at_lo}, take, context};
  uint64_t now = curve->start;
  double from = curve->lo;
  for (size_t i = 0; i < curve->n_steps; i++) {
    const struct sp_step *step = &curve->steps[i];
    add_piece(&runs, from, step->at, now);
    add_piece(&runs, step->at, step->at, now + (uint64_t)(int64_t)step->point);
    now += (uint64_t)(int64_t)step->after;
    from = step->at;
  }
  add_piece(&runs, from, curve->hi, now);
  add_piece(&runs, curve->hi, curve->hi, curve->at_hi);
  take(context, &runs.run);
}

struct minima {
  struct sp_weight_run *best; /* (n) of `room`, widest first */
  size_t n, room;
};

static double width_of(const struct sp_weight_run *interval) {
  return interval->to - interval->from;
}

static void keep_minimum(void *context, const struct sp_weight_run *run) {
  struct minima *minima = context;
  if (minima->n > 0 && run->errors < minima->best[0].errors) {
    minima->n = 0;
  }
  if (minima->n > 0 && run->errors > minima->best[0].errors) {
    return;
  }
  size_t at = minima->n < minima->room ? minima->n++ : minima->room;
  for (; at > 0 && width_of(&minima->best[at - 1]) < width_of(run); at--) {
    if (at < minima->room) {
      minima->best[at] = minima->best[at - 1];
    }
  }
  if (at < minima->room) {
    minima->best[at] = *run;
  }
}

size_t sp_curve_minima(const struct sp_curve *curve, struct sp_weight_run *out, size_t room) {
  struct minima minima = {out, 0, room};
  for_each_run(curve, keep_minimum, &minima);
  return minima.n;
}

struct wanted {
  double weight;
  uint64_t errors;
  struct sp_weight_run found;
};

static void keep_wanted(void *context, const struct sp_weight_run *run) {
  struct wanted *wanted = context;
  if (run->errors == wanted->errors && run->from <= wanted->weight && wanted->weight <= run->to) {
    wanted->found = *run;
  }
}

struct sp_weight_run sp_curve_run_at(const struct sp_curve *curve, double weight) {
  struct wanted wanted = {.weight = weight};
  sp_curve_sample(curve, &weight, 1, &wanted.errors);
  for_each_run(curve, keep_wanted, &wanted);
  return wanted.found;
}

/* The shortest decimal in the middle half of the run. */
static double readable_middle(const struct sp_weight_run *run) {
  double middle = run->from + (run->to - run->from) / 2, quarter = width_of(run) / 4;
  for (int digits = 0; digits < 17; digits++) {
    char text[40];
    snprintf(text, sizeof text, "%.*e", digits, middle);
    double rounded = strtod(text, NULL);
    if (fabs(rounded - middle) < quarter) {
      return rounded;
    }
  }
  return middle;
}

void sp_line_search(const struct sp_lists *lists, const struct sp_linear *linear, size_t dim,
                    const struct sp_curve *curve, struct sp_line_best *best) {
  enum { room = 32 };
  struct sp_weight_run runs[room];
  struct sp_linear at = *linear;
  size_t n = sp_curve_minima(curve, runs, room);
  *best = (struct sp_line_best){.errors = UINT64_MAX};
  for (size_t i = 0; i < n && best->errors > runs[i].errors; i++) {
    at.weights[dim] = readable_middle(&runs[i]);
    uint64_t errors = sp_lists_errors(lists, &at);
    if (errors < best->errors) {
      *best = (struct sp_line_best){at.weights[dim], errors, runs[i]};
    }
  }
}
