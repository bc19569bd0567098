/* job_latency.h - the latency of hypotheses, from the masks that their unmasked pass sees by.
 *
 * A static rule gives the masks from the length alone; those of a dynamic one are the bits that the
 * unmasked pass left in the job.  latency.h defines what is measured. */
#ifndef SP_ENGINE_JOB_LATENCY_H
#define SP_ENGINE_JOB_LATENCY_H

#include "job.h"
#include "latency.h"

/* The costs that the options ask for. */
struct sp_latency_costs sp_latency_costs_of(const struct sp_settings *settings,
                                            const struct sp_context *context);

/* Adds one hypothesis, which has tokens; the batches are scored. */
SP_MUST_CHECK enum sp_status sp_job_measure_latency(
    const struct sp_job *job, const struct sp_settings *settings, const struct sp_context *context,
    const struct sp_job_hyp *hyp, struct sp_latency_counts *counts, struct sp_error *err);

/* What counts of a whole run come to. */
struct sp_latency_summary sp_latency_summarize(const struct sp_latency_counts *counts,
                                               const struct sp_latency_costs *costs);

#endif
