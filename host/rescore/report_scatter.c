/* report_scatter.c - second-pass against first-pass scores. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "checked.h"
#include "report_parts.h"
#include "report_svg.h"

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

enum coordinate { FIRST, SECOND, D_FIRST, D_SECOND };

static double coordinate_of(const struct sp_point *point, enum coordinate which) {
  const double values[] = {point->first, point->second, point->d_first, point->d_second};
  return values[which];
}

/* From the 0.5 % to the 99.5 % quantile, so that a few far points do not squeeze the rest. */
static struct sp_range range_of(const struct sp_points *points, bool relative,
                                enum coordinate which, double *room) {
  struct sp_range range = SP_RANGE_EMPTY;
  size_t n = 0;
  for (size_t i = 0; i < points->n; i++) {
    if (!relative || points->heap[i].relative) {
      room[n++] = coordinate_of(&points->heap[i], which);
    }
  }
  qsort(room, n, sizeof *room, compare_doubles);
  if (n > 0) {
    size_t cut = n / 200;
    sp_range_add(&range, room[cut]);
    sp_range_add(&range, room[n - 1 - cut]);
  }
  if (relative) {
    sp_range_add(&range, 0);
  }
  return sp_range_pad(range, 0.04);
}

/* Marks of the points with these errors, counted in *drawn; returns how many lie outside. */
static size_t scatter_marks(struct sp_markup *to, const struct sp_plot *plot,
                            const struct sp_points *points, bool relative, int errors,
                            const char *css, enum sp_mark mark, size_t *drawn) {
  size_t outside = 0;
  sp_plot_marks_begin(to, css);
  for (size_t i = 0; i < points->n; i++) {
    const struct sp_point *point = &points->heap[i];
    if (point->errors != errors || (relative && !point->relative)) {
      continue;
    }
    ++*drawn;
    double x = coordinate_of(point, relative ? D_FIRST : FIRST);
    double y = coordinate_of(point, relative ? D_SECOND : SECOND);
    outside += x < plot->x.lo || x > plot->x.hi || y < plot->y.lo || y > plot->y.hi;
    sp_plot_mark(to, plot, x, y, mark);
  }
  sp_plot_marks_end(to);
  return outside;
}

/* Where the totals are those of the first pass's best, as far as it crosses the plot. */
static void boundary(struct sp_markup *to, const struct sp_plot *plot, double slope) {
  double x[2], y[2];
  int n = 0;
  const double edges[2] = {plot->x.lo, plot->x.hi};
  for (int i = 0; i < 2; i++) {
    double at = slope * edges[i];
    double inside = fmin(fmax(at, plot->y.lo), plot->y.hi);
    x[n] = slope != 0 ? inside / slope : edges[i];
    y[n++] = inside;
  }
  sp_plot_line(to, plot, x, y, 2, "curve");
}

static void scatter(struct sp_markup *to, const struct sp_report_run *run, bool relative,
                    const char *x_label, const char *y_label, double *room) {
  const struct sp_points *points = &run->points;
  struct sp_plot plot = {.x = range_of(points, relative, relative ? D_FIRST : FIRST, room),
                         .y = range_of(points, relative, relative ? D_SECOND : SECOND, room),
                         .title = "Second-pass score against first-pass score",
                         .x_label = x_label,
                         .y_label = y_label,
                         .width = sp_chart_wide,
                         .height = 340,
                         .left = 58};
  sp_plot_begin(to, &plot);
  if (relative) {
    sp_plot_rule_y(to, &plot, 0, "axis");
    sp_plot_rule_x(to, &plot, 0, "axis");
  }
  size_t drawn = 0;
  size_t outside = scatter_marks(to, &plot, points, relative, 0, "same", SP_MARK_DOT, &drawn);
  outside += scatter_marks(to, &plot, points, relative, 1, "more", SP_MARK_CROSS, &drawn);
  outside += scatter_marks(to, &plot, points, relative, -1, "fewer", SP_MARK_DOT, &drawn);
  if (relative && isfinite(run->slope)) {
    boundary(to, &plot, run->slope);
  }
  sp_plot_end(to);
  sp_markup_put(to, "<ul class=\"keys\">\n");
  sp_figure_key(to, "<path class=\"fewer\" d=\"M9 6h0\"/>", "fewer errors than rank 1");
  sp_figure_key(to, "<path class=\"same\" d=\"M9 6h0\"/>", "as many");
  sp_figure_key(to, "<path class=\"more\" d=\"M6 3l6 6m0-6l-6 6\"/>", "more");
  sp_markup_put(to, "<li>%zu points, %zu outside the axes</li></ul>\n", drawn, outside);
}

void sp_report_scatters(struct sp_markup *to, const struct sp_report_run *run) {
  double *room = calloc(run->points.n + 1, sizeof *room);
  if (!room) {
    to->status = sp_fail_memory(to->err, sp_mul_sat(run->points.n, sizeof *room));
    return;
  }
  char absolute[sp_score_name_max + 64], relative[sp_score_name_max + 64];
  const char *name = run->one_score ? run->combination.second.items[0].name : "second-pass part";
  snprintf(absolute, sizeof absolute, "%s (log probability)", name);
  snprintf(relative, sizeof relative, "%s minus that of rank 1", name);
  sp_figure_begin(to, "Second-pass against first-pass score",
                  "A sample of all hypotheses. A narrow cloud means that both passes say the same, "
                  "and that there is little to combine.");
  scatter(to, run, false, "first-pass score", absolute, room);
  sp_figure_end(to);
  sp_figure_begin(to, "Who overtakes rank 1",
                  "The same hypotheses against rank 1 of their list. Those above the line get a "
                  "larger total than it: dots there are gains, crosses harm.");
  scatter(to, run, true, "first-pass score minus that of rank 1", relative, room);
  sp_figure_end(to);
  free(room);
}
