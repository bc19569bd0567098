#include "lanes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"

struct lane {
  struct sp_forward *forward;
  struct sp_arena arena;
  struct sp_batch batch;
  struct sp_nodes *nodes; /* NULL where nodes are not told */
  struct sp_node_inputs inputs;
  uint32_t *bits; /* (L, T) where they are traced */
  struct sp_job *job;
  size_t which;
};

struct sp_lanes {
  const char *model; /* for messages */
  bool pack;
  size_t layers;
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
  if (rule.trace) {
    lane->bits = sp_arena_alloc(&lane->arena, sp_mul_sat(context->config.layers, rule.limits.tokens),
                                sizeof *lane->bits);
    if (!lane->bits) {
      return sp_fail_memory(err, sp_mul_sat(context->config.layers, rule.limits.tokens * 4));
    }
  }
  if (sp_context_tells_nodes(context, settings)) {
    struct sp_nodes_rule nodes = sp_context_nodes_rule(context);
    SP_TRY(sp_nodes_create(&nodes, &lane->nodes, err));
  }
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
  lanes->model = settings->options->model;
  lanes->pack = (settings->savings & SP_SAVING_PACK) != 0;
  lanes->layers = context->config.layers;
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
    sp_nodes_destroy(lanes->lane[i].nodes);
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
  if (job->by_nodes) {
    sp_nodes_begin(lane->nodes, &job->plan, job->batches[which], &lane->inputs);
    return sp_forward_begin_nodes(lane->forward, lane->nodes, &lane->inputs, err);
  }
  sp_batch_fill(&lane->batch, &job->plan, job->batches[which], lanes->pack);
  return sp_forward_begin(lane->forward, &lane->batch, err);
}

/* Every lane in flight goes on by a layer in turn, until the oldest has nothing left to queue. */
static enum sp_status advance(struct sp_lanes *lanes, struct sp_error *err) {
  for (bool done = false; !done;) {
    for (size_t i = 0; i < lanes->busy; i++) {
      bool ends;
      struct lane *lane = &lanes->lane[(lanes->oldest + i) % lanes->n];
      SP_TRY(sp_forward_advance(lane->forward, &ends, err));
      done = i == 0 ? ends : done;
    }
  }
  return SP_OK;
}

/* Where a batch's results belong: in the plan's numbering, from its first row's on. */
struct places {
  float *logp, *cls;
};

static struct places places_of(const struct lane *lane) {
  const struct sp_plan *plan = &lane->job->plan;
  uint32_t row = plan->sequence[lane->job->batches[lane->which].first].row_first;
  return (struct places){lane->job->logp + plan->row_target[row],
                         lane->job->cls + plan->row_cls[row]};
}

/* Keeps the scheduler bits of the batch's traced sequences. */
static void store_bits(const struct lane *lane, size_t layers) {
  const struct sp_plan *plan = &lane->job->plan;
  struct sp_batch_range range = lane->job->batches[lane->which];
  const uint32_t *nodes = lane->job->by_nodes ? sp_nodes_trace(lane->nodes) : NULL;
  for (uint32_t s = 0; s < range.count; s++) {
    const struct sp_sequence *seq = &plan->sequence[range.first + s];
    size_t len = sp_plan_base_len(plan, seq->base);
    if (seq->trace == UINT32_MAX) {
      continue;
    }
    uint32_t *to = lane->job->bits + layers * seq->trace;
    if (nodes) {
      memcpy(to, nodes, layers * len * sizeof *to);
      nodes += layers * len;
      continue;
    }
    for (size_t l = 0; l < layers; l++) {
      memcpy(to + l * len, lane->bits + l * lane->batch.tokens + lane->batch.token_start[s],
             len * sizeof *to);
    }
  }
}

/* The forward knows what is wrong with its model, but not the model's name. */
static enum sp_status end_forward(const struct sp_lanes *lanes, struct lane *lane, uint32_t *bits,
                                  struct sp_error *err) {
  struct places to = places_of(lane);
  struct sp_error why = {0};
  enum sp_status status = sp_forward_end(lane->forward, to.logp, to.cls, bits, &why);
  if (status == SP_OK) {
    return SP_OK;
  }
  return status == SP_EMODEL ? sp_fail(err, status, "%s: %s", lanes->model, why.message)
                             : sp_fail(err, status, "%s", why.message);
}

enum sp_status sp_lanes_end(struct sp_lanes *lanes, struct sp_job **job, size_t *which,
                            struct sp_error *err) {
  assert(sp_lanes_are_busy(lanes));
  struct lane *lane = &lanes->lane[lanes->oldest];
  SP_TRY(advance(lanes, err));
  lanes->oldest = (lanes->oldest + 1) % lanes->n;
  lanes->busy--;
  *job = lane->job;
  *which = lane->which;
  SP_TRY(end_forward(lanes, lane, lane->bits, err));
  while (lane->job->by_nodes && sp_nodes_again(lane->nodes, &lane->inputs)) {
    SP_TRY(sp_forward_begin_nodes(lane->forward, lane->nodes, &lane->inputs, err));
    SP_TRY(end_forward(lanes, lane, NULL, err));
  }
  if (lane->job->by_nodes) {
    lane->job->batch_nodes[lane->which] = sp_nodes_get_counts(lane->nodes);
  }
  if (lane->bits) {
    store_bits(lane, lanes->layers);
  }
  return SP_OK;
}
