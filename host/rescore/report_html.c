#include "report_html.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report_parts.h"

static const char *unit_name(const struct sp_report *report) {
  return report->options.unit == SP_UNIT_WORD   ? "words"
         : report->options.unit == SP_UNIT_CHAR ? "characters"
                                                : "units";
}

static struct sp_figure interval_text(struct sp_interval interval, bool with_sign) {
  struct sp_figure out;
  if (!isfinite(interval.low) || !isfinite(interval.high)) {
    snprintf(out.text, sizeof out.text, "n/a");
  } else if (with_sign) {
    snprintf(out.text, sizeof out.text, "%.17s to %.17s", sp_signed(100 * interval.low, 2).text,
             sp_signed(100 * interval.high, 2).text);
  } else {
    snprintf(out.text, sizeof out.text, "%.17s to %.17s", sp_percent(interval.low).text,
             sp_percent(interval.high).text);
  }
  return out;
}

static struct sp_figure p_text(double p) {
  struct sp_figure out = sp_fixed(p, 4);
  if (p < 0.0001) {
    snprintf(out.text, sizeof out.text, "&lt; 0.0001");
  }
  return out;
}

static void put_header(struct sp_markup *to, const struct sp_report *report) {
  const struct sp_wer_sum *sum = &report->runs[0]->before.units;
  sp_markup_put(to, "<header>\n<h1>Rescoring report</h1>\n<p class=\"soft\">");
  for (size_t i = 0; i < report->n_files; i++) {
    sp_markup_put(to, "%s<code>", i ? ", " : "");
    sp_markup_string(to, report->files[i].path);
    sp_markup_put(to, "</code>");
  }
  sp_markup_put(to, "<br/>%s utterances, %s hypotheses, %s reference %s",
                sp_grouped(report->utts).text, sp_grouped(report->hyps).text,
                sp_grouped(sp_wer_sum_reference(sum)).text, unit_name(report));
  if (report->n_blocks) {
    sp_markup_put(to, "; resampled by ");
    sp_markup_string(to, report->options.block_by ? report->options.block_by : "speaker");
    sp_markup_put(to, ", %s blocks", sp_grouped(report->n_blocks).text);
  } else {
    sp_markup_put(to, "; resampled by utterance");
  }
  if (report->without_ref) {
    sp_markup_put(to, "; %s utterances without a reference left out",
                  sp_grouped(report->without_ref).text);
  }
  sp_markup_put(to, ".</p>\n</header>\n");
}

static void put_card(struct sp_markup *to, const char *title, const char *value, const char *says) {
  sp_markup_put(to, "<div class=\"card\"><small>%s</small><b>%s</b><small>%s</small></div>\n",
                title, value, says);
}

/* The headline of one run. */
static void put_cards(struct sp_markup *to, const struct sp_report *report,
                      const struct sp_report_run *run) {
  const struct sp_bootstrap *shown = sp_report_interval(report, run);
  double before = sp_wer_sum_rate(&run->before.units), after = sp_wer_sum_rate(&run->after.units);
  double oracle = sp_wer_sum_rate(&report->oracles[sp_oracle_sizes - 1].sum);
  char value[128], says[160];
  sp_markup_put(to, "<div class=\"cards\">\n");
  snprintf(value, sizeof value, "%s \xe2\x86\x92 %s %%", sp_percent(before).text,
           sp_percent(after).text);
  snprintf(says, sizeof says, "first pass \xe2\x86\x92 rescored; 95 %%: %s",
           interval_text(shown->a, false).text);
  put_card(to, sp_report_rate_name(report), value, says);
  snprintf(value, sizeof value, "%s points", sp_signed(sp_report_difference(run), 2).text);
  snprintf(says, sizeof says, "95 %%: %s; relative %s %%",
           interval_text(shown->difference, true).text,
           sp_signed(100 * (after - before) / before, 1).text);
  put_card(to, "Difference", value, says);
  snprintf(value, sizeof value, "p %s%s", run->test.p < 0.0001 ? "" : "= ",
           p_text(run->test.p).text);
  snprintf(says, sizeof says, "matched pairs (MAPSSWE), %s segments; P(better) %s",
           sp_grouped(run->test.segments).text, sp_fixed(shown->better, 4).text);
  put_card(to, "Significance", value, says);
  double closed = 100 * (before - after) / (before - oracle);
  snprintf(value, sizeof value, "%s %%",
           closed < 0 ? sp_signed(closed, 1).text : sp_fixed(closed, 1).text);
  snprintf(says, sizeof says, "of the way from the first pass to the oracle, %s %%",
           sp_percent(oracle).text);
  put_card(to, "Oracle gap closed", value, says);
  sp_markup_put(to, "</div>\n");
}

static void put_sums(struct sp_markup *to, const struct sp_wer_totals *totals,
                     struct sp_interval interval) {
  const struct sp_wer_sum *sum = &totals->units;
  double wrong = (double)totals->wrong_utts / (double)totals->utts;
  sp_markup_put(to, "<td>%s</td><td>%s</td>", sp_percent(sp_wer_sum_rate(sum)).text,
                interval_text(interval, false).text);
  sp_markup_put(to, "<td>%s</td><td>%s</td><td>%s</td><td>%s</td>",
                sp_grouped(sp_wer_sum_errors(sum)).text, sp_grouped(sum->substitutions).text,
                sp_grouped(sum->deletions).text, sp_grouped(sum->insertions).text);
  sp_markup_put(to, "<td>%s</td><td>%s</td>", sp_percent(sp_wer_sum_rate(&totals->chars)).text,
                sp_percent(wrong).text);
}

static void put_comparison(struct sp_markup *to, const struct sp_report *report,
                           const struct sp_report_run *run) {
  const struct sp_bootstrap *shown = sp_report_interval(report, run);
  sp_markup_put(to, "<tr><th scope=\"row\">");
  sp_markup_string(to, run->name);
  sp_markup_put(to, "</th>");
  put_sums(to, &run->after, shown->a);
  sp_markup_put(to, "<td>%s</td><td>%s</td><td>%s</td>",
                sp_signed(sp_report_difference(run), 2).text,
                interval_text(shown->difference, true).text, p_text(run->test.p).text);
  if (report->n_runs > 1) {
    sp_markup_put(to, "<td>%s</td>", p_text(run->holm_p).text);
  }
  sp_markup_put(to, "<td>%s</td></tr>\n", sp_fixed(shown->better, 4).text);
}

static void put_table(struct sp_markup *to, const struct sp_report *report) {
  const char *rate = sp_report_rate_name(report);
  bool several = report->n_runs > 1;
  sp_markup_put(to,
                "<div class=\"wide\"><table>\n<thead><tr><th>system</th><th>%s %%</th><th>95 %%"
                "</th><th>errors</th><th>sub</th><th>del</th><th>ins</th><th>CER %%</th>"
                "<th>SER %%</th><th>difference</th><th>95 %%</th><th>MAPSSWE p</th>%s"
                "<th>P(better)</th></tr></thead>\n<tbody>\n<tr><th scope=\"row\">first pass</th>",
                rate, several ? "<th>p, Holm</th>" : "");
  put_sums(to, &report->runs[0]->before, sp_report_interval(report, report->runs[0])->b);
  sp_markup_put(to, "<td></td><td></td><td></td>%s<td></td></tr>\n", several ? "<td></td>" : "");
  for (size_t i = 0; i < report->n_runs; i++) {
    put_comparison(to, report, report->runs[i]);
  }
  sp_markup_put(to,
                "</tbody></table></div>\n<p class=\"says\">Errors as sclite counts them. Intervals "
                "are percentile bootstrap; the difference is the system minus the first pass, in "
                "points. MAPSSWE is the two-tailed matched-pair test%s; P(better) the share of "
                "bootstrap draws in which the system has the lower rate.</p>\n",
                several ? ", also corrected for the number of systems (Holm)" : "");
}

/* "+ 0.35 pll"; a factor of 1 is not written, nor a plus sign at the beginning. */
static void put_term(struct sp_markup *to, bool first, double factor, const char *name) {
  bool one = fabs(factor) == 1;
  sp_markup_put(to, "%s%s%s",
                factor < 0 ? "\xe2\x88\x92 "
                : first    ? ""
                           : "+ ",
                one ? "" : sp_digits(fabs(factor)).text, one ? "" : " ");
  sp_markup_string(to, name);
}

/* "total = score + 0.35 pll" */
static void put_formula(struct sp_markup *to, const struct sp_combination *combination) {
  const struct sp_named_weights *first = &combination->first, *second = &combination->second;
  double sum = 0;
  for (size_t k = 0; k < second->n; k++) {
    sum += second->items[k].value;
  }
  bool convex = combination->kind == SP_COMBINE_CONVEX && first->n > 0;
  sp_markup_put(to, "<code>total = ");
  if (convex) {
    sp_markup_put(to, "%s (", sp_digits(1 - sum).text);
  }
  for (size_t c = 0; c < first->n; c++) {
    sp_markup_put(to, "%s", c > 0 ? " " : "");
    put_term(to, c == 0, first->items[c].value, first->items[c].name);
  }
  sp_markup_put(to, "%s", convex ? ")" : "");
  for (size_t k = 0; k < second->n; k++) {
    bool begins = k == 0 && first->n == 0;
    sp_markup_put(to, "%s", begins ? "" : " ");
    put_term(to, begins, second->items[k].value, second->items[k].name);
    sp_markup_put(to, "%s", combination->norm == SP_NORM_NONE ? "" : "/length");
  }
  if (combination->bonus != 0) {
    sp_markup_put(to, " ");
    put_term(to, false, combination->bonus, "words");
  }
  sp_markup_put(to, "</code>");
}

static void put_scores(struct sp_markup *to, const struct sp_report_run *run) {
  sp_markup_put(to,
                "<div class=\"wide\"><table>\n<thead><tr><th>score</th><th>weight</th>"
                "<th>hypotheses</th><th>null</th><th>missing</th><th>from</th></tr></thead>\n"
                "<tbody>\n");
  for (size_t k = 0; k < run->combination.second.n; k++) {
    const struct sp_report_score *score = &run->scores[k];
    sp_markup_put(to, "<tr><th scope=\"row\">");
    sp_markup_string(to, score->name);
    sp_markup_put(to, "</th><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td><code>",
                  sp_digits(score->weight).text, sp_grouped(score->hyps).text,
                  sp_grouped(score->nulls).text, sp_grouped(score->missing).text);
    sp_markup_string(to, score->path);
    sp_markup_put(to, "</code>%s</td></tr>\n",
                  score->other_input ? "<br/>made from other files than this archive" : "");
  }
  sp_markup_put(to, "</tbody></table></div>\n");
}

static void put_speed(struct sp_markup *to, const struct sp_report_run *run) {
  if (run->hyps_per_second > 0) {
    sp_markup_put(to, "<p>Scored in %s s, %s hypotheses a second.</p>\n",
                  sp_digits(run->seconds).text, sp_digits(run->hyps_per_second).text);
  }
}

static void put_facts(struct sp_markup *to, const struct sp_report_run *run) {
  sp_markup_put(to, "<h3>How it was made</h3>\n");
  put_speed(to, run);
  put_scores(to, run);
  sp_markup_put(to, "<p><code>");
  sp_markup_string(to, run->signature.data);
  sp_markup_put(to, "</code></p>\n");
  if (run->facts.n > 0) {
    sp_markup_put(to,
                  "<details><summary>Configuration of the scores</summary><div class=\"wide\">"
                  "<table class=\"facts\">\n<tbody>\n");
    for (size_t i = 0; i < run->facts.n; i++) {
      sp_markup_put(to, "<tr><th scope=\"row\">");
      sp_markup_string(to, run->facts.items[i].name);
      sp_markup_put(to, "</th><td><code>");
      sp_markup_string(to, run->facts.items[i].value);
      sp_markup_put(to, "</code></td></tr>\n");
    }
    sp_markup_put(to, "</tbody></table></div></details>\n");
  }
}

static void put_run(struct sp_markup *to, const struct sp_report *report,
                    const struct sp_report_run *run) {
  sp_markup_put(to, "<section>\n<h2>");
  sp_markup_string(to, run->name);
  sp_markup_put(to, "</h2>\n<p>");
  put_formula(to, &run->combination);
  sp_markup_put(to,
                "</p>\n<p class=\"soft\">Another best hypothesis in %s of %s utterances: fewer "
                "errors in %s, more in %s, as many in %s.",
                sp_grouped(run->changed).text, sp_grouped(report->utts).text,
                sp_grouped(run->better_utts).text, sp_grouped(run->worse_utts).text,
                sp_grouped(run->changed - run->better_utts - run->worse_utts).text);
  if (run->nulls > 0) {
    sp_markup_put(to, " %s hypotheses without a total rank last.", sp_grouped(run->nulls).text);
  }
  sp_markup_put(to, "</p>\n");
  if (report->n_runs > 1) {
    put_cards(to, report, run);
  }
  sp_markup_put(to, "<div class=\"charts\">\n");
  sp_report_weight_curves(to, report, run);
  sp_report_lengths(to, report, run);
  sp_report_margins(to, report, run);
  sp_report_scatters(to, run);
  sp_markup_put(to, "</div>\n");
  sp_report_examples(to, report, run);
  put_facts(to, run);
  sp_markup_put(to, "</section>\n");
}

static void put_footer(struct sp_markup *to, const struct sp_report *report) {
  sp_markup_put(to, "<section>\n<h2>How it was counted</h2>\n<p><code>");
  sp_markup_string(to, report->signature);
  sp_markup_put(to, "</code></p>\n<div class=\"wide\"><table class=\"facts\">\n<tbody>\n");
  for (size_t i = 0; i < report->n_files; i++) {
    sp_markup_put(to, "<tr><th scope=\"row\">archive</th><td><code>");
    sp_markup_string(to, report->files[i].path);
    sp_markup_put(to, "</code><br/>%s bytes, xxh128 <code>",
                  sp_grouped(report->files[i].digest.bytes).text);
    sp_markup_string(to, report->files[i].digest.xxh128);
    sp_markup_put(to, "</code></td></tr>\n");
  }
  sp_markup_put(to,
                "</tbody></table></div>\n<p class=\"says\">The weight curve and list oracles go by "
                "least edit distance; an alignment as sclite makes it can have an error more. "
                "Secondpass %s.</p>\n</section>\n",
                SP_VERSION);
}

enum sp_status sp_report_html(const struct sp_report *report, struct sp_buf *out,
                              struct sp_error *err) {
  struct sp_markup markup = {.out = out, .err = err, .status = SP_OK}, *to = &markup;
  sp_markup_put(to,
                "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
                "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\n"
                "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                "style-src 'unsafe-inline'\"/>\n<title>Rescoring report</title>\n<style>\n%s"
                "</style>\n</head>\n<body>\n<main>\n",
                sp_report_style);
  put_header(to, report);
  if (report->n_runs == 1) {
    put_cards(to, report, report->runs[0]);
  }
  put_table(to, report);
  sp_markup_put(to, "<div class=\"charts\">\n");
  sp_markup_put(to, "<div class=\"stack\">\n");
  sp_report_intervals(to, report);
  sp_markup_put(to, "</div>\n");
  sp_report_oracles(to, report);
  sp_markup_put(to, "</div>\n");
  for (size_t i = 0; i < report->n_runs; i++) {
    put_run(to, report, report->runs[i]);
  }
  put_footer(to, report);
  sp_markup_put(to, "</main>\n</body>\n</html>\n");
  return markup.status;
}
