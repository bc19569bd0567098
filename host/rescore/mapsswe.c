#include "mapsswe.h"

#include <math.h>
#include <stdlib.h>

#include "checked.h"
#include "edit.h"

enum { least_right = 2 }; /* reference units that part two segments */

/* Errors since the last border, and how many units both have right since then. */
struct segment {
  uint64_t a, b;
  unsigned right;
};

static void close_segment(struct sp_mapsswe *test, struct segment *segment) {
  if (segment->a + segment->b > 0) {
    int64_t d = (int64_t)segment->a - (int64_t)segment->b;
    test->segments++;
    test->errors_a += segment->a;
    test->errors_b += segment->b;
    test->sum += d;
    test->sum_squares += (double)d * (double)d;
  }
  *segment = (struct segment){0};
}

/* Passes insertions from *at on; returns how many. */
static uint64_t skip_insertions(const char *ops, size_t n, size_t *at) {
  size_t from = *at;
  while (*at < n && ops[*at] == SP_INSERTION) {
    ++*at;
  }
  return *at - from;
}

void sp_mapsswe_add(struct sp_mapsswe *test, const char *ops_a, size_t n_a, const char *ops_b,
                    size_t n_b) {
  struct segment segment = {0};
  size_t i = 0, j = 0;
  for (;;) {
    uint64_t inserted_a = skip_insertions(ops_a, n_a, &i);
    uint64_t inserted_b = skip_insertions(ops_b, n_b, &j);
    segment.a += inserted_a;
    segment.b += inserted_b;
    if (inserted_a + inserted_b > 0) {
      segment.right = 0;
    }
    if (i >= n_a || j >= n_b) { /* both: they have the same reference */
      break;
    }
    bool wrong_a = ops_a[i++] != SP_CORRECT, wrong_b = ops_b[j++] != SP_CORRECT;
    segment.a += wrong_a;
    segment.b += wrong_b;
    segment.right = wrong_a || wrong_b ? 0 : segment.right + 1;
    if (segment.right >= least_right) {
      close_segment(test, &segment);
    }
  }
  close_segment(test, &segment);
}

struct sp_mapsswe_result sp_mapsswe_finish(const struct sp_mapsswe *test) {
  double n = (double)test->segments;
  struct sp_mapsswe_result result = {
      .segments = test->segments, .deviation = NAN, .z = NAN, .p = NAN};
  result.mean = n > 0 ? (double)test->sum / n : 0;
  if (test->sum_squares == 0) {
    result.deviation = result.z = 0;
    result.p = 1;
    return result;
  }
  /* n times the sum of squares minus the square of the sum: a difference of whole numbers */
  double spread = n * test->sum_squares - (double)test->sum * (double)test->sum;
  if (test->segments < 2 || !(spread > 0)) {
    return result;
  }
  result.deviation = sqrt(spread / (n * (n - 1)));
  result.z = result.mean / (result.deviation / sqrt(n));
  result.p = erfc(fabs(result.z) / sqrt(2.0));
  return result;
}

struct ranked {
  double p;
  size_t index;
};

static int compare_ranked(const void *x, const void *y) {
  const struct ranked *a = x, *b = y;
  return a->p < b->p ? -1 : a->p > b->p ? 1 : a->index < b->index ? -1 : a->index > b->index;
}

enum sp_status sp_holm(double *p, size_t n, struct sp_error *err) {
  struct ranked *ranked = calloc(n ? n : 1, sizeof *ranked);
  size_t m = 0;
  if (!ranked) {
    return sp_fail_memory(err, sp_mul_sat(n, sizeof *ranked));
  }
  for (size_t i = 0; i < n; i++) {
    if (!isnan(p[i])) {
      ranked[m++] = (struct ranked){p[i], i};
    }
  }
  qsort(ranked, m, sizeof *ranked, compare_ranked);
  double least = 0;
  for (size_t i = 0; i < m; i++) {
    least = fmax(least, fmin(1, (double)(m - i) * ranked[i].p));
    p[ranked[i].index] = least;
  }
  free(ranked);
  return SP_OK;
}
