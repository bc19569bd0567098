#include "plan_speed.h"

#include "checked.h"
#include "clock.h"
#include "lanes.h"

/* Scores `n` batches from `first` on, as many at once as the lanes take; adds their tokens up. */
static enum sp_status run_some(struct sp_job *job, struct sp_lanes *lanes, size_t first, size_t n,
                               double *tokens, struct sp_error *err) {
  struct sp_job *ended;
  size_t begun = 0, which;
  *tokens = 0;
  while (begun < n || sp_lanes_are_busy(lanes)) {
    if (begun < n && sp_lanes_have_room(lanes)) {
      SP_TRY(sp_lanes_begin(lanes, job, first + begun++, err));
      continue;
    }
    SP_TRY(sp_lanes_end(lanes, &ended, &which, err));
    const struct sp_batch_range *range = &job->batches[which];
    for (uint32_t s = range->first; s < range->first + range->count; s++) {
      *tokens += sp_plan_base_len(&job->plan, job->plan.sequence[s].base);
    }
  }
  return SP_OK;
}

enum sp_status sp_plan_speed(struct sp_job *job, const struct sp_settings *settings,
                             const struct sp_context *context, double *flops,
                             struct sp_error *err) {
  enum { device_batches = 16 };
  size_t wanted = sp_context_on_host(context) ? 1 : device_batches;
  size_t n = sp_min_size(job->n_batches, wanted), first = (job->n_batches - n + 1) / 2;
  struct sp_lanes *lanes;
  double seconds = 0, tokens = 0;
  enum sp_status status = SP_OK;
  SP_TRY(sp_lanes_create(settings, context, 0, &lanes, err));
  for (int round = 0; round < 2 && status == SP_OK; round++) {
    double start = sp_clock_seconds();
    status = run_some(job, lanes, first, n, &tokens, err);
    seconds = sp_clock_seconds() - start;
  }
  sp_lanes_destroy(lanes);
  *flops = job->counts.flops * tokens / (double)job->plan.tokens / seconds;
  return status;
}
