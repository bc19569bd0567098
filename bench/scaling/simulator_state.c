#include "simulator_state.h"

double sim_call(struct sim *sim, struct sim_station *station, const struct sim_visit *what,
                size_t times) {
  double begin = station->free_at > sim->now ? station->free_at : sim->now;
  station->free_at = begin + what->service * (double)times;
  station->busy += what->service * (double)times;
  station->waited += begin - sim->now;
  station->visits += times;
  return begin + what->latency * (double)times;
}

double sim_list(struct sim *sim) {
  return sim_call(sim, &sim->result->directory, &sim->rules->name, 2 * sim->published);
}

enum sp_status sim_post(struct sim *sim, double at, enum sim_event_kind kind, size_t w, size_t s) {
  struct sim_event event = {.at = at,
                            .kind = kind,
                            .worker = (uint32_t)w,
                            .shard = (uint32_t)s,
                            .life = sim->workers[w].life};
  return sim_events_add(&sim->events, event, sim->err);
}
