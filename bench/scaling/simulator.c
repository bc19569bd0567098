#include "simulator.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "events.h"
#include "mix.h"

enum shard_state { OPEN, HELD, PUBLISHED };

struct shard {
  enum shard_state state;
  uint32_t worker, life; /* who holds it, in which life */
};

struct worker {
  uint32_t life;
  bool up, taking, scoring, looking;
  size_t slots;    /* free ones of `depth` */
  uint32_t *queue; /* (depth) a ring: shards whose input is there */
  size_t first, queued;
  size_t cursor, held; /* in the share; shards passed by since others hold them */
  double seen;         /* when it first saw a claim of a process that is gone; negative: not yet */
  bool ended;
  size_t own_held;        /* of its own share, under work here .. */
  size_t share_held;      /* .. and anywhere */
  struct sp_shares other; /* what is left of the share of the part that it helps */
  uint64_t salt, rounds;
  bool took; /* in this round */
  double scoring_since, last_scored;
  double unpublished; /* device seconds in shards that are scored, not published */
  uint64_t unpublished_shards;
};

struct sim {
  const struct sim_rules *rules;
  struct sim_result *result;
  struct sim_events events;
  struct shard *shards;   /* (n_shards) */
  struct worker *workers; /* (workers) */
  uint32_t *queues;       /* (workers, depth) */
  uint32_t *order;        /* (n_shards) with parts: of part 0, then of part 1, .. */
  size_t *share;          /* (workers + 1) with parts: where each begins */
  uint32_t *part;         /* (n_shards) with parts: whose share each is of */
  size_t ticket, tickets; /* with the counter: of `order` */
  size_t published, held;
  double now, end;
  uint32_t job; /* lives of the whole job */
  struct sp_error *err;
};

/* ---- stations ---- */

static double visit(struct sim *sim, struct sim_station *station, const struct sim_visit *what,
                    size_t times) {
  double begin = station->free_at > sim->now ? station->free_at : sim->now;
  station->free_at = begin + what->service * (double)times;
  station->busy += what->service * (double)times;
  station->waited += begin - sim->now;
  station->visits += times;
  return begin + what->latency * (double)times;
}

/* The directory's list tells what is done. */
static double visit_list(struct sim *sim) {
  return visit(sim, &sim->result->directory, &sim->rules->name, 2 * sim->published);
}

static enum sp_status post(struct sim *sim, double at, enum sim_event_kind kind, size_t worker,
                           size_t shard) {
  struct sim_event event = {.at = at,
                            .kind = kind,
                            .worker = (uint32_t)worker,
                            .shard = (uint32_t)shard,
                            .life = sim->workers[worker].life};
  return sim_events_add(&sim->events, event, sim->err);
}

/* ---- taking ---- */

/* Near the end of the order a worker draws no more than keeps its device busy. */
static bool waits_for_turn(const struct sim *sim, const struct worker *worker) {
  const struct sim_rules *rules = sim->rules;
  size_t left = sim->tickets - sim->ticket, flying = rules->depth - worker->slots;
  return left < rules->end_tickets * rules->workers && flying >= rules->end_depth;
}

static enum sp_status take_ticket(struct sim *sim, size_t w) {
  struct worker *worker = &sim->workers[w];
  if (sim->ticket == sim->tickets || waits_for_turn(sim, worker)) {
    return SP_OK;
  }
  uint32_t s = sim->order[sim->ticket++];
  worker->taking = true;
  worker->slots--;
  return post(sim, visit(sim, &sim->result->counter, &sim->rules->ticket, 1), SIM_DRAWN, w, s);
}

static bool is_of_share(const struct sim *sim, size_t w, uint32_t s) {
  return sim->part && sim->part[s] == w;
}

static void hold(struct sim *sim, size_t w, uint32_t s) {
  if (sim->shards[s].state != HELD) {
    sim->held++;
    sim->workers[sim->part ? sim->part[s] : w].share_held++;
  }
  sim->shards[s] = (struct shard){HELD, (uint32_t)w, sim->workers[w].life};
  sim->workers[w].own_held += is_of_share(sim, w, s);
}

static enum sp_status on_drawn(struct sim *sim, size_t w, uint32_t s) {
  hold(sim, w, s);
  return post(sim, visit(sim, &sim->result->directory, &sim->rules->claim, 1), SIM_TAKEN, w, s);
}

/* Whether worker w may have shard s: free, or held by a process that has been silent for a lease. */
static bool may_claim(struct sim *sim, struct worker *worker, uint32_t s, bool *gone) {
  const struct shard *shard = &sim->shards[s];
  *gone = shard->state == HELD && sim->workers[shard->worker].life != shard->life;
  if (*gone && worker->seen < 0) {
    worker->seen = sim->now;
  }
  return shard->state == OPEN || (*gone && sim->now - worker->seen >= sim->rules->lease);
}

static enum sp_status claim(struct sim *sim, size_t w, uint32_t s) {
  sim->workers[w].taking = true;
  sim->workers[w].slots--;
  return on_drawn(sim, w, s);
}

/* What is under work of a part's share begins here; what its worker has done is before it. */
static size_t front_of(const struct sim *sim, size_t part) {
  const struct worker *owner = &sim->workers[part];
  return owner->cursor - sp_min_size(owner->own_held, owner->cursor - sim->share[part]);
}

static bool may_be_open(const struct sim *sim, size_t part) {
  const struct worker *owner = &sim->workers[part];
  return owner->up && owner->own_held > 0 &&
         sim->share[part + 1] - front_of(sim, part) > owner->share_held;
}

/* One list of the claims: the live part of them that a worker with this salt visits first, of those with a
 * draw above *after. False: none. */
static bool next_part(const struct sim *sim, size_t w, uint64_t *after, size_t *part) {
  bool found = false;
  uint64_t best = 0;
  for (size_t p = 0; p < sim->rules->workers; p++) {
    uint64_t draw = sp_shares_draw(p, sim->workers[w].salt);
    if (p != w && may_be_open(sim, p) && draw > *after && (!found || draw < best)) {
      found = true;
      best = draw;
      *part = p;
    }
  }
  *after = best;
  return found;
}

/* As help_parts.c: from the end on, farther with each step, and once more; what is looked at leaves the copy of
 * the share. */
static bool probe(struct sim *sim, struct worker *worker, size_t *calls, uint32_t *found) {
  enum { calls_of_held = 4 };
  struct sp_shares *share = &worker->other;
  for (; share->n > 0; worker->salt++) {
    size_t at;
    for (unsigned step = 0; sp_shares_probe(share->n, step, worker->salt, &at); step++) {
      uint32_t s = share->order[at];
      enum shard_state state = sim->shards[s].state;
      memmove(share->order + at, share->order + at + 1, (--share->n - at) * sizeof *share->order);
      *calls += state == HELD ? calls_of_held : 1;
      if (state == OPEN) {
        *found = s;
        return true;
      }
    }
  }
  return false;
}

static enum sp_status copy_share(struct sim *sim, struct worker *worker, size_t part) {
  size_t first = front_of(sim, part);
  size_t n = sim->share[part + 1] - first;
  uint32_t *order = realloc(worker->other.order, (n + 1) * sizeof *order);
  if (!order) {
    return sp_fail_memory(sim->err, n * sizeof *order);
  }
  memcpy(order, sim->order + first, n * sizeof *order);
  worker->other = (struct sp_shares){order, n};
  return SP_OK;
}

/* A shard of another part, of rounds of up to 4 parts that turn out to have nothing, until one takes nothing. */
static enum sp_status find_other(struct sim *sim, size_t w, size_t *calls, uint32_t *s,
                                 bool *found) {
  enum { most_visits = 4, calls_of_holder = 4 };
  struct worker *worker = &sim->workers[w];
  *found = probe(sim, worker, calls, s);
  while (!*found) {
    uint64_t after = 0;
    size_t part;
    worker->took = false;
    worker->salt = sp_shares_draw(w, worker->rounds++);
    visit(sim, &sim->result->directory, &sim->rules->name, sim->held + sim->rules->workers);
    for (int visits = 0; visits < most_visits && !*found && next_part(sim, w, &after, &part);
         visits++) {
      *calls += calls_of_holder;
      SP_TRY(copy_share(sim, worker, part));
      *found = probe(sim, worker, calls, s);
    }
    if (!*found) {
      return SP_OK;
    }
  }
  worker->took = true;
  return SP_OK;
}

/* What a worker that ends asks: the claims; and where few are left, the list of the run. */
static void look_around(struct sim *sim) {
  enum { few = 64, looks = 8, calls_of_visit = 12 };
  if (sim->rules->way ==
      SIM_OWN_SHARE) { /* one that helps has just listed them, and visited one more part */
    visit(sim, &sim->result->directory, &sim->rules->name, sim->held + sim->rules->workers);
  } else {
    visit(sim, &sim->result->directory, &sim->rules->look, calls_of_visit);
  }
  if (sim->held > few) {
    visit(sim, &sim->result->directory, &sim->rules->look, looks);
  } else {
    visit_list(sim);
  }
}

/* A part that may be helped has no more in flight than keeps the device busy: what it has claimed, nobody can help. */
static bool has_enough(const struct sim *sim, const struct worker *worker) {
  const struct sim_rules *rules = sim->rules;
  return rules->way == SIM_PARTS && rules->depth - worker->slots >= rules->end_depth;
}

static enum sp_status help(struct sim *sim, size_t w) {
  struct worker *worker = &sim->workers[w];
  size_t calls = 0;
  uint32_t s = 0;
  bool found = false;
  if (sim->rules->way == SIM_PARTS) {
    if (has_enough(sim, worker)) {
      return SP_OK; /* again when one is published */
    }
    SP_TRY(find_other(sim, w, &calls, &s, &found));
  }
  if (found) {
    double searched = visit(sim, &sim->result->directory, &sim->rules->look, calls) - sim->now;
    worker->taking = true;
    worker->slots--;
    sim->result->helped++;
    hold(sim, w, s);
    return post(sim, searched + visit(sim, &sim->result->directory, &sim->rules->claim, 1),
                SIM_TAKEN, w, s);
  }
  if (worker->held > 0 && !worker->looking) {
    worker->looking = true;
    return post(sim, sim->now + fmin(5, sim->rules->lease / 4), SIM_LOOK, w, 0);
  }
  if (worker->held == 0 && !worker->ended) {
    worker->ended = true;
    look_around(sim);
  }
  return SP_OK;
}

/* Goes on through the own share; what others hold is looked at again when the share is at its end. */
static enum sp_status take_claim(struct sim *sim, size_t w) {
  struct worker *worker = &sim->workers[w];
  for (; worker->cursor < sim->share[w + 1]; worker->cursor++) {
    bool gone;
    uint32_t s = sim->order[worker->cursor];
    const struct shard *shard = &sim->shards[s];
    if (shard->state == PUBLISHED) { /* known since the start, or found by now */
      visit(sim, &sim->result->directory, &sim->rules->look, shard->worker != w);
      continue;
    }
    if (has_enough(sim, worker)) {
      return SP_OK;
    }
    if (may_claim(sim, worker, s, &gone)) {
      sim->result->taken_over += gone;
      worker->cursor++;
      return claim(sim, w, s);
    }
    if (gone || shard->worker != w) {
      visit(sim, &sim->result->directory, &sim->rules->look, 1);
      worker->held++;
    }
  }
  return help(sim, w);
}

static enum sp_status take(struct sim *sim, size_t w) {
  struct worker *worker = &sim->workers[w];
  if (!worker->up || worker->taking || worker->slots == 0) {
    return SP_OK;
  }
  return sim->rules->way == SIM_COUNTER ? take_ticket(sim, w) : take_claim(sim, w);
}

/* ---- scoring and publishing ---- */

static double shard_seconds(const struct sim *sim, size_t w, uint32_t s) {
  const struct sim_rules *rules = sim->rules;
  double u = 2 * sp_unit64(sp_mix64((uint64_t)s + 1)) - 1;
  double seconds =
      rules->shard_seconds + rules->shards[s].cost / rules->rate * (1 + rules->jitter * u);
  return seconds / (rules->speed ? rules->speed[w] : 1);
}

static enum sp_status score_next(struct sim *sim, size_t w) {
  struct worker *worker = &sim->workers[w];
  if (worker->scoring || worker->queued == 0) {
    return SP_OK;
  }
  uint32_t s = worker->queue[worker->first];
  worker->first = (worker->first + 1) % sim->rules->depth;
  worker->queued--;
  worker->scoring = true;
  worker->scoring_since = sim->now;
  return post(sim, sim->now + shard_seconds(sim, w, s), SIM_SCORED, w, s);
}

static enum sp_status on_read(struct sim *sim, size_t w, uint32_t s) {
  struct worker *worker = &sim->workers[w];
  worker->taking = false;
  worker->queue[(worker->first + worker->queued++) % sim->rules->depth] = s;
  SP_TRY(score_next(sim, w));
  return take(sim, w);
}

static enum sp_status on_scored(struct sim *sim, size_t w, uint32_t s) {
  struct worker *worker = &sim->workers[w];
  worker->scoring = false;
  worker->unpublished += sim->now - worker->scoring_since;
  worker->unpublished_shards++;
  worker->last_scored = sim->now;
  SP_TRY(
      post(sim, visit(sim, &sim->result->directory, &sim->rules->publish, 1), SIM_PUBLISHED, w, s));
  return score_next(sim, w);
}

static enum sp_status on_published(struct sim *sim, size_t w, uint32_t s) {
  struct worker *worker = &sim->workers[w];
  sim->shards[s].state = PUBLISHED;
  sim->workers[w].own_held -= is_of_share(sim, w, s);
  sim->held--;
  sim->workers[sim->part ? sim->part[s] : w].share_held -= 1;
  sim->published++;
  sim->end = sim->now;
  worker->unpublished -= shard_seconds(sim, w, s);
  worker->unpublished_shards--;
  worker->slots++;
  return take(sim, w);
}

/* ---- life and death ---- */

static enum sp_status on_start(struct sim *sim, size_t w) {
  const struct sim_rules *rules = sim->rules;
  struct sim_result *r = sim->result;
  bool loads = rules->way != SIM_COUNTER || w == 0;
  double listed = visit_list(sim);
  double loaded =
      loads ? visit(sim, &r->storage, &rules->model, 1) : sim->now + rules->model.latency;
  return post(sim, (listed > loaded ? listed : loaded) + rules->launch, SIM_READY, w, 0);
}

static enum sp_status on_ready(struct sim *sim, size_t w) {
  struct worker *worker = &sim->workers[w];
  worker->up = true;
  worker->slots = sim->rules->depth;
  SP_TRY(post(sim, sim->now + sim->rules->lease / 5, SIM_BEAT, w, 0));
  return take(sim, w);
}

static enum sp_status on_look(struct sim *sim, size_t w) {
  struct worker *worker = &sim->workers[w];
  worker->looking = false;
  worker->held = 0;
  worker->cursor = sim->share[w];
  return take(sim, w);
}

/* What the process had is lost; its claims stay. */
static void die(struct sim *sim, size_t w) {
  struct worker *worker = &sim->workers[w];
  struct sim_result *r = sim->result;
  double half = worker->scoring ? sim->now - worker->scoring_since : 0;
  r->lost += worker->unpublished + half;
  r->lost_shards += worker->unpublished_shards + worker->scoring;
  free(worker->other.order);
  *worker = (struct worker){.life = worker->life + 1,
                            .share_held = worker->share_held,
                            .queue = worker->queue,
                            .cursor = sim->share ? sim->share[w] : 0,
                            .seen = -1,
                            .last_scored = worker->last_scored};
}

static bool has_work(const struct sim *sim, size_t w) {
  const struct worker *worker = &sim->workers[w];
  return sim->rules->way == SIM_COUNTER || !worker->ended || worker->slots < sim->rules->depth;
}

/* A worker that has nothing left ends, and beats no more. */
static enum sp_status on_beat(struct sim *sim, size_t w) {
  if (!has_work(sim, w)) {
    return SP_OK;
  }
  visit(sim, &sim->result->directory, &sim->rules->beat, 1);
  return post(sim, sim->now + sim->rules->lease / 5, SIM_BEAT, w, 0);
}

static enum sp_status on_death(struct sim *sim, size_t w) {
  if (!sim->workers[w].up || !has_work(sim, w)) {
    return SP_OK;
  }
  if (sim->rules->way != SIM_COUNTER) {
    die(sim, w);
    return post(sim, sim->now + sim->rules->restart, SIM_START, w, 0);
  }
  for (size_t i = 0; i < sim->rules->workers; i++) {
    die(sim, i);
  }
  sim->tickets = sim->ticket = 0; /* nobody takes any until the job is back */
  return post(sim, sim->now + sim->rules->restart, SIM_RESTART, 0, 0);
}

/* Tickets are of the shards that are not published. */
static enum sp_status on_restart(struct sim *sim) {
  size_t n = 0;
  struct sp_shares all;
  SP_TRY(sp_shares_make(sim->rules->shards, sim->rules->n_shards, 0, 1, &all, sim->err));
  for (size_t k = 0; k < all.n; k++) {
    if (sim->shards[all.order[k]].state != PUBLISHED) {
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

/* ---- the run ---- */

static enum sp_status happen(struct sim *sim, const struct sim_event *event) {
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
      return on_drawn(sim, w, event->shard);
    case SIM_TAKEN:
      return post(sim, visit(sim, &sim->result->storage, &sim->rules->input, 1), SIM_READ, w,
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
      SP_TRY(post(sim, 0, SIM_START, w, 0));
    }
  } else {
    SP_TRY(post(sim, 0, SIM_RESTART, 0, 0));
  }
  for (size_t i = 0; i < rules->n_deaths; i++) {
    SP_TRY(post(sim, rules->deaths[i].at, SIM_DEATH, rules->deaths[i].worker, i));
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
    status = happen(&sim, &event);
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
