/* simulator_worker.c - what happens to workers: they start, score, publish, beat and die. */
#include <stdlib.h>

#include "checked.h"
#include "mix.h"
#include "simulator_state.h"

static double shard_seconds(const struct sim *sim, size_t w, uint32_t s) {
  const struct sim_rules *rules = sim->rules;
  double u = 2 * sp_unit64(sp_mix64((uint64_t)s + 1)) - 1;
  double seconds =
      rules->shard_seconds + rules->shards[s].cost / rules->rate * (1 + rules->jitter * u);
  return seconds / (rules->speed ? rules->speed[w] : 1);
}

static enum sp_status score_next(struct sim *sim, size_t w) {
  struct sim_worker *worker = &sim->workers[w];
  if (worker->scoring || worker->queued == 0) {
    return SP_OK;
  }
  uint32_t s = worker->queue[worker->first];
  worker->first = (worker->first + 1) % sim->rules->depth;
  worker->queued--;
  worker->scoring = true;
  worker->scoring_since = sim->now;
  return sim_post(sim, sim->now + shard_seconds(sim, w, s), SIM_SCORED, w, s);
}

static enum sp_status on_read(struct sim *sim, size_t w, uint32_t s) {
  struct sim_worker *worker = &sim->workers[w];
  worker->taking = false;
  worker->queue[(worker->first + worker->queued++) % sim->rules->depth] = s;
  SP_TRY(score_next(sim, w));
  return sim_take(sim, w);
}

static enum sp_status on_scored(struct sim *sim, size_t w, uint32_t s) {
  struct sim_worker *worker = &sim->workers[w];
  worker->scoring = false;
  worker->unpublished += sim->now - worker->scoring_since;
  worker->unpublished_shards++;
  worker->last_scored = sim->now;
  SP_TRY(sim_post(sim, sim_call(sim, &sim->result->directory, &sim->rules->publish, 1),
                  SIM_PUBLISHED, w, s));
  return score_next(sim, w);
}

static enum sp_status on_published(struct sim *sim, size_t w, uint32_t s) {
  struct sim_worker *worker = &sim->workers[w];
  sim_publish(sim, w, s);
  worker->unpublished -= shard_seconds(sim, w, s);
  worker->unpublished_shards--;
  worker->slots++;
  return sim_take(sim, w);
}

/* ---- life and death ---- */

static enum sp_status on_start(struct sim *sim, size_t w) {
  const struct sim_rules *rules = sim->rules;
  struct sim_result *r = sim->result;
  bool loads = rules->way != SIM_COUNTER || w == 0;
  double listed = sim_list(sim);
  double loaded =
      loads ? sim_call(sim, &r->storage, &rules->model, 1) : sim->now + rules->model.latency;
  return sim_post(sim, (listed > loaded ? listed : loaded) + rules->launch, SIM_READY, w, 0);
}

static enum sp_status on_ready(struct sim *sim, size_t w) {
  struct sim_worker *worker = &sim->workers[w];
  worker->up = true;
  worker->slots = sim->rules->depth;
  SP_TRY(sim_post(sim, sim->now + sim->rules->lease / 5, SIM_BEAT, w, 0));
  return sim_take(sim, w);
}

static enum sp_status on_look(struct sim *sim, size_t w) {
  struct sim_worker *worker = &sim->workers[w];
  worker->looking = worker->drains = false;
  worker->held = 0;
  worker->cursor = sim->share[w];
  return sim_take(sim, w);
}

/* What the process had is lost; its claims stay. */
static void die(struct sim *sim, size_t w) {
  struct sim_worker *worker = &sim->workers[w];
  size_t front = sim->share ? sim_front_of(sim, w) : 0;
  struct sim_result *r = sim->result;
  double half = worker->scoring ? sim->now - worker->scoring_since : 0;
  r->lost += worker->unpublished + half;
  r->lost_shards += worker->unpublished_shards + worker->scoring;
  free(worker->other.order);
  *worker = (struct sim_worker){
      .life = worker->life + 1,
      .died_at = sim->now,
      .died_held = worker->died_held + worker->own_held,
      .died_front = worker->died_held ? sp_min_size(front, worker->died_front) : front,
      .share_held = worker->share_held,
      .queue = worker->queue,
      .cursor = sim->share ? sim->share[w] : 0,
      .seen = -1,
      .last_scored = worker->last_scored};
}

static bool has_work(const struct sim *sim, size_t w) {
  const struct sim_worker *worker = &sim->workers[w];
  return sim->rules->way == SIM_COUNTER || !worker->ended || worker->slots < sim->rules->depth;
}

/* A worker that has nothing left ends, and beats no more. */
static enum sp_status on_beat(struct sim *sim, size_t w) {
  if (!has_work(sim, w)) {
    return SP_OK;
  }
  sim_call(sim, &sim->result->directory, &sim->rules->beat, 1);
  return sim_post(sim, sim->now + sim->rules->lease / 5, SIM_BEAT, w, 0);
}

static enum sp_status on_death(struct sim *sim, size_t w) {
  if (!sim->workers[w].up || !has_work(sim, w)) {
    return SP_OK;
  }
  if (sim->rules->way != SIM_COUNTER) {
    die(sim, w);
    return sim_post(sim, sim->now + sim->rules->restart, SIM_START, w, 0);
  }
  for (size_t i = 0; i < sim->rules->workers; i++) {
    die(sim, i);
  }
  sim->tickets = sim->ticket = 0; /* nobody takes any until the job is back */
  return sim_post(sim, sim->now + sim->rules->restart, SIM_RESTART, 0, 0);
}

/* Tickets are of the shards that are not published. */
static enum sp_status on_restart(struct sim *sim) {
  size_t n = 0;
  struct sp_shares all;
  SP_TRY(sp_shares_make(sim->rules->shards, sim->rules->n_shards, 0, 1, &all, sim->err));
  for (size_t k = 0; k < all.n; k++) {
    if (sim->shards[all.order[k]].state != SHARD_PUBLISHED) {
      sim->order[n++] = all.order[k];
    }
  }
  sp_shares_release(&all);
  sim->ticket = 0;
  sim->tickets = n;
  for (size_t w = 0; w < sim->rules->workers; w++) {
    SP_TRY(on_start(sim, w));
  }
  return SP_OK;
}

enum sp_status sim_happen(struct sim *sim, const struct sim_event *event) {
  size_t w = event->worker;
  bool lives = event->life == sim->workers[w].life;
  sim->now = event->at;
  if (event->kind == SIM_DEATH) {
    return on_death(sim, w);
  }
  if (!lives) {
    return SP_OK;
  }
  switch (event->kind) {
    case SIM_START:
      return on_start(sim, w);
    case SIM_READY:
      return on_ready(sim, w);
    case SIM_DRAWN:
      return sim_on_drawn(sim, w, event->shard);
    case SIM_TAKEN:
      return sim_post(sim, sim_call(sim, &sim->result->storage, &sim->rules->input, 1), SIM_READ, w,
                      event->shard);
    case SIM_READ:
      return on_read(sim, w, event->shard);
    case SIM_SCORED:
      return on_scored(sim, w, event->shard);
    case SIM_PUBLISHED:
      return on_published(sim, w, event->shard);
    case SIM_LOOK:
      return on_look(sim, w);
    case SIM_BEAT:
      return on_beat(sim, w);
    case SIM_RESTART:
      return on_restart(sim);
    case SIM_DEATH:
      break;
  }
  return SP_OK;
}
