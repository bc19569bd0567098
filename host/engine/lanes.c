#include "lanes.h"

#include <assert.h>
#include <stdlib.h>

#include "checked.h"

struct lane {
  struct sp_forward *forward;
  struct sp_arena arena;
  struct sp_batch batch;
  struct sp_job *job;
  size_t which;
};

struct sp_lanes {
  bool pack;
  size_t n;
  size_t oldest, busy; /* lanes oldest, oldest + 1, .. are in flight, modulo n */
  struct lane lane[];
};

static enum sp_status init_lane(struct lane *lane, const struct sp_settings *settings,
                                const struct sp_context *context, size_t device,
                                struct sp_error *err) {
  if (!sp_batch_init(&lane->batch, &context->limits, &lane->arena)) {
    return sp_fail_memory(err, context->limits.targets * sizeof(uint32_t));
  }
  struct sp_forward_rule rule = sp_context_forward_rule(context, settings);
  return sp_forward_create(context->weights[device], &rule, &lane->forward, err);
}

enum sp_status sp_lanes_create(const struct sp_settings *settings,
                               const struct sp_context *context, size_t device,
                               struct sp_lanes **out, struct sp_error *err) {
  *out = NULL;
  size_t n = sp_max_size(context->devices[device]->lanes, 1);
  struct sp_lanes *lanes = calloc(1, sizeof *lanes + n * sizeof lanes->lane[0]);
  if (!lanes) {
    return sp_fail_memory(err, sizeof *lanes + n * sizeof lanes->lane[0]);
  }
  lanes->pack = (settings->savings & SP_SAVING_PACK) != 0;
  lanes->n = n;
  for (size_t i = 0; i < n; i++) {
    enum sp_status status = init_lane(&lanes->lane[i], settings, context, device, err);
    if (status != SP_OK) {
      sp_lanes_destroy(lanes);
      return status;
    }
  }
  *out = lanes;
  return SP_OK;
}

void sp_lanes_destroy(struct sp_lanes *lanes) {
  for (size_t i = 0; lanes && i < lanes->n; i++) {
    sp_forward_destroy(lanes->lane[i].forward);
    sp_arena_release(&lanes->lane[i].arena);
  }
  free(lanes);
}

bool sp_lanes_have_room(const struct sp_lanes *lanes) { return lanes->busy < lanes->n; }
bool sp_lanes_are_busy(const struct sp_lanes *lanes) { return lanes->busy > 0; }

enum sp_status sp_lanes_begin(struct sp_lanes *lanes, struct sp_job *job, size_t which,
                              struct sp_error *err) {
  assert(sp_lanes_have_room(lanes));
  struct lane *lane = &lanes->lane[(lanes->oldest + lanes->busy) % lanes->n];
  lane->job = job;
  lane->which = which;
  lanes->busy++;
  sp_batch_fill(&lane->batch, &job->plan, job->batches[which], lanes->pack);
  return sp_forward_begin(lane->forward, &lane->batch, err);
}

enum sp_status sp_lanes_end(struct sp_lanes *lanes, struct sp_job **job, size_t *which,
                            struct sp_error *err) {
  assert(sp_lanes_are_busy(lanes));
  struct lane *lane = &lanes->lane[lanes->oldest];
  lanes->oldest = (lanes->oldest + 1) % lanes->n;
  lanes->busy--;
  *job = lane->job;
  *which = lane->which;
  return sp_forward_end(lane->forward, lane->job->logp + lane->batch.first_target,
                        lane->job->cls + lane->batch.first_cls, NULL, err);
}
