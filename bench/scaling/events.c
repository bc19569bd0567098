#include "events.h"

#include <stdlib.h>

#include "checked.h"

void sim_events_release(struct sim_events *events) {
  free(events->heap);
  *events = (struct sim_events){0};
}

static bool before(const struct sim_event *a, const struct sim_event *b) {
  return a->at < b->at || (!(b->at < a->at) && a->order < b->order);
}

enum sp_status sim_events_add(struct sim_events *events, struct sim_event event,
                              struct sp_error *err) {
  if (events->n == events->room) {
    size_t room = sp_max_size(1024, events->room * 2);
    struct sim_event *grown = realloc(events->heap, sp_mul_sat(room, sizeof *grown));
    if (!grown) {
      return sp_fail_memory(err, sp_mul_sat(room, sizeof *grown));
    }
    events->heap = grown;
    events->room = room;
  }
  event.order = events->added++;
  size_t at = events->n++;
  while (at > 0 && before(&event, &events->heap[(at - 1) / 2])) {
    events->heap[at] = events->heap[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  events->heap[at] = event;
  return SP_OK;
}

bool sim_events_next(struct sim_events *events, struct sim_event *out) {
  if (events->n == 0) {
    return false;
  }
  *out = events->heap[0];
  struct sim_event last = events->heap[--events->n];
  size_t at = 0, child;
  while ((child = 2 * at + 1) < events->n) {
    child += child + 1 < events->n && before(&events->heap[child + 1], &events->heap[child]);
    if (!before(&events->heap[child], &last)) {
      break;
    }
    events->heap[at] = events->heap[child];
    at = child;
  }
  events->heap[at] = last;
  return true;
}
