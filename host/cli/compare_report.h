/* compare_report.h - the result of `compare`: judged, printed, and as a line of the history. */
#ifndef SP_CLI_COMPARE_REPORT_H
#define SP_CLI_COMPARE_REPORT_H

#include "compare_args.h"
#include "compare_speed.h"
#include "history.h"
#include "wer_report.h"

struct sp_compare_report {
  const char *a, *b; /* run directories */
  const char *signature_a, *signature_b;
  json_t *identity;      /* what the runs say differently of themselves */
  struct sp_buf ranking; /* signature of the totals; empty without */
  struct sp_compare_result result;
  bool has_wer; /* of b against a */
  uint64_t without_ref;
  struct sp_wer_report wer;
  struct sp_run_speed speed_a, speed_b;
  bool has_history;
  size_t history_lines;        /* that tonight was held against */
  bool signature_changed;      /* of b, since the last of these */
  struct sp_history_line line; /* tonight's */
  struct sp_drift *drifts;     /* (n_drifts) owned */
  size_t n_drifts;
  struct sp_buf beyond; /* one reason a line */
};
void sp_compare_report_release(struct sp_compare_report *report);

/* Points by which b's error rate is higher; NaN without references. */
double sp_compare_wer_increase(const struct sp_compare_report *report);
double sp_compare_changed_percent(const struct sp_compare_report *report);

/* Fills `beyond`: empty when all is within the limits. */
SP_MUST_CHECK enum sp_status sp_compare_judge(struct sp_compare_report *report,
                                              const struct sp_compare_limits *limits,
                                              bool fail_on_drift, struct sp_error *err);
/* Fills the numbers of `line`. */
SP_MUST_CHECK enum sp_status sp_compare_numbers(struct sp_compare_report *report,
                                                struct sp_error *err);
/* "outside", "rising", "falling" */
const char *sp_drift_kind_name(enum sp_drift_kind kind);

/* On standard output. */
void sp_compare_report_print(const struct sp_compare_report *report);
/* Adds its members to an object of sp_json_begin. */
void sp_compare_report_json(const struct sp_compare_report *report, json_t *object);

#endif
