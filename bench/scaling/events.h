/* events.h - what happens next: a heap by time, first come first served among equals. */
#ifndef SP_BENCH_EVENTS_H
#define SP_BENCH_EVENTS_H

#include <stdint.h>

#include "status.h"

enum sim_event_kind {
  SIM_START, /* a process begins */
  SIM_READY, /* it looks for work */
  SIM_DRAWN, /* its ticket is answered */
  SIM_TAKEN, /* its claim is answered: `shard` is its own */
  SIM_READ,  /* the shard's input is there */
  SIM_SCORED,
  SIM_PUBLISHED,
  SIM_LOOK, /* once more at claims that others hold */
  SIM_BEAT,
  SIM_DEATH,  /* `shard` is the number of the death */
  SIM_RESTART /* of the whole job */
};

struct sim_event {
  double at;
  uint64_t order; /* of being added */
  enum sim_event_kind kind;
  uint32_t worker, shard, life; /* an event of an earlier life is void */
};

struct sim_events {
  struct sim_event *heap; /* (n) the next one at 0 */
  size_t n, room;
  uint64_t added;
};

void sim_events_release(struct sim_events *events);
SP_MUST_CHECK enum sp_status sim_events_add(struct sim_events *events, struct sim_event event,
                                            struct sp_error *err);
/* False when none is left. */
bool sim_events_next(struct sim_events *events, struct sim_event *out);

#endif
