#include "compare_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"

/* ---- text ---- */

static void print_identity(const struct sp_compare_report *report) {
  for (size_t i = 0; i < json_array_size(report->identity); i++) {
    const json_t *entry = json_array_get(report->identity, i);
    char *a = json_dumps(json_object_get(entry, "a"), JSON_COMPACT | JSON_ENCODE_ANY);
    char *b = json_dumps(json_object_get(entry, "b"), JSON_COMPACT | JSON_ENCODE_ANY);
    sp_row(i ? "" : "the runs differ in", "%s: %s, %s",
           json_string_value(json_object_get(entry, "member")), a ? a : "", b ? b : "");
    free(a);
    free(b);
  }
}

static void print_summary(const char *label, const struct sp_difference_summary *summary) {
  printf("%-26s %12s %12s %11.4g %11.4g", label, sp_number(summary->compared).text,
         sp_number(summary->differ).text, summary->largest, summary->mean);
  for (int q = 0; q < sp_difference_levels; q++) {
    printf(" %9.3g", summary->quantiles[q]);
  }
  putchar('\n');
}

static void print_method(const struct sp_compare_method *method) {
  const struct sp_compare_place *place = &method->furthest;
  const char *key = sp_method_key(method->method);
  char label[64];
  print_summary(key, &method->hyps);
  if (method->has_tokens) {
    print_summary(sp_method_token_key(method->method), &method->tokens);
  }
  if (method->hyps.nulls_appeared + method->hyps.nulls_vanished > 0) {
    snprintf(label, sizeof label, "%s, nulls", key);
    sp_row(label, "%s appeared, %s vanished", sp_number(method->hyps.nulls_appeared).text,
           sp_number(method->hyps.nulls_vanished).text);
  }
  if (*place->id) {
    snprintf(label, sizeof label, "%s, furthest apart", key);
    sp_row(label, "%s i %u: %.7g, %.7g", place->id, (unsigned)place->rank, (double)place->a,
           (double)place->b);
  }
}

static void print_values(const struct sp_compare_result *result) {
  printf("\n%-26s %12s %12s %11s %11s %9s %9s %9s %9s\n", "|b - a|", "values", "differ", "largest",
         "mean b - a", "p50", "p90", "p99", "p99.9");
  for (size_t i = 0; i < result->n_methods; i++) {
    print_method(&result->methods[i]);
  }
  if (result->counts_differ + result->flags_differ > 0) {
    sp_row("other token counts, flags", "%s, %s",
           sp_count_of(result->counts_differ, "hypothesis", "hypotheses").text,
           sp_number(result->flags_differ).text);
  }
}

static void print_best(const struct sp_compare_report *report) {
  const struct sp_compare_result *result = &report->result;
  char label[64];
  putchar('\n');
  for (size_t i = 0; i < result->n_methods; i++) {
    snprintf(label, sizeof label, "another best by %s", sp_method_key(result->methods[i].method));
    sp_row(label, "%s",
           sp_count_of(result->methods[i].changed_best, "utterance", "utterances").text);
  }
  if (result->has_totals) {
    sp_row("another best by the total", "%s (%.4g %%)",
           sp_count_of(result->changed_best, "utterance", "utterances").text,
           sp_compare_changed_percent(report));
    sp_row("total", "%s", report->ranking.data);
  }
  if (report->has_wer) {
    putchar('\n');
    sp_wer_report_print(&report->wer);
  }
  if (report->without_ref > 0) {
    sp_row("without a reference", "%s",
           sp_count_of(report->without_ref, "utterance", "utterances").text);
  }
}

static void print_speed(const char *label, const struct sp_run_speed *speed) {
  if (speed->path && isnan(speed->hyps_per_second)) {
    sp_row(label, "not measured: the run was there already");
  } else if (speed->path) {
    sp_row(label, "%.1f hyps/s, %s", speed->hyps_per_second, sp_duration(speed->seconds).text);
  }
}

static void print_speeds(const struct sp_compare_report *report) {
  double slowdown = sp_run_slowdown(&report->speed_a, &report->speed_b);
  putchar('\n');
  if (!report->speed_a.path && !report->speed_b.path) {
    sp_row("speed", "not recorded; --summary-a and --summary-b tell it");
  }
  print_speed("speed of a", &report->speed_a);
  print_speed("speed of b", &report->speed_b);
  if (!isnan(slowdown)) {
    sp_row("change of speed", "%+.2f %%", -slowdown);
  }
}

static void print_history(const struct sp_compare_report *report) {
  if (!report->has_history) {
    return;
  }
  sp_row("history", "held against %s%s",
         sp_count_of(report->history_lines, "earlier line", "earlier lines").text,
         report->signature_changed ? "; b has another signature than in the last of them" : "");
  for (size_t i = 0; i < report->n_drifts; i++) {
    const struct sp_drift *drift = &report->drifts[i];
    sp_row(i ? "" : "drift", "%s %s: %.6g, before %.6g, sd %.3g, n %zu", drift->name,
           sp_drift_kind_name(drift->kind), drift->value, drift->mean, drift->deviation, drift->n);
  }
}

void sp_compare_report_print(const struct sp_compare_report *report) {
  const struct sp_compare_result *result = &report->result;
  sp_row("a", "%s  %s", report->a, report->signature_a);
  sp_row("b", "%s  %s", report->b, report->signature_b);
  print_identity(report);
  sp_row("compared", "%s, %s; a difference in %s",
         sp_count_of(result->utts, "utterance", "utterances").text,
         sp_count_of(result->hyps, "hypothesis", "hypotheses").text,
         sp_count_of(result->differing_utts, "utterance", "utterances").text);
  print_values(result);
  print_best(report);
  print_speeds(report);
  print_history(report);
  sp_row("thresholds", "%s", report->beyond.len ? "broken" : "kept");
}

/* ---- JSON ---- */

static void set_count(json_t *object, const char *key, uint64_t value) {
  json_object_set_new(object, key, json_integer((json_int_t)value));
}

static json_t *run_json(const char *run, const char *signature, const struct sp_run_speed *speed) {
  json_t *object = json_object();
  json_object_set_new(object, "run", sp_json_text(run));
  json_object_set_new(object, "signature", sp_json_text(signature));
  json_object_set_new(object, "hyps_per_second", sp_json_real(speed->hyps_per_second));
  json_object_set_new(object, "seconds", sp_json_real(speed->seconds));
  return object;
}

static json_t *summary_json(const struct sp_difference_summary *summary) {
  json_t *object = json_object();
  set_count(object, "compared", summary->compared);
  set_count(object, "differ", summary->differ);
  json_object_set_new(object, "largest", sp_json_real(summary->largest));
  json_object_set_new(object, "mean", sp_json_real(summary->mean));
  for (int q = 0; q < sp_difference_levels; q++) {
    json_object_set_new(object, sp_difference_level_name[q], sp_json_real(summary->quantiles[q]));
  }
  set_count(object, "nulls", summary->nulls);
  set_count(object, "nulls_appeared", summary->nulls_appeared);
  set_count(object, "nulls_vanished", summary->nulls_vanished);
  return object;
}

static json_t *place_json(const struct sp_compare_place *place) {
  if (!*place->id) {
    return json_null();
  }
  json_t *object = json_object();
  json_object_set_new(object, "id", sp_json_text(place->id));
  set_count(object, "i", place->rank);
  json_object_set_new(object, "a", sp_json_real(place->a));
  json_object_set_new(object, "b", sp_json_real(place->b));
  return object;
}

static json_t *methods_json(const struct sp_compare_result *result) {
  json_t *object = json_object();
  for (size_t i = 0; i < result->n_methods; i++) {
    const struct sp_compare_method *method = &result->methods[i];
    json_t *entry = json_object();
    json_object_set_new(entry, "hyps", summary_json(&method->hyps));
    json_object_set_new(entry, "tokens",
                        method->has_tokens ? summary_json(&method->tokens) : json_null());
    json_object_set_new(entry, "furthest", place_json(&method->furthest));
    set_count(entry, "changed_best", method->changed_best);
    json_object_set_new(object, sp_method_key(method->method), entry);
  }
  return object;
}

static json_t *wer_json(const struct sp_compare_report *report) {
  if (!report->has_wer) {
    return json_null();
  }
  json_t *object = json_object();
  json_object_set_new(object, "increase", sp_json_real(sp_compare_wer_increase(report)));
  set_count(object, "without_ref", report->without_ref);
  sp_wer_report_json(&report->wer, object);
  return object;
}

static json_t *history_json(const struct sp_compare_report *report) {
  if (!report->has_history) {
    return json_null();
  }
  json_t *object = json_object(), *drifts = json_array();
  set_count(object, "lines", report->history_lines);
  json_object_set_new(object, "signature_changed", json_boolean(report->signature_changed));
  for (size_t i = 0; i < report->n_drifts; i++) {
    const struct sp_drift *drift = &report->drifts[i];
    json_t *entry = json_object();
    json_object_set_new(entry, "number", sp_json_text(drift->name));
    json_object_set_new(entry, "kind", json_string(sp_drift_kind_name(drift->kind)));
    json_object_set_new(entry, "value", sp_json_real(drift->value));
    json_object_set_new(entry, "mean", sp_json_real(drift->mean));
    json_object_set_new(entry, "sd", sp_json_real(drift->deviation));
    set_count(entry, "n", drift->n);
    json_array_append_new(drifts, entry);
  }
  json_object_set_new(object, "drift", drifts);
  return object;
}

/* An array of the lines. */
static json_t *beyond_json(const struct sp_buf *beyond) {
  json_t *list = json_array();
  const char *at = beyond->data, *end = at + beyond->len;
  for (const char *stop; at && at < end; at = stop + 1) {
    stop = memchr(at, '\n', (size_t)(end - at));
    json_array_append_new(list, json_stringn(at, (size_t)(stop - at)));
  }
  return list;
}

void sp_compare_report_json(const struct sp_compare_report *report, json_t *object) {
  const struct sp_compare_result *result = &report->result;
  json_object_set_new(object, "a", run_json(report->a, report->signature_a, &report->speed_a));
  json_object_set_new(object, "b", run_json(report->b, report->signature_b, &report->speed_b));
  json_object_set(object, "identity", report->identity);
  set_count(object, "utts", result->utts);
  set_count(object, "hyps", result->hyps);
  set_count(object, "differing_utts", result->differing_utts);
  set_count(object, "counts_differ", result->counts_differ);
  set_count(object, "flags_differ", result->flags_differ);
  json_object_set_new(object, "methods", methods_json(result));
  json_object_set_new(object, "total",
                      report->ranking.len ? sp_json_text(report->ranking.data) : json_null());
  set_count(object, "changed_best", result->changed_best);
  json_object_set_new(object, "changed_best_percent",
                      sp_json_real(sp_compare_changed_percent(report)));
  json_object_set_new(object, "other_input", json_boolean(result->other_input));
  json_object_set_new(object, "wer", wer_json(report));
  json_object_set_new(object, "slowdown_percent",
                      sp_json_real(sp_run_slowdown(&report->speed_a, &report->speed_b)));
  json_object_set_new(object, "history", history_json(report));
  json_object_set_new(object, "beyond", beyond_json(&report->beyond));
}
