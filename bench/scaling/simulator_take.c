/* simulator_take.c - which shard a worker takes next: a ticket, one of its share, or one of another part. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "simulator_state.h"

/* Near the end of the order a worker draws no more than keeps its device busy. */
static bool waits_for_turn(const struct sim *sim, const struct sim_worker *worker) {
  const struct sim_rules *rules = sim->rules;
  size_t left = sim->tickets - sim->ticket, flying = rules->depth - worker->slots;
  return left < rules->end_tickets * rules->workers && flying >= rules->end_depth;
}

static enum sp_status take_ticket(struct sim *sim, size_t w) {
  struct sim_worker *worker = &sim->workers[w];
  if (sim->ticket == sim->tickets || waits_for_turn(sim, worker)) {
    return SP_OK;
  }
  uint32_t s = sim->order[sim->ticket++];
  worker->taking = true;
  worker->slots--;
  return sim_post(sim, sim_call(sim, &sim->result->counter, &sim->rules->ticket, 1), SIM_DRAWN, w,
                  s);
}

static bool is_of_share(const struct sim *sim, size_t w, uint32_t s) {
  return sim->part && sim->part[s] == w;
}

static bool is_gone(const struct sim *sim, const struct sim_shard *shard) {
  return shard->state == SHARD_HELD && sim->workers[shard->worker].life != shard->life;
}

static void hold(struct sim *sim, size_t w, uint32_t s) {
  const struct sim_shard *shard = &sim->shards[s];
  if (shard->state != SHARD_HELD) {
    sim->held++;
    sim->workers[sim->part ? sim->part[s] : w].share_held++;
  } else if (is_gone(sim, shard) && is_of_share(sim, shard->worker, s)) {
    sim->workers[shard->worker].died_held--;
  }
  sim->shards[s] = (struct sim_shard){SHARD_HELD, (uint32_t)w, sim->workers[w].life};
  sim->workers[w].own_held += is_of_share(sim, w, s);
}

void sim_publish(struct sim *sim, size_t w, uint32_t s) {
  sim->shards[s].state = SHARD_PUBLISHED;
  sim->workers[w].own_held -= is_of_share(sim, w, s);
  sim->held--;
  sim->workers[sim->part ? sim->part[s] : w].share_held--;
  sim->published++;
  sim->end = sim->now;
}

enum sp_status sim_on_drawn(struct sim *sim, size_t w, uint32_t s) {
  hold(sim, w, s);
  return sim_post(sim, sim_call(sim, &sim->result->directory, &sim->rules->claim, 1), SIM_TAKEN, w,
                  s);
}

/* Whether worker w may have shard s: free, or held by a process that has been silent for a lease. */
static bool may_claim(struct sim *sim, struct sim_worker *worker, uint32_t s, bool *gone) {
  const struct sim_shard *shard = &sim->shards[s];
  *gone = is_gone(sim, shard);
  if (*gone && worker->seen < 0) {
    worker->seen = sim->now;
  }
  return shard->state == SHARD_OPEN || (*gone && sim->now - worker->seen >= sim->rules->lease);
}

static enum sp_status claim(struct sim *sim, size_t w, uint32_t s) {
  sim->workers[w].taking = true;
  sim->workers[w].slots--;
  return sim_on_drawn(sim, w, s);
}

size_t sim_front_of(const struct sim *sim, size_t part) {
  const struct sim_worker *owner = &sim->workers[part];
  if (!owner->up) {
    return owner->died_front;
  }
  return owner->cursor - sp_min_size(owner->own_held, owner->cursor - sim->share[part]);
}

/* Others know that it is dead. */
static bool has_died(const struct sim *sim, const struct sim_worker *worker) {
  return !worker->up && worker->died_held > 0 && sim->now >= worker->died_at + sim->rules->lease;
}

static bool may_be_open(const struct sim *sim, size_t part) {
  const struct sim_worker *owner = &sim->workers[part];
  return has_died(sim, owner) ||
         (owner->up && owner->own_held > 0 &&
          sim->share[part + 1] - sim_front_of(sim, part) > owner->share_held);
}

/* One list of the claims: the part at work, or dead, of them that a worker with this salt visits first, of those with a
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

/* Its worker has been dead for long enough. */
static bool is_left(const struct sim *sim, const struct sim_shard *shard) {
  return is_gone(sim, shard) && sim->now >= sim->workers[shard->worker].died_at + sim->rules->lease;
}

/* As help_parts.c: from the end on, farther with each step, and once more; what is looked at leaves the copy of
 * the share. */
static bool probe(struct sim *sim, struct sim_worker *worker, size_t *calls, uint32_t *found) {
  enum { calls_of_held = 4 };
  struct sp_shares *share = &worker->other;
  for (; share->n > 0; worker->salt++) {
    size_t at;
    for (unsigned step = 0; sp_shares_probe(share->n, step, worker->salt, &at); step++) {
      uint32_t s = share->order[at];
      const struct sim_shard *shard = &sim->shards[s];
      memmove(share->order + at, share->order + at + 1, (--share->n - at) * sizeof *share->order);
      *calls += shard->state == SHARD_HELD ? calls_of_held : 1;
      if (shard->state == SHARD_OPEN || is_left(sim, shard)) {
        *found = s;
        return true;
      }
    }
  }
  return false;
}

static enum sp_status copy_share(struct sim *sim, struct sim_worker *worker, size_t part) {
  size_t first = sim_front_of(sim, part);
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
  struct sim_worker *worker = &sim->workers[w];
  *found = probe(sim, worker, calls, s);
  while (!*found) {
    uint64_t after = 0;
    size_t part;
    worker->took = false;
    worker->salt = sp_shares_draw(w, worker->rounds++);
    sim_call(sim, &sim->result->directory, &sim->rules->name, sim->held + sim->rules->workers);
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

/* What a worker that ends asks (close_run.c): the claims, once and again while few are left; and of who may be the last
 * the list of the run. */
static void look_around(struct sim *sim) {
  enum { few = 64, looks = 8, calls_of_visit = 12, polls = 10, large_run = 1024 };
  struct sim_station *directory = &sim->result->directory;
  const size_t names = sim->held + sim->rules->workers;
  if (sim->rules->way ==
      SIM_OWN_SHARE) { /* one that helps has just listed them, and visited one more part */
    sim_call(sim, directory, &sim->rules->name, names);
  } else {
    sim_call(sim, directory, &sim->rules->look, calls_of_visit);
  }
  if (sim->held > few) {
    sim_call(sim, directory, &sim->rules->look, looks);
  } else if (sim->held > 0 && sim->rules->n_shards > large_run) {
    sim_call(sim, directory, &sim->rules->name, polls * names);
  } else {
    sim_list(sim);
  }
}

/* A part that may be helped has no more in flight than keeps the device busy: what it has claimed, nobody can help. */
static bool has_enough(const struct sim *sim, const struct sim_worker *worker) {
  const struct sim_rules *rules = sim->rules;
  return rules->way == SIM_PARTS && rules->depth - worker->slots >= rules->end_depth;
}

static bool others_work(const struct sim *sim, size_t w) {
  for (size_t o = 0; o < sim->rules->workers; o++) {
    const struct sim_worker *other = &sim->workers[o];
    if (o != w && other->up && other->slots < sim->rules->depth) {
      return true;
    }
  }
  return false;
}

/* When what the last of the dead held may be taken over; false: nothing is held by one that has just died. */
static bool await_silent(const struct sim *sim, double *until) {
  *until = 0;
  for (size_t o = 0; o < sim->rules->workers; o++) {
    const struct sim_worker *other = &sim->workers[o];
    if (!other->up && other->died_held > 0) {
      *until = fmax(*until, other->died_at + sim->rules->lease);
    }
  }
  return *until > sim->now;
}

/* There is nothing left to take. The last waits for those that died. */
static enum sp_status end(struct sim *sim, size_t w) {
  struct sim_worker *worker = &sim->workers[w];
  double until;
  worker->drains = true;
  if (worker->slots < sim->rules->depth || worker->looking) {
    return SP_OK;
  }
  if (sim->rules->way == SIM_PARTS && !others_work(sim, w) && await_silent(sim, &until)) {
    worker->looking = true;
    return sim_post(sim, until, SIM_LOOK, w, 0);
  }
  worker->ended = true;
  look_around(sim);
  return SP_OK;
}

static enum sp_status take_other(struct sim *sim, size_t w, uint32_t s, size_t calls) {
  struct sim_worker *worker = &sim->workers[w];
  double searched = sim_call(sim, &sim->result->directory, &sim->rules->look, calls) - sim->now;
  worker->taking = true;
  worker->slots--;
  sim->result->helped++;
  sim->result->taken_over += is_gone(sim, &sim->shards[s]);
  hold(sim, w, s);
  return sim_post(sim, searched + sim_call(sim, &sim->result->directory, &sim->rules->claim, 1),
                  SIM_TAKEN, w, s);
}

static enum sp_status help(struct sim *sim, size_t w) {
  struct sim_worker *worker = &sim->workers[w];
  size_t calls = 0;
  uint32_t s = 0;
  bool found = false;
  if (worker->ended) {
    return SP_OK;
  }
  if (worker->drains) {
    return end(sim, w);
  }
  if (sim->rules->way == SIM_PARTS) {
    if (has_enough(sim, worker)) {
      return SP_OK; /* again when one is published */
    }
    SP_TRY(find_other(sim, w, &calls, &s, &found));
  }
  if (found) {
    return take_other(sim, w, s, calls);
  }
  if (worker->held == 0) {
    return end(sim, w);
  }
  if (!worker->looking) {
    worker->looking = true;
    return sim_post(sim, sim->now + fmin(5, sim->rules->lease / 4), SIM_LOOK, w, 0);
  }
  return SP_OK;
}

/* Goes on through the own share; what others hold is looked at again when the share is at its end. */
static enum sp_status take_claim(struct sim *sim, size_t w) {
  struct sim_worker *worker = &sim->workers[w];
  for (; worker->cursor < sim->share[w + 1]; worker->cursor++) {
    bool gone;
    uint32_t s = sim->order[worker->cursor];
    const struct sim_shard *shard = &sim->shards[s];
    if (shard->state == SHARD_PUBLISHED) { /* known since the start, or found by now */
      sim_call(sim, &sim->result->directory, &sim->rules->look, shard->worker != w);
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
      sim_call(sim, &sim->result->directory, &sim->rules->look, 1);
      worker->held++;
    }
  }
  return help(sim, w);
}

enum sp_status sim_take(struct sim *sim, size_t w) {
  struct sim_worker *worker = &sim->workers[w];
  if (!worker->up || worker->taking || worker->slots == 0) {
    return SP_OK;
  }
  return sim->rules->way == SIM_COUNTER ? take_ticket(sim, w) : take_claim(sim, w);
}
