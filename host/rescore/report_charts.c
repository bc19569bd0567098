/* report_charts.c - a report's error rates as pictures. */
#include <math.h>
#include <stdio.h>

#include "report_parts.h"
#include "report_svg.h"

static const double wide = sp_chart_wide, high = 300;

void sp_figure_begin(struct sp_markup *to, const char *title, const char *says) {
  sp_markup_put(to, "<figure>\n<figcaption><h3>%s</h3><p>%s</p></figcaption>\n", title, says);
}

void sp_figure_end(struct sp_markup *to) {
  sp_markup_put(to, "</figure>\n");
}

void sp_figure_key(struct sp_markup *to, const char *mark, const char *says) {
  sp_markup_put(to, "<li><svg viewBox=\"0 0 18 12\" aria-hidden=\"true\">%s</svg>%s</li>\n", mark,
                says);
}

static void key_bars(struct sp_markup *to) {
  sp_markup_put(to, "<ul class=\"keys\">\n");
  sp_figure_key(to, "<rect x=\"2\" y=\"1\" width=\"14\" height=\"10\" class=\"before\"/>",
                "first pass");
  sp_figure_key(to, "<rect x=\"2\" y=\"1\" width=\"14\" height=\"10\" class=\"after\"/>",
                "rescored");
  sp_markup_put(to, "</ul>\n");
}

static double percent(uint64_t errors, uint64_t ref) {
  return ref > 0 ? 100.0 * (double)errors / (double)ref : NAN;
}

/* Rates with their intervals, a row a system. */
static void level_intervals(struct sp_markup *to, const struct sp_report *report) {
  const struct sp_report_run *top = report->runs[0];
  const struct sp_interval first = sp_report_interval(report, top)->b;
  double before = 100 * sp_wer_sum_rate(&top->before.units);
  struct sp_range x = SP_RANGE_EMPTY;
  sp_range_add(&x, before);
  sp_range_add(&x, 100 * first.low);
  sp_range_add(&x, 100 * first.high);
  for (size_t i = 0; i < report->n_runs; i++) {
    const struct sp_interval mine = sp_report_interval(report, report->runs[i])->a;
    sp_range_add(&x, 100 * mine.low);
    sp_range_add(&x, 100 * mine.high);
    sp_range_add(&x, 100 * sp_wer_sum_rate(&report->runs[i]->after.units));
  }
  char label[32];
  double n = (double)report->n_runs;
  snprintf(label, sizeof label, "%s (%%)", sp_report_rate_name(report));
  struct sp_plot plot = {.x = sp_range_pad(x, 0.08),
                         .y = {-n - 0.5, 0.5},
                         .title = "Error rates with 95 % intervals",
                         .x_label = label,
                         .width = wide,
                         .height = 110 + 40 * n,
                         .left = 120,
                         .no_y_ticks = true};
  sp_plot_begin(to, &plot);
  sp_plot_name_y(to, &plot, 0, "first pass");
  sp_plot_interval(to, &plot, 0, before, 100 * first.low, 100 * first.high, "before");
  sp_plot_note(to, &plot, before, 0, 0, -10, "middle", "value", sp_fixed(before, 2).text);
  for (size_t i = 0; i < report->n_runs; i++) {
    const struct sp_report_run *run = report->runs[i];
    const struct sp_interval mine = sp_report_interval(report, run)->a;
    double rate = 100 * sp_wer_sum_rate(&run->after.units), y = -1 - (double)i;
    sp_plot_name_y(to, &plot, y, run->name);
    sp_plot_interval(to, &plot, y, rate, 100 * mine.low, 100 * mine.high, "after");
    sp_plot_note(to, &plot, rate, y, 0, -10, "middle", "value", sp_fixed(rate, 2).text);
  }
  sp_plot_end(to);
}

/* Paired differences against no difference, a row a system. */
static void difference_intervals(struct sp_markup *to, const struct sp_report *report) {
  struct sp_range x = SP_RANGE_EMPTY;
  sp_range_add(&x, 0);
  for (size_t i = 0; i < report->n_runs; i++) {
    const struct sp_interval mine = sp_report_interval(report, report->runs[i])->difference;
    sp_range_add(&x, 100 * mine.low);
    sp_range_add(&x, 100 * mine.high);
    sp_range_add(&x, sp_report_difference(report->runs[i]));
  }
  char label[64];
  double n = (double)report->n_runs;
  snprintf(label, sizeof label, "difference in %s (points); left of 0 is better",
           sp_report_rate_name(report));
  struct sp_plot plot = {.x = sp_range_pad(x, 0.08),
                         .y = {-n + 0.5, 0.5},
                         .title = "Differences with 95 % intervals",
                         .x_label = label,
                         .width = wide,
                         .height = 110 + 40 * n,
                         .left = 120,
                         .no_y_ticks = true};
  sp_plot_begin(to, &plot);
  sp_plot_rule_x(to, &plot, 0, "zero");
  for (size_t i = 0; i < report->n_runs; i++) {
    const struct sp_report_run *run = report->runs[i];
    const struct sp_interval mine = sp_report_interval(report, run)->difference;
    double at = sp_report_difference(run), y = -(double)i;
    sp_plot_name_y(to, &plot, y, run->name);
    sp_plot_interval(to, &plot, y, at, 100 * mine.low, 100 * mine.high, "after");
    sp_plot_note(to, &plot, at, y, 0, -10, "middle", "value", sp_signed(at, 2).text);
  }
  sp_plot_end(to);
}

void sp_report_intervals(struct sp_markup *to, const struct sp_report *report) {
  sp_figure_begin(to, "Before and after",
                  "Each rate alone, with its 95 % bootstrap interval. Intervals overlap because "
                  "speech varies; that says little about the difference.");
  level_intervals(to, report);
  sp_figure_end(to);
  sp_figure_begin(to, "The difference",
                  "Both systems on the same draws, which takes out what varies for both. An "
                  "interval clear of 0 is more than chance would do in 95 of 100 such test sets.");
  difference_intervals(to, report);
  sp_figure_end(to);
}

static bool oracle_shown(const struct sp_report *report, size_t i) {
  return report->oracles[i].size < report->longest; /* size 0, all, as well */
}

/* A line at the rate of the best run, with its value. */
static void oracle_rule(struct sp_markup *to, const struct sp_report *report,
                        const struct sp_plot *plot) {
  double best = INFINITY;
  for (size_t i = 0; i < report->n_runs; i++) {
    best = fmin(best, 100 * sp_wer_sum_rate(&report->runs[i]->after.units));
  }
  char words[96];
  snprintf(words, sizeof words, "%s %s", report->n_runs > 1 ? "best rescored" : "rescored",
           sp_fixed(best, 2).text);
  sp_plot_rule_y(to, plot, best, "chosen");
  sp_plot_note(to, plot, plot->x.hi, best, 0, -5, "end", "value", words);
}

void sp_report_oracles(struct sp_markup *to, const struct sp_report *report) {
  struct sp_plot plot = {.x = {-0.6, -0.4},
                         .y = {0, 0},
                         .title = "Oracle error rate by list size",
                         .x_label = "hypotheses of the list that may be chosen",
                         .width = wide,
                         .height = high,
                         .left = 48,
                         .no_x_ticks = true};
  char label[48];
  snprintf(label, sizeof label, "oracle %s (%%)", sp_report_rate_name(report));
  plot.y_label = label;
  for (size_t i = 0; i < sp_oracle_sizes; i++) {
    plot.x.hi += oracle_shown(report, i);
    plot.y.hi = fmax(plot.y.hi, 108 * sp_wer_sum_rate(&report->oracles[i].sum));
  }
  for (size_t i = 0; i < report->n_runs; i++) {
    plot.y.hi = fmax(plot.y.hi, 108 * sp_wer_sum_rate(&report->runs[i]->after.units));
  }
  plot.y.hi = plot.y.hi > 0 ? plot.y.hi : 1;
  plot.x.hi += 0.2;
  sp_figure_begin(to, "What the lists allow",
                  "Error rate if the best of the first N hypotheses were always chosen. The gap "
                  "below the line is still open to a better second pass; below the last bar, only "
                  "longer lists or a better first pass help.");
  sp_plot_begin(to, &plot);
  double x = 0;
  for (size_t i = 0; i < sp_oracle_sizes; i++) {
    const struct sp_oracle *oracle = &report->oracles[i];
    double rate = 100 * sp_wer_sum_rate(&oracle->sum);
    char name[32];
    if (!oracle_shown(report, i)) {
      continue;
    }
    snprintf(name, sizeof name, oracle->size ? "%zu" : "all (%zu)",
             oracle->size ? oracle->size : report->longest);
    sp_plot_bar(to, &plot, x - 0.36, x + 0.36, rate, "before");
    sp_plot_name_x(to, &plot, x, name);
    bool room = rate > 0.1 * plot.y.hi;
    sp_plot_note(to, &plot, x, rate, 0, room ? 17 : -6, "middle", room ? "onbar" : "value",
                 sp_fixed(rate, 2).text);
    x++;
  }
  oracle_rule(to, report, &plot);
  sp_plot_end(to);
  sp_figure_end(to);
}

static void curve_says(struct sp_markup *to, const struct sp_report_curve *curve, uint64_t ref) {
  sp_markup_put(to, "<ul class=\"keys\">\n");
  sp_figure_key(to, "<line x1=\"9\" y1=\"0\" x2=\"9\" y2=\"12\" class=\"chosen\"/>",
                "chosen weight");
  sp_figure_key(to, "<rect x=\"2\" y=\"0\" width=\"14\" height=\"12\" class=\"band\"/>",
                "as many errors as there");
  sp_figure_key(to, "<circle cx=\"9\" cy=\"6\" r=\"4\" class=\"best\"/>", "best on this archive");
  sp_figure_key(to, "<line x1=\"0\" y1=\"6\" x2=\"18\" y2=\"6\" class=\"first\"/>", "first pass");
  sp_markup_put(
      to,
      "</ul>\n<p class=\"says\">Chosen %s: %s %%, %s errors, the same from %s to %s. Best "
      "here, in hindsight, %s: %s %%, %s errors.</p>\n",
      sp_digits(curve->weight).text, sp_fixed(percent(curve->errors, ref), 2).text,
      sp_grouped(curve->errors).text, sp_digits(curve->equal.from).text,
      sp_digits(curve->equal.to).text, sp_digits(curve->best.weight).text,
      sp_fixed(percent(curve->best.errors, ref), 2).text, sp_grouped(curve->best.errors).text);
}

static void weight_curve(struct sp_markup *to, const struct sp_report *report,
                         const struct sp_report_run *run, const struct sp_report_curve *curve) {
  double rates[sp_curve_samples], first = percent(sp_wer_sum_errors(&run->before.units),
                                                  sp_wer_sum_reference(&run->before.units));
  struct sp_range y = SP_RANGE_EMPTY;
  for (int i = 0; i < sp_curve_samples; i++) {
    rates[i] = percent(curve->at_errors[i], run->curve_ref);
    sp_range_add(&y, rates[i]);
  }
  double best = percent(curve->best.errors, run->curve_ref);
  sp_range_add(&y, first);
  sp_range_add(&y, best);
  char x_label[sp_score_name_max + 32], y_label[32], title[sp_score_name_max + 64];
  snprintf(x_label, sizeof x_label, "%s%s", curve->is_bonus ? "" : "weight of ", curve->name);
  snprintf(title, sizeof title, "Error rate against %s", x_label);
  snprintf(y_label, sizeof y_label, "%s (%%)", sp_report_rate_name(report));
  struct sp_plot plot = {.x = {curve->lo, curve->hi},
                         .y = sp_range_pad(y, 0.06),
                         .title = title,
                         .x_label = x_label,
                         .y_label = y_label,
                         .width = wide,
                         .height = high,
                         .left = 52};
  sp_figure_begin(to, title, /* names have letters and digits alone */
                  "All other weights held. A broad valley is a weight that will do on other data; "
                  "a lone dip is chance.");
  sp_plot_begin(to, &plot);
  sp_plot_band(to, &plot, curve->equal.from, curve->equal.to, "band");
  sp_plot_rule_y(to, &plot, first, "first");
  sp_plot_rule_x(to, &plot, curve->weight, "chosen");
  sp_plot_line(to, &plot, curve->at, rates, sp_curve_samples, "curve");
  sp_plot_marks_begin(to, "best");
  sp_plot_mark(to, &plot, curve->best.weight, best, SP_MARK_RING);
  sp_plot_marks_end(to);
  sp_plot_end(to);
  curve_says(to, curve, run->curve_ref);
  sp_figure_end(to);
}

void sp_report_weight_curves(struct sp_markup *to, const struct sp_report *report,
                             const struct sp_report_run *run) {
  for (size_t i = 0; i < run->n_curves; i++) {
    weight_curve(to, report, run, &run->curves[i]);
  }
}

/* An end of a group: lengths are whole, margins have two digits' room in a chart. */
static struct sp_figure edge_text(double edge, bool lengths) {
  return lengths ? sp_fixed(edge, 0) : sp_digits(edge);
}

static struct sp_figure group_name(const struct sp_bin_group *group, bool lengths) {
  struct sp_figure from = edge_text(group->from, lengths), to = edge_text(group->to, lengths), name;
  if (lengths && group->to == group->from) {
    name = from;
  } else if (isinf(group->to)) {
    snprintf(name.text, sizeof name.text, "\xe2\x89\xa5 %.24s", from.text);
  } else if (isinf(group->from)) {
    snprintf(name.text, sizeof name.text, "\xe2\x89\xa4 0");
  } else {
    snprintf(name.text, sizeof name.text, "%.16s\xe2\x80\x93%.16s", from.text, to.text);
  }
  return name;
}

/* Lengths are named below their bars, margins and lengths of three digits, which would run into each
 * other, by the edges between groups. */
static void name_groups(struct sp_markup *to, const struct sp_plot *plot,
                        const struct sp_bin_group *groups, size_t n, bool lengths) {
  bool by_edges = !lengths || groups[n - 1].to >= 100;
  for (size_t g = 0; g < n; g++) {
    double x = (double)g;
    if (!by_edges || isinf(groups[g].from)) {
      sp_plot_name_x(to, plot, x, group_name(&groups[g], lengths).text);
    } else if (groups[g].from > 0 || g == 0) { /* 0 stands at the group before */
      sp_plot_name_x(to, plot, x - 0.5, edge_text(groups[g].from, lengths).text);
    }
  }
  if (by_edges && isfinite(groups[n - 1].to)) {
    sp_plot_name_x(to, plot, (double)n - 0.5, edge_text(groups[n - 1].to, lengths).text);
  }
}

static void group_table(struct sp_markup *to, const struct sp_bin_group *groups, size_t n,
                        const char *what, bool lengths) {
  sp_markup_put(to,
                "<details><summary>Numbers</summary><div class=\"wide\"><table>\n<thead><tr>"
                "<th>%s</th><th>utterances</th><th>reference</th><th>first pass %%</th>"
                "<th>rescored %%</th><th>difference</th></tr></thead>\n<tbody>\n",
                what);
  for (size_t g = 0; g < n; g++) {
    const struct sp_bin *sum = &groups[g].sum;
    double before = percent(sum->before, sum->ref), after = percent(sum->after, sum->ref);
    sp_markup_put(
        to, "<tr><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>\n",
        group_name(&groups[g], lengths).text, sp_grouped(sum->utts).text, sp_grouped(sum->ref).text,
        sp_fixed(before, 2).text, sp_fixed(after, 2).text, sp_signed(after - before, 2).text);
  }
  sp_markup_put(to, "</tbody></table></div></details>\n");
}

/* Two bars a group, and their numbers in a table. */
static void grouped_bars(struct sp_markup *to, const struct sp_report *report,
                         const struct sp_bin_group *groups, size_t n, const char *what,
                         bool lengths) {
  char y_label[32];
  snprintf(y_label, sizeof y_label, "%s (%%)", sp_report_rate_name(report));
  struct sp_plot plot = {.x = {-0.6, (double)n - 0.4},
                         .title = what,
                         .x_label = what,
                         .y_label = y_label,
                         .width = wide,
                         .height = high,
                         .left = 48,
                         .no_x_ticks = true};
  for (size_t g = 0; g < n; g++) {
    const struct sp_bin *sum = &groups[g].sum;
    if (sum->ref > 0) {
      plot.y.hi = fmax(plot.y.hi, 106 * (double)sum->before / (double)sum->ref);
      plot.y.hi = fmax(plot.y.hi, 106 * (double)sum->after / (double)sum->ref);
    }
  }
  plot.y.hi = plot.y.hi > 0 ? plot.y.hi : 1;
  sp_plot_begin(to, &plot);
  for (size_t g = 0; g < n; g++) {
    const struct sp_bin *sum = &groups[g].sum;
    double x = (double)g;
    sp_plot_bar(to, &plot, x - 0.38, x - 0.01, percent(sum->before, sum->ref), "before");
    sp_plot_bar(to, &plot, x + 0.01, x + 0.38, percent(sum->after, sum->ref), "after");
  }
  name_groups(to, &plot, groups, n, lengths);
  sp_plot_end(to);
  key_bars(to);
  group_table(to, groups, n, what, lengths);
}

void sp_report_lengths(struct sp_markup *to, const struct sp_report *report,
                       const struct sp_report_run *run) {
  struct sp_bin_group groups[sp_group_max];
  size_t n = sp_length_groups(&run->histogram, groups);
  sp_figure_begin(to, "By utterance length",
                  "Groups hold about as much reference each. Short utterances give a language "
                  "model little to go on.");
  grouped_bars(to, report, groups, n,
               report->options.unit == SP_UNIT_CHAR   ? "characters of the reference"
               : report->options.unit == SP_UNIT_WORD ? "words of the reference"
                                                      : "units of the reference",
               true);
  sp_figure_end(to);
}

void sp_report_margins(struct sp_markup *to, const struct sp_report *report,
                       const struct sp_report_run *run) {
  struct sp_bin_group groups[sp_group_max];
  size_t n = sp_margin_groups(&run->histogram, groups);
  if (n == 0) {
    return;
  }
  sp_figure_begin(to, "By first-pass margin",
                  "Score of rank 1 minus that of rank 2. Where the first pass was sure, on the "
                  "right, there should be little to gain and nothing to lose.");
  grouped_bars(to, report, groups, n, "first-pass margin (score units)", false);
  if (run->histogram.no_margin.utts > 0) {
    sp_markup_put(to,
                  "<p class=\"says\">%s utterances without two first-pass scores left out.</p>\n",
                  sp_grouped(run->histogram.no_margin.utts).text);
  }
  sp_figure_end(to);
}
