/* plan_speed.h - how fast this machine scores, told from a few batches. */
#ifndef SP_ENGINE_PLAN_SPEED_H
#define SP_ENGINE_PLAN_SPEED_H

#include "job.h"

/* FLOP/s on batches from the middle of a prepared job that has some, in the second of two runs: of one
 * thread with one batch, or of one device with as many as keep its lanes filled for a while. Counted in
 * the FLOP of job->counts. */
SP_MUST_CHECK enum sp_status sp_plan_speed(struct sp_job *job, const struct sp_settings *settings,
                                           const struct sp_context *context, double *flops,
                                           struct sp_error *err);

#endif
