#include "simulator.h"

#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "simulator_state.h"

/* The engine's own dealing: shares of all parts, one after the other. */
static void deal(struct sim *sim, const struct sp_shares *all) {
  size_t parts = sim->rules->workers;
  memset(sim->share, 0, (parts + 1) * sizeof *sim->share);
  for (size_t k = 0; k < all->n; k++) {
    sim->share[sp_shares_part(k, parts) + 1]++;
  }
  for (size_t p = 0; p < parts; p++) {
    sim->share[p + 1] += sim->share[p];
    sim->workers[p].cursor = sim->share[p];
  }
  for (size_t k = 0; k < all->n; k++) {
    size_t p = sp_shares_part(k, parts);
    sim->order[sim->workers[p].cursor++] = all->order[k];
    sim->part[all->order[k]] = (uint32_t)p;
  }
  for (size_t p = 0; p < parts; p++) {
    sim->workers[p].cursor = sim->share[p];
  }
}

static enum sp_status make_room(struct sim *sim) {
  const struct sim_rules *rules = sim->rules;
  size_t queue = sp_mul_sat(rules->workers, rules->depth);
  sim->shards = calloc(rules->n_shards, sizeof *sim->shards);
  sim->workers = calloc(rules->workers, sizeof *sim->workers);
  sim->queues = calloc(queue, sizeof *sim->queues);
  sim->order = calloc(rules->n_shards, sizeof *sim->order);
  sim->share = rules->way != SIM_COUNTER ? calloc(rules->workers + 1, sizeof *sim->share) : NULL;
  sim->part = rules->way != SIM_COUNTER ? calloc(rules->n_shards, sizeof *sim->part) : NULL;
  if (!sim->shards || !sim->workers || !sim->queues || !sim->order ||
      (rules->way != SIM_COUNTER && (!sim->share || !sim->part))) {
    return sp_fail_memory(sim->err, queue * sizeof *sim->queues);
  }
  for (size_t w = 0; w < rules->workers; w++) {
    sim->workers[w].queue = sim->queues + w * rules->depth;
    sim->workers[w].seen = -1;
  }
  return SP_OK;
}

static enum sp_status begin(struct sim *sim) {
  const struct sim_rules *rules = sim->rules;
  SP_TRY(make_room(sim));
  if (rules->way != SIM_COUNTER) {
    struct sp_shares all;
    SP_TRY(sp_shares_make(rules->shards, rules->n_shards, 0, 1, &all, sim->err));
    deal(sim, &all);
    sp_shares_release(&all);
    for (size_t w = 0; w < rules->workers; w++) {
      SP_TRY(sim_post(sim, 0, SIM_START, w, 0));
    }
  } else {
    SP_TRY(sim_post(sim, 0, SIM_RESTART, 0, 0));
  }
  for (size_t i = 0; i < rules->n_deaths; i++) {
    SP_TRY(sim_post(sim, rules->deaths[i].at, SIM_DEATH, rules->deaths[i].worker, i));
  }
  return SP_OK;
}

static enum sp_status check(const struct sim_rules *r, struct sp_error *err) {
  bool positive = r->rate > 0 && r->lease > 0 && r->restart >= 0 && r->shard_seconds >= 0;
  if (r->workers == 0 || r->workers > UINT32_MAX || r->depth == 0 || r->n_shards == 0 ||
      !positive) {
    return sp_fail(err, SP_EUSAGE, "a simulation needs workers, shards, a rate and a lease");
  }
  for (size_t w = 0; r->speed && w < r->workers; w++) {
    if (!(r->speed[w] > 0)) {
      return sp_fail(err, SP_EUSAGE, "the speed of worker %zu is not over 0", w);
    }
  }
  for (size_t i = 0; i < r->n_deaths; i++) {
    if (r->deaths[i].worker >= r->workers || !(r->deaths[i].at >= (i ? r->deaths[i - 1].at : 0))) {
      return sp_fail(err, SP_EUSAGE, "death %zu is of no worker, or out of order", i);
    }
  }
  return SP_OK;
}

static void sum_up(struct sim *sim) {
  const struct sim_rules *rules = sim->rules;
  struct sim_result *r = sim->result;
  for (size_t s = 0; s < rules->n_shards; s++) {
    r->ideal += rules->shard_seconds + rules->shards[s].cost / rules->rate;
  }
  for (size_t w = 0; w < rules->workers; w++) {
    r->capacity += rules->speed ? rules->speed[w] : 1;
    r->idle_end += (sim->end - sim->workers[w].last_scored) / (double)rules->workers;
  }
  r->seconds = sim->end + rules->seal;
}

enum sp_status sim_run(const struct sim_rules *rules, struct sim_result *result,
                       struct sp_error *err) {
  struct sim sim = {.rules = rules, .result = result, .err = err};
  struct sim_event event;
  *result = (struct sim_result){0};
  SP_TRY(check(rules, err));
  enum sp_status status = begin(&sim);
  while (status == SP_OK && sim.published < rules->n_shards &&
         sim_events_next(&sim.events, &event)) {
    status = sim_happen(&sim, &event);
  }
  if (status == SP_OK && sim.published < rules->n_shards) {
    status = sp_fail(err, SP_EUSAGE, "the simulation stopped with %zu of %zu shards published",
                     sim.published, rules->n_shards);
  }
  if (status == SP_OK) {
    sum_up(&sim);
  }
  sim_events_release(&sim.events);
  for (size_t w = 0; sim.workers && w < rules->workers; w++) {
    free(sim.workers[w].other.order);
  }
  free(sim.part);
  free(sim.shards);
  free(sim.workers);
  free(sim.queues);
  free(sim.order);
  free(sim.share);
  return status;
}

double sim_efficiency(const struct sim_rules *rules, const struct sim_result *result) {
  return result->ideal / ((double)rules->workers * result->seconds);
}

double sim_efficiency_of_capacity(const struct sim_result *result) {
  return result->ideal / (result->capacity * result->seconds);
}
