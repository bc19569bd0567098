#include "wer_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "output.h"
#include "wer_block.h"

void sp_wer_report_release(struct sp_wer_report *report) {
  free(report->others);
  *report = (struct sp_wer_report){0};
}

/* Blocks exist when every utterance has one and they are more than one and fewer than utterances, or
 * when they were asked for. */
static void find_blocks(struct sp_wer_report *report) {
  const struct sp_wer_args *args = report->args;
  size_t n = sp_wer_blocks(report->wer), utts = sp_wer_get_totals(report->wer, 0)->utts;
  bool there = sp_wer_block_wanted(args->block_by) ? n > 0 : !args->block_by && n > 1 && n < utts;
  if (there) {
    report->n_blocks = n;
    report->blocks = args->block_by ? args->block_by : "speaker";
  }
}

static enum sp_status resample(const struct sp_wer_report *report, size_t system,
                               struct sp_bootstrap *by_utt, struct sp_bootstrap *by_block,
                               struct sp_error *err) {
  const struct sp_wer_args *args = report->args;
  SP_TRY(sp_wer_bootstrap(report->wer, system, false, args->replicates, args->seed, by_utt, err));
  *by_block = *by_utt;
  return report->blocks ? sp_wer_bootstrap(report->wer, system, true, args->replicates, args->seed,
                                           by_block, err)
                        : SP_OK;
}

static enum sp_status compare_all(struct sp_wer_report *report, const char *const *names,
                                  struct sp_error *err) {
  double *p = calloc(report->n_others + 1, sizeof *p);
  enum sp_status status = p ? SP_OK : sp_fail_memory(err, report->n_others * sizeof *p);
  for (size_t i = 0; status == SP_OK && i < report->n_others; i++) {
    struct sp_wer_comparison *other = &report->others[i];
    other->name = names[i];
    other->test = sp_wer_get_mapsswe(report->wer, i + 1);
    p[i] = other->test.p;
    status = resample(report, i + 1, &other->by_utt, &other->by_block, err);
  }
  if (status == SP_OK) {
    status = sp_holm(p, report->n_others, err);
  }
  for (size_t i = 0; status == SP_OK && i < report->n_others; i++) {
    report->others[i].holm_p = p[i];
  }
  free(p);
  return status;
}

enum sp_status sp_wer_report_make(const struct sp_wer *wer, const struct sp_wer_args *args,
                                  const char *name, const char *profile, const char *const *names,
                                  size_t n_others, struct sp_wer_report *out,
                                  struct sp_error *err) {
  *out = (struct sp_wer_report){.wer = wer,
                                .args = args,
                                .name = name,
                                .rate = sp_unit_rate_name(sp_wer_args_unit(args)),
                                .n_others = n_others};
  out->others = calloc(n_others + 1, sizeof *out->others);
  if (!out->others) {
    return sp_fail_memory(err, n_others * sizeof *out->others);
  }
  find_blocks(out);
  sp_wer_signature(sp_wer_args_unit(args), profile, out->blocks, args->replicates, args->seed,
                   out->signature, sizeof out->signature);
  SP_TRY(resample(out, 0, &out->by_utt, &out->by_block, err));
  return compare_all(out, names, err);
}

/* "6.12 %", "n/a". */
static struct sp_number percent(double fraction) {
  struct sp_number out;
  if (isnan(fraction)) {
    snprintf(out.text, sizeof out.text, "n/a");
  } else {
    snprintf(out.text, sizeof out.text, "%.2f %%", 100 * fraction);
  }
  return out;
}

static struct sp_phrase interval_text(struct sp_interval interval) {
  struct sp_phrase out;
  if (isnan(interval.low)) {
    snprintf(out.text, sizeof out.text, "n/a");
  } else {
    snprintf(out.text, sizeof out.text, "%.2f .. %.2f %%", 100 * interval.low, 100 * interval.high);
  }
  return out;
}

static void print_sum(const char *label, const struct sp_wer_sum *sum) {
  printf("%-26s %8s %10s %10s %9s %9s %9s\n", label, percent(sp_wer_sum_rate(sum)).text,
         sp_number(sp_wer_sum_errors(sum)).text, sp_number(sp_wer_sum_reference(sum)).text,
         sp_number(sum->substitutions).text, sp_number(sum->deletions).text,
         sp_number(sum->insertions).text);
}

static void print_interval(const struct sp_wer_report *report, const char *what,
                           struct sp_interval by_utt, struct sp_interval by_block) {
  char label[96];
  if (report->blocks) {
    snprintf(label, sizeof label, "%s, 95 %% by %s", what, report->blocks);
    sp_row(label, "%s (%s)", interval_text(by_block).text,
           sp_count_of(report->n_blocks, "block", "blocks").text);
  }
  snprintf(label, sizeof label, "%s, 95 %% by utterance", what);
  sp_row(label, "%s", interval_text(by_utt).text);
}

static void print_lists(const struct sp_wer_report *report) {
  const struct sp_wer_lists *lists = sp_wer_get_lists(report->wer);
  uint64_t full = sp_wer_get_totals(report->wer, 0)->utts - lists->empty_lists;
  char label[64];
  if (lists->longest < 2) {
    return;
  }
  snprintf(label, sizeof label, "oracle %s", report->rate);
  print_sum(label, &lists->oracle);
  snprintf(label, sizeof label, "anti-oracle %s", report->rate);
  print_sum(label, &lists->worst);
  sp_row("mean rank of the oracle", "%.2f of up to %llu", (double)lists->rank_sum / (double)full,
         (unsigned long long)lists->longest);
}

static void print_comparison(const struct sp_wer_report *report, size_t i) {
  const struct sp_wer_comparison *other = &report->others[i];
  const struct sp_wer_totals *mine = sp_wer_get_totals(report->wer, 0);
  const struct sp_wer_totals *totals = sp_wer_get_totals(report->wer, i + 1);
  const struct sp_bootstrap *shown = report->blocks ? &other->by_block : &other->by_utt;
  printf("\nagainst %s\n", other->name);
  print_sum(report->rate, &totals->units);
  print_interval(report, report->rate, other->by_utt.b, other->by_block.b);
  sp_row("difference", "%+.2f points",
         100 * (sp_wer_sum_rate(&mine->units) - sp_wer_sum_rate(&totals->units)));
  print_interval(report, "difference", other->by_utt.difference, other->by_block.difference);
  sp_row("P(improvement)", "%.4f", shown->better);
  if (isnan(other->test.p)) {
    sp_row("matched pairs (MAPSSWE)", "not defined: %s, all alike",
           sp_count_of(other->test.segments, "segment", "segments").text);
    return;
  }
  sp_row("matched pairs (MAPSSWE)", "p %.4g, Z %.3f, %s", other->test.p, other->test.z,
         sp_count_of(other->test.segments, "segment", "segments").text);
  if (report->n_others > 1) {
    sp_row("p after Holm", "%.4g", other->holm_p);
  }
}

void sp_wer_report_print(const struct sp_wer_report *report) {
  const struct sp_wer_totals *totals = sp_wer_get_totals(report->wer, 0);
  double wrong = (double)totals->wrong_utts / (double)totals->utts;
  printf("%-26s %8s %10s %10s %9s %9s %9s\n", report->name, "rate", "errors", "of", "sub", "del",
         "ins");
  print_sum(report->rate, &totals->units);
  if (sp_wer_args_unit(report->args) != SP_UNIT_CHAR) {
    print_sum("CER", &totals->chars);
  }
  print_lists(report);
  sp_row("sentence error rate", "%s (%s of %s)", percent(wrong).text,
         sp_number(totals->wrong_utts).text, sp_number(totals->utts).text);
  print_interval(report, report->rate, report->by_utt.a, report->by_block.a);
  for (size_t i = 0; i < report->n_others; i++) {
    print_comparison(report, i);
  }
  printf("\n%s\n", report->signature);
}

static json_t *sum_json(const struct sp_wer_sum *sum) {
  json_t *object = json_object();
  json_object_set_new(object, "rate", sp_json_real(sp_wer_sum_rate(sum)));
  sp_json_set_count(object, "errors", sp_wer_sum_errors(sum));
  sp_json_set_count(object, "ref", sp_wer_sum_reference(sum));
  sp_json_set_count(object, "correct", sum->correct);
  sp_json_set_count(object, "sub", sum->substitutions);
  sp_json_set_count(object, "del", sum->deletions);
  sp_json_set_count(object, "ins", sum->insertions);
  return object;
}

static json_t *interval_json(struct sp_interval interval) {
  json_t *array = json_array();
  json_array_append_new(array, sp_json_real(interval.low));
  json_array_append_new(array, sp_json_real(interval.high));
  return array;
}

/* {"utterance":[..],"block":[..] or null} */
static json_t *intervals_json(const struct sp_wer_report *report, struct sp_interval by_utt,
                              struct sp_interval by_block) {
  json_t *object = json_object();
  json_object_set_new(object, "utterance", interval_json(by_utt));
  json_object_set_new(object, "block", report->blocks ? interval_json(by_block) : json_null());
  return object;
}

static json_t *totals_json(const struct sp_wer_totals *totals) {
  json_t *object = sum_json(&totals->units);
  json_object_set_new(object, "chars", sum_json(&totals->chars));
  sp_json_set_count(object, "utts", totals->utts);
  sp_json_set_count(object, "wrong_utts", totals->wrong_utts);
  json_object_set_new(object, "ser",
                      sp_json_real((double)totals->wrong_utts / (double)totals->utts));
  return object;
}

static json_t *lists_json(const struct sp_wer_report *report) {
  const struct sp_wer_lists *lists = sp_wer_get_lists(report->wer);
  uint64_t full = sp_wer_get_totals(report->wer, 0)->utts - lists->empty_lists;
  json_t *object = json_object();
  sp_json_set_count(object, "hyps", lists->hyps);
  sp_json_set_count(object, "empty", lists->empty_lists);
  sp_json_set_count(object, "longest", lists->longest);
  json_object_set_new(object, "oracle", sum_json(&lists->oracle));
  json_object_set_new(object, "anti_oracle", sum_json(&lists->worst));
  json_object_set_new(object, "oracle_rank",
                      full ? sp_json_real((double)lists->rank_sum / (double)full) : json_null());
  return object;
}

static json_t *comparison_json(const struct sp_wer_report *report, size_t i) {
  const struct sp_wer_comparison *other = &report->others[i];
  json_t *object = totals_json(sp_wer_get_totals(report->wer, i + 1)), *test = json_object();
  json_object_set_new(object, "name", sp_json_text(other->name));
  json_object_set_new(object, "interval",
                      intervals_json(report, other->by_utt.b, other->by_block.b));
  json_object_set_new(object, "difference",
                      intervals_json(report, other->by_utt.difference, other->by_block.difference));
  json_object_set_new(object, "p_improvement",
                      sp_json_real(report->blocks ? other->by_block.better : other->by_utt.better));
  sp_json_set_count(test, "segments", other->test.segments);
  json_object_set_new(test, "mean", sp_json_real(other->test.mean));
  json_object_set_new(test, "deviation", sp_json_real(other->test.deviation));
  json_object_set_new(test, "z", sp_json_real(other->test.z));
  json_object_set_new(test, "p", sp_json_real(other->test.p));
  json_object_set_new(test, "holm_p", sp_json_real(other->holm_p));
  json_object_set_new(object, "mapsswe", test);
  return object;
}

void sp_wer_report_json(const struct sp_wer_report *report, json_t *object) {
  json_t *others = json_array();
  json_object_set_new(object, "signature", sp_json_text(report->signature));
  json_object_set_new(object, "name", sp_json_text(report->name));
  json_object_set_new(object, "unit", json_string(report->args->unit));
  json_object_set_new(object, "result", totals_json(sp_wer_get_totals(report->wer, 0)));
  json_object_set_new(object, "interval",
                      intervals_json(report, report->by_utt.a, report->by_block.a));
  json_object_set_new(object, "block_by",
                      report->blocks ? sp_json_text(report->blocks) : json_null());
  sp_json_set_count(object, "blocks", report->n_blocks);
  json_object_set_new(object, "lists", lists_json(report));
  for (size_t i = 0; i < report->n_others; i++) {
    json_array_append_new(others, comparison_json(report, i));
  }
  json_object_set_new(object, "against", others);
}
