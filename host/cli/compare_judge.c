/* compare_judge.c - thresholds, and the numbers that a night leaves behind. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "compare_report.h"
#include "output.h"

void sp_compare_report_release(struct sp_compare_report *report) {
  json_decref(report->identity);
  sp_buf_release(&report->ranking);
  sp_buf_release(&report->beyond);
  sp_wer_report_release(&report->wer);
  free(report->drifts);
}

double sp_compare_wer_increase(const struct sp_compare_report *report) {
  if (!report->has_wer) {
    return NAN;
  }
  const struct sp_wer *wer = report->wer.wer;
  return 100 * (sp_wer_sum_rate(&sp_wer_get_totals(wer, 0)->units) -
                sp_wer_sum_rate(&sp_wer_get_totals(wer, 1)->units));
}

double sp_compare_changed_percent(const struct sp_compare_report *report) {
  const struct sp_compare_result *result = &report->result;
  return result->utts ? 100.0 * (double)result->changed_best / (double)result->utts : 0;
}

const char *sp_drift_kind_name(enum sp_drift_kind kind) {
  return kind == SP_DRIFT_OUTSIDE ? "outside" : kind == SP_DRIFT_RISING ? "rising" : "falling";
}

/* ---- thresholds ---- */

static enum sp_status put_differing(struct sp_buf *out, enum sp_method method, const char *what,
                                    const struct sp_difference_summary *summary,
                                    struct sp_error *err) {
  return summary->differ == 0
             ? SP_OK
             : sp_buf_printf(out, err, "%s: %s of %s %s differ\n", sp_method_key(method),
                             sp_number(summary->differ).text, sp_number(summary->compared).text,
                             what);
}

static enum sp_status judge_bits(const struct sp_compare_report *report, struct sp_buf *out,
                                 struct sp_error *err) {
  const struct sp_compare_result *result = &report->result;
  for (size_t i = 0; i < result->n_methods; i++) {
    const struct sp_compare_method *method = &result->methods[i];
    SP_TRY(put_differing(out, method->method, "scores", &method->hyps, err));
    SP_TRY(put_differing(out, method->method, "per-token values", &method->tokens, err));
  }
  if (result->counts_differ > 0) {
    SP_TRY(sp_buf_printf(out, err, "token counts of %s differ\n",
                         sp_count_of(result->counts_differ, "hypothesis", "hypotheses").text));
  }
  if (result->flags_differ > 0) {
    SP_TRY(sp_buf_printf(out, err, "flags of %s differ\n",
                         sp_count_of(result->flags_differ, "hypothesis", "hypotheses").text));
  }
  return SP_OK;
}

static enum sp_status judge_largest(const struct sp_compare_report *report, double limit,
                                    struct sp_buf *out, struct sp_error *err) {
  for (size_t i = 0; i < report->result.n_methods; i++) {
    const struct sp_compare_method *method = &report->result.methods[i];
    const char *name = sp_method_key(method->method);
    if (!(method->hyps.largest <= limit)) {
      SP_TRY(sp_buf_printf(out, err, "%s: scores differ by up to %.6g (--max-diff %g)\n", name,
                           method->hyps.largest, limit));
    }
    if (!(method->tokens.largest <= limit)) {
      SP_TRY(sp_buf_printf(out, err, "%s: per-token values differ by up to %.6g (--max-diff %g)\n",
                           name, method->tokens.largest, limit));
    }
  }
  return SP_OK;
}

static enum sp_status judge_nulls(const struct sp_compare_report *report, double limit,
                                  struct sp_buf *out, struct sp_error *err) {
  for (size_t i = 0; i < report->result.n_methods; i++) {
    const struct sp_difference_summary *hyps = &report->result.methods[i].hyps;
    const struct sp_difference_summary *tokens = &report->result.methods[i].tokens;
    uint64_t appeared = hyps->nulls_appeared + tokens->nulls_appeared;
    uint64_t vanished = hyps->nulls_vanished + tokens->nulls_vanished;
    if (!((double)(appeared + vanished) <= limit)) {
      SP_TRY(sp_buf_printf(out, err, "%s: %s appeared, %s vanished (--max-nulls %g)\n",
                           sp_method_key(report->result.methods[i].method),
                           sp_count_of(appeared, "null", "nulls").text, sp_number(vanished).text,
                           limit));
    }
  }
  return SP_OK;
}

/* A limit that is NaN was not asked for; a value that is NaN is never within one. */
static bool is_beyond(double value, double limit) {
  return !isnan(limit) && !(value <= limit);
}

static enum sp_status judge_effect(const struct sp_compare_report *report,
                                   const struct sp_compare_limits *limits, struct sp_buf *out,
                                   struct sp_error *err) {
  double changed = sp_compare_changed_percent(report);
  double increase = sp_compare_wer_increase(report);
  double slowdown = sp_run_slowdown(&report->speed_a, &report->speed_b);
  if (is_beyond(changed, limits->changed_best)) {
    SP_TRY(sp_buf_printf(out, err,
                         "%.4g %% of the utterances have another best hypothesis "
                         "(--max-changed-best %g)\n",
                         changed, limits->changed_best));
  }
  if (is_beyond(increase, limits->wer_increase)) {
    SP_TRY(sp_buf_printf(out, err, "%s is %.4g points higher (--max-wer-increase %g)\n",
                         report->wer.rate, increase, limits->wer_increase));
  }
  if (is_beyond(slowdown, limits->slowdown)) {
    SP_TRY(isnan(slowdown)
               ? sp_buf_printf(out, err, "the summaries record no speed (--max-slowdown %g)\n",
                               limits->slowdown)
               : sp_buf_printf(out, err, "%.4g %% slower (--max-slowdown %g)\n", slowdown,
                               limits->slowdown));
  }
  return SP_OK;
}

enum sp_status sp_compare_judge(struct sp_compare_report *report,
                                const struct sp_compare_limits *limits, bool fail_on_drift,
                                struct sp_error *err) {
  struct sp_buf *out = &report->beyond;
  SP_TRY(limits->diff == 0 ? judge_bits(report, out, err)
                           : judge_largest(report, limits->diff, out, err));
  SP_TRY(judge_nulls(report, limits->nulls, out, err));
  SP_TRY(judge_effect(report, limits, out, err));
  for (size_t i = 0; fail_on_drift && i < report->n_drifts; i++) {
    SP_TRY(sp_buf_printf(out, err, "%s drifts: %s (--fail-on-drift)\n", report->drifts[i].name,
                         sp_drift_kind_name(report->drifts[i].kind)));
  }
  return SP_OK;
}

/* ---- the night's numbers ---- */

static enum sp_status add(struct sp_history_line *line, const char *prefix, const char *name,
                          double value, struct sp_error *err) {
  char full[sizeof line->numbers[0].name];
  snprintf(full, sizeof full, "%s%s%s", prefix, *prefix ? "." : "", name);
  return sp_history_add(line, full, value, err);
}

static enum sp_status add_summary(struct sp_history_line *line, const char *prefix,
                                  const struct sp_difference_summary *summary,
                                  struct sp_error *err) {
  SP_TRY(add(line, prefix, "compared", (double)summary->compared, err));
  SP_TRY(add(line, prefix, "differ", (double)summary->differ, err));
  SP_TRY(add(line, prefix, "largest", summary->largest, err));
  SP_TRY(add(line, prefix, "mean", summary->mean, err));
  for (int q = 0; q < sp_difference_levels; q++) {
    SP_TRY(add(line, prefix, sp_difference_level_name[q], summary->quantiles[q], err));
  }
  SP_TRY(add(line, prefix, "nulls_appeared", (double)summary->nulls_appeared, err));
  return add(line, prefix, "nulls_vanished", (double)summary->nulls_vanished, err);
}

static enum sp_status add_method(struct sp_history_line *line,
                                 const struct sp_compare_method *method, struct sp_error *err) {
  const char *key = sp_method_key(method->method);
  SP_TRY(add_summary(line, key, &method->hyps, err));
  SP_TRY(add(line, key, "changed_best", (double)method->changed_best, err));
  return method->has_tokens
             ? add_summary(line, sp_method_token_key(method->method), &method->tokens, err)
             : SP_OK;
}

static enum sp_status add_wer(struct sp_compare_report *report, struct sp_error *err) {
  static const char *const names[2] = {"wer_b", "wer_a"}; /* systems of the WER's report */
  for (size_t s = 0; report->has_wer && s < 2; s++) {
    const struct sp_wer_totals *totals = sp_wer_get_totals(report->wer.wer, s);
    SP_TRY(add(&report->line, "", names[s], 100 * sp_wer_sum_rate(&totals->units), err));
  }
  return SP_OK;
}

enum sp_status sp_compare_numbers(struct sp_compare_report *report, struct sp_error *err) {
  struct sp_history_line *line = &report->line;
  const struct sp_compare_result *result = &report->result;
  SP_TRY(add(line, "", "utts", (double)result->utts, err));
  SP_TRY(add(line, "", "hyps", (double)result->hyps, err));
  SP_TRY(add(line, "", "differing_utts", (double)result->differing_utts, err));
  for (size_t i = 0; i < result->n_methods; i++) {
    SP_TRY(add_method(line, &result->methods[i], err));
  }
  SP_TRY(add(line, "", "changed_best_percent", sp_compare_changed_percent(report), err));
  SP_TRY(add_wer(report, err));
  if (report->speed_a.path) {
    SP_TRY(add(line, "", "hyps_per_second_a", report->speed_a.hyps_per_second, err));
  }
  return report->speed_b.path
             ? add(line, "", "hyps_per_second_b", report->speed_b.hyps_per_second, err)
             : SP_OK;
}
