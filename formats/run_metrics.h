/* run_metrics.h - a run's status as Prometheus metrics, text exposition format 0.0.4.
 *
 * For node_exporter's textfile collector: no timestamps, every family with HELP and TYPE, all of a family
 * together. FORMATS.md lists the names. */
#ifndef SP_FORMATS_RUN_METRICS_H
#define SP_FORMATS_RUN_METRICS_H

#include "run_status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Appends the text; `run` is the value of the label. Bytes of labels that are no UTF-8 become '?'. */
SP_MUST_CHECK enum sp_status sp_run_metrics_text(const char *run,
                                                 const struct sp_run_status *status,
                                                 struct sp_buf *out, struct sp_error *err);

/* Replaces `path` by that text, whole at every moment. */
SP_MUST_CHECK enum sp_status sp_run_metrics_write(const char *path, const char *run,
                                                  const struct sp_run_status *status,
                                                  struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
