#include "report_svg.h"

#include <math.h>
#include <string.h>

#include "utf8_valid.h"

static const double top = 26, right = 14, bottom = 44;

void sp_range_add(struct sp_range *range, double value) {
  if (isfinite(value)) {
    bool empty = range->lo > range->hi;
    range->lo = empty ? value : fmin(range->lo, value);
    range->hi = empty ? value : fmax(range->hi, value);
  }
}

struct sp_range sp_range_pad(struct sp_range range, double share) {
  if (range.lo > range.hi) {
    return (struct sp_range){0, 1};
  }
  double pad = share * (range.hi - range.lo);
  if (!(pad > 1e-12 * fabs(range.hi))) {
    pad = range.hi == 0 ? 1 : 0.1 * fabs(range.hi);
  }
  return (struct sp_range){range.lo - pad, range.hi + pad};
}

struct sp_ticks sp_ticks_make(struct sp_range range, int most) {
  double wide = range.hi - range.lo, power = pow(10, floor(log10(wide / most)));
  static const double multiples[] = {1, 2, 5, 10};
  double step = multiples[3] * power;
  for (int i = 3; i >= 0; i--) {
    if (wide / (multiples[i] * power) <= most) {
      step = multiples[i] * power;
    }
  }
  struct sp_ticks ticks = {.first = ceil(range.lo / step - 1e-9) * step, .step = step};
  ticks.n = (int)floor((range.hi - ticks.first) / step + 1e-9) + 1;
  ticks.decimals = (int)fmax(0, fmin(9, -floor(log10(step) + 1e-9)));
  return ticks;
}

static double at_x(const struct sp_plot *plot, double x) {
  double share = (x - plot->x.lo) / (plot->x.hi - plot->x.lo);
  return plot->left + share * (plot->width - plot->left - right);
}

static double at_y(const struct sp_plot *plot, double y) {
  double share = (y - plot->y.lo) / (plot->y.hi - plot->y.lo);
  return plot->height - bottom - share * (plot->height - bottom - top);
}

static bool within(struct sp_range range, double value) {
  return range.lo <= value && value <= range.hi;
}

static double clamp(struct sp_range range, double value) {
  return fmin(fmax(value, range.lo), range.hi);
}

static struct sp_figure unit(double value) {
  return sp_fixed(value, 1);
}

static void put_line(struct sp_markup *to, double x1, double y1, double x2, double y2,
                     const char *css) {
  sp_markup_put(to, "<line x1=\"%s\" y1=\"%s\" x2=\"%s\" y2=\"%s\" class=\"%s\"/>\n", unit(x1).text,
                unit(y1).text, unit(x2).text, unit(y2).text, css);
}

static void put_words(struct sp_markup *to, double x, double y, const char *anchor, const char *css,
                      const char *words) {
  sp_markup_put(to, "<text x=\"%s\" y=\"%s\" text-anchor=\"%s\" class=\"%s\">", unit(x).text,
                unit(y).text, anchor, css);
  sp_markup_string(to, words);
  sp_markup_put(to, "</text>\n");
}

/* A tick's number, with the sign that typographers want. */
static struct sp_figure tick_text(double value, int decimals) {
  return value < 0 ? sp_signed(value, decimals) : sp_fixed(value, decimals);
}

static void put_y_ticks(struct sp_markup *to, const struct sp_plot *plot) {
  struct sp_ticks ticks = sp_ticks_make(plot->y, 6);
  for (int i = 0; i < ticks.n; i++) {
    double value = ticks.first + i * ticks.step, y = at_y(plot, value);
    put_line(to, plot->left, y, plot->width - right, y, "grid");
    put_words(to, plot->left - 8, y + 4.5, "end", "tick", tick_text(value, ticks.decimals).text);
  }
}

static void put_x_ticks(struct sp_markup *to, const struct sp_plot *plot) {
  struct sp_ticks ticks = sp_ticks_make(plot->x, 7);
  double base = plot->height - bottom;
  for (int i = 0; i < ticks.n; i++) {
    double value = ticks.first + i * ticks.step, x = at_x(plot, value);
    put_line(to, x, plot->no_y_ticks ? top : base, x, base + (plot->no_y_ticks ? 0 : 4),
             plot->no_y_ticks ? "grid" : "axis");
    put_words(to, x, base + 18, "middle", "tick", tick_text(value, ticks.decimals).text);
  }
}

void sp_plot_begin(struct sp_markup *to, const struct sp_plot *plot) {
  sp_markup_put(to, "<svg viewBox=\"0 0 %s %s\" role=\"img\" aria-label=\"",
                sp_fixed(plot->width, 0).text, sp_fixed(plot->height, 0).text);
  sp_markup_string(to, plot->title);
  sp_markup_put(to, "\">\n");
  if (!plot->no_y_ticks) {
    put_y_ticks(to, plot);
  }
  if (!plot->no_x_ticks) {
    put_x_ticks(to, plot);
  }
  double base = plot->height - bottom;
  put_line(to, plot->left, base, plot->width - right, base, "axis");
  if (plot->x_label) {
    put_words(to, (plot->left + plot->width - right) / 2, plot->height - 7, "middle", "label",
              plot->x_label);
  }
  if (plot->y_label) {
    put_words(to, 2, 13, "start", "label", plot->y_label);
  }
}

void sp_plot_end(struct sp_markup *to) {
  sp_markup_put(to, "</svg>\n");
}

void sp_plot_line(struct sp_markup *to, const struct sp_plot *plot, const double *x,
                  const double *y, size_t n, const char *css) {
  sp_markup_put(to, "<path class=\"%s\" d=\"", css);
  for (size_t i = 0; i < n; i++) {
    sp_markup_put(to, "%s%s %s", i ? "L" : "M", unit(at_x(plot, x[i])).text,
                  unit(at_y(plot, y[i])).text);
  }
  sp_markup_put(to, "\"/>\n");
}

void sp_plot_marks_begin(struct sp_markup *to, const char *css) {
  sp_markup_put(to, "<path class=\"%s\" d=\"", css);
}

void sp_plot_mark(struct sp_markup *to, const struct sp_plot *plot, double x, double y,
                  enum sp_mark mark) {
  static const char *const shapes[] = {"h0", "m-2.5-2.5l5 5m0-5l-5 5",
                                       "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0"};
  if (within(plot->x, x) && within(plot->y, y)) {
    sp_markup_put(to, "M%s %s%s", unit(at_x(plot, x)).text, unit(at_y(plot, y)).text, shapes[mark]);
  }
}

void sp_plot_marks_end(struct sp_markup *to) {
  sp_markup_put(to, "\"/>\n");
}

static void put_rect(struct sp_markup *to, double x, double y, double width, double height,
                     const char *css) {
  sp_markup_put(to, "<rect x=\"%s\" y=\"%s\" width=\"%s\" height=\"%s\" class=\"%s\"/>\n",
                unit(x).text, unit(y).text, unit(width).text, unit(height).text, css);
}

void sp_plot_bar(struct sp_markup *to, const struct sp_plot *plot, double x_from, double x_to,
                 double y, const char *css) {
  double from = at_x(plot, x_from), up = at_y(plot, clamp(plot->y, y));
  if (!isnan(y)) {
    put_rect(to, from, up, at_x(plot, x_to) - from, plot->height - bottom - up, css);
  }
}

void sp_plot_interval(struct sp_markup *to, const struct sp_plot *plot, double y, double estimate,
                      double low, double high, const char *css) {
  double level = at_y(plot, y);
  if (isfinite(low) && isfinite(high)) {
    double from = at_x(plot, low), until = at_x(plot, high);
    put_line(to, from, level, until, level, css);
    put_line(to, from, level - 5, from, level + 5, css);
    put_line(to, until, level - 5, until, level + 5, css);
  }
  if (isfinite(estimate)) {
    sp_markup_put(to, "<circle cx=\"%s\" cy=\"%s\" r=\"5\" class=\"%s\"/>\n",
                  unit(at_x(plot, estimate)).text, unit(level).text, css);
  }
}

void sp_plot_band(struct sp_markup *to, const struct sp_plot *plot, double x_from, double x_to,
                  const char *css) {
  double from = at_x(plot, clamp(plot->x, x_from)), until = at_x(plot, clamp(plot->x, x_to));
  double lacks = fmax(0, 2 - (until - from));
  put_rect(to, from - lacks / 2, top, until - from + lacks, plot->height - bottom - top, css);
}

void sp_plot_rule_x(struct sp_markup *to, const struct sp_plot *plot, double x, const char *css) {
  if (within(plot->x, x)) {
    put_line(to, at_x(plot, x), top, at_x(plot, x), plot->height - bottom, css);
  }
}

void sp_plot_rule_y(struct sp_markup *to, const struct sp_plot *plot, double y, const char *css) {
  if (within(plot->y, y)) {
    put_line(to, plot->left, at_y(plot, y), plot->width - right, at_y(plot, y), css);
  }
}

void sp_plot_note(struct sp_markup *to, const struct sp_plot *plot, double x, double y, double dx,
                  double dy, const char *anchor, const char *css, const char *words) {
  put_words(to, at_x(plot, clamp(plot->x, x)) + dx, at_y(plot, clamp(plot->y, y)) + dy, anchor, css,
            words);
}

void sp_plot_name_x(struct sp_markup *to, const struct sp_plot *plot, double x, const char *words) {
  put_words(to, at_x(plot, x), plot->height - bottom + 18, "middle", "tick", words);
}

/* About 7 user units a character. */
void sp_plot_name_y(struct sp_markup *to, const struct sp_plot *plot, double y, const char *words) {
  size_t room = (size_t)((plot->left - 8) / 7), len = strlen(words);
  struct sp_text shown = {words, len};
  if (len > room) {
    shown.len = sp_utf8_valid_prefix((struct sp_text){words, room - 1});
  }
  sp_markup_put(to, "<text x=\"%s\" y=\"%s\" text-anchor=\"end\" class=\"name\">",
                unit(plot->left - 8).text, unit(at_y(plot, y) + 4.5).text);
  sp_markup_text(to, shown);
  sp_markup_put(to, "%s</text>\n", len > room ? "\xe2\x80\xa6" : "");
}
