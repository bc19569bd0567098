/* report_parts.h - the parts of a report's page, one file each; for report_html.c alone. */
#ifndef SP_RESCORE_REPORT_PARTS_H
#define SP_RESCORE_REPORT_PARTS_H

#include "markup.h"
#include "report_data.h"

enum { sp_chart_wide = 480 }; /* user units */

/* The style sheet. */
extern const char sp_report_style[];

/* The interval that is shown: by block where there are blocks. */
static inline const struct sp_bootstrap *sp_report_interval(const struct sp_report *report,
                                                            const struct sp_report_run *run) {
  return report->n_blocks ? &run->by_block : &run->by_utt;
}

static inline const char *sp_report_rate_name(const struct sp_report *report) {
  return sp_unit_rate_name(report->options.unit);
}

/* After minus before, in points. */
static inline double sp_report_difference(const struct sp_report_run *run) {
  return 100 * (sp_wer_sum_rate(&run->after.units) - sp_wer_sum_rate(&run->before.units));
}

/* Opens and closes a figure: title, what it says, room for the picture. */
void sp_figure_begin(struct sp_markup *to, const char *title, const char *says);
void sp_figure_end(struct sp_markup *to);
/* An entry of a list of class keys: a drawing of 18 by 12, and what it stands for. */
void sp_figure_key(struct sp_markup *to, const char *mark, const char *says);

/* Of all runs. */
void sp_report_intervals(struct sp_markup *to, const struct sp_report *report);
void sp_report_oracles(struct sp_markup *to, const struct sp_report *report);
/* Of one run. */
void sp_report_weight_curves(struct sp_markup *to, const struct sp_report *report,
                             const struct sp_report_run *run);
void sp_report_lengths(struct sp_markup *to, const struct sp_report *report,
                       const struct sp_report_run *run);
void sp_report_margins(struct sp_markup *to, const struct sp_report *report,
                       const struct sp_report_run *run);
void sp_report_scatters(struct sp_markup *to, const struct sp_report_run *run);
/* Aligns again, which needs memory: the first failure is `to`'s. */
void sp_report_examples(struct sp_markup *to, const struct sp_report *report,
                        const struct sp_report_run *run);

#endif
