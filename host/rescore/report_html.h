/* report_html.h - a report as one HTML page that needs nothing else: no network, no scripts.
 *
 * The same report gives the same bytes: nothing of the clock, the machine or the locale is in it.
 * Texts, ids, paths and names are escaped; colours are never the only sign of anything. */
#ifndef SP_RESCORE_REPORT_HTML_H
#define SP_RESCORE_REPORT_HTML_H

#include "report_data.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Appends the page of a finished report. */
SP_MUST_CHECK enum sp_status sp_report_html(const struct sp_report *report, struct sp_buf *out,
                                            struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
