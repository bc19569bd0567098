/* report_svg.h - the few primitives that the charts of a report are made of, as inline SVG.
 *
 * Coordinates are those of the data; axes are linear. Colours and fonts are classes of the page's
 * style sheet (report_style.c), so that light, dark and print need one drawing.
 *
 * Flow   fill in a struct sp_plot; begin; marks, in drawing order; end. */
#ifndef SP_RESCORE_REPORT_SVG_H
#define SP_RESCORE_REPORT_SVG_H

#include "markup.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_range {
  double lo, hi; /* lo > hi: empty */
};

#define SP_RANGE_EMPTY ((struct sp_range){1, 0})

/* Makes it hold `value`; NaN and infinities are passed over. */
void sp_range_add(struct sp_range *range, double value);
/* Wider by that share of itself on both sides; one that is empty or a single value gets a width. */
struct sp_range sp_range_pad(struct sp_range range, double share);

/* At most `most` round numbers (1, 2 or 5 times a power of ten apart) within a range. */
struct sp_ticks {
  double first, step;
  int n, decimals;
};
struct sp_ticks sp_ticks_make(struct sp_range range, int most);

struct sp_plot {
  struct sp_range x, y;
  const char *title;             /* for readers who do not see it */
  const char *x_label, *y_label; /* with units; y_label stands above the axis; NULL: none */
  double width, height;          /* in user units; text is 13 of them high */
  double left;                   /* margin for the labels of y */
  bool no_x_ticks, no_y_ticks;   /* categories: see sp_plot_name_x, sp_plot_name_y */
};

/* Opens the picture, with grid and ticks. */
void sp_plot_begin(struct sp_markup *to, const struct sp_plot *plot);
void sp_plot_end(struct sp_markup *to);

/* `css` is a class of the style sheet throughout. */
void sp_plot_line(struct sp_markup *to, const struct sp_plot *plot, const double *x,
                  const double *y, size_t n, const char *css);

enum sp_mark { SP_MARK_DOT, SP_MARK_CROSS, SP_MARK_RING };
/* A set of equal marks; what lies outside the axes is not drawn. Begin, add, end. */
void sp_plot_marks_begin(struct sp_markup *to, const char *css);
void sp_plot_mark(struct sp_markup *to, const struct sp_plot *plot, double x, double y,
                  enum sp_mark mark);
void sp_plot_marks_end(struct sp_markup *to);

/* From the bottom of the plot up to y. */
void sp_plot_bar(struct sp_markup *to, const struct sp_plot *plot, double x_from, double x_to,
                 double y, const char *css);
/* An estimate and its interval, level at y. */
void sp_plot_interval(struct sp_markup *to, const struct sp_plot *plot, double y, double estimate,
                      double low, double high, const char *css);
/* The whole height between two x, at least a hair wide. */
void sp_plot_band(struct sp_markup *to, const struct sp_plot *plot, double x_from, double x_to,
                  const char *css);
/* A line across the plot at one x or y. */
void sp_plot_rule_x(struct sp_markup *to, const struct sp_plot *plot, double x, const char *css);
void sp_plot_rule_y(struct sp_markup *to, const struct sp_plot *plot, double y, const char *css);

/* Our own words, shifted by (dx, dy) user units; anchor is start, middle or end. */
void sp_plot_note(struct sp_markup *to, const struct sp_plot *plot, double x, double y, double dx,
                  double dy, const char *anchor, const char *css, const char *words);
/* The label of a category, under the plot or left of it. The second is escaped, and cut when long. */
void sp_plot_name_x(struct sp_markup *to, const struct sp_plot *plot, double x, const char *words);
void sp_plot_name_y(struct sp_markup *to, const struct sp_plot *plot, double y, const char *words);

#ifdef __cplusplus
}
#endif
#endif
