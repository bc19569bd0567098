/* simulator_state.h - a simulation in progress: shards, workers, stations, and what happens next.
 *
 * simulator.c begins a run and sums it up; simulator_worker.c is what happens to workers, simulator_take.c
 * which shard each takes. A worker is told by its number, `w`, a shard by its index, `s`. */
#ifndef SP_BENCH_SIMULATOR_STATE_H
#define SP_BENCH_SIMULATOR_STATE_H

#include "events.h"
#include "simulator.h"

enum sim_shard_state { SHARD_OPEN, SHARD_HELD, SHARD_PUBLISHED };

struct sim_shard {
  enum sim_shard_state state;
  uint32_t worker, life; /* who holds it, in which life */
};

struct sim_worker {
  uint32_t life;
  bool up, taking, scoring, looking;
  bool drains; /* found nothing, and finishes what it has */
  size_t slots;    /* free ones of `depth` */
  uint32_t *queue; /* (depth) a ring: shards whose input is there */
  size_t first, queued;
  size_t cursor, held; /* in the share; shards passed by since others hold them */
  double seen;         /* when it first saw a claim of a process that is gone; negative: not yet */
  bool ended;
  size_t own_held;        /* of its own share, under work here .. */
  size_t share_held;      /* .. and anywhere */
  double died_at;         /* it, or the one before it .. */
  size_t died_held;       /* .. with so many of its own share, that nobody has taken over .. */
  size_t died_front;      /* .. from this place of it on */
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
  struct sim_shard *shards;   /* (n_shards) */
  struct sim_worker *workers; /* (workers) */
  uint32_t *queues;           /* (workers, depth) */
  uint32_t *order;            /* (n_shards) with parts: of part 0, then of part 1, .. */
  size_t *share;              /* (workers + 1) with parts: where each begins */
  uint32_t *part;             /* (n_shards) with parts: whose share each is of */
  size_t ticket, tickets;     /* with the counter: of `order` */
  size_t published, held;
  double now, end;
  struct sp_error *err;
};

/* A visit that begins now: the time of its answer. `times` such visits follow each other. */
double sim_call(struct sim *sim, struct sim_station *station, const struct sim_visit *what,
                size_t times);
/* The directory's list, which tells what is done. */
double sim_list(struct sim *sim);
SP_MUST_CHECK enum sp_status sim_post(struct sim *sim, double at, enum sim_event_kind kind,
                                      size_t w, size_t s);

/* ---- simulator_take.c ---- */

/* What is under work of a part's share begins here; what its worker has done is before it. */
size_t sim_front_of(const struct sim *sim, size_t part);

/* Begins to take one where the worker can: it is up, takes none yet, and has a free slot. */
SP_MUST_CHECK enum sp_status sim_take(struct sim *sim, size_t w);
/* It has the ticket of s, which it claims now. */
SP_MUST_CHECK enum sp_status sim_on_drawn(struct sim *sim, size_t w, uint32_t s);
/* Nobody holds s any more: it is done. */
void sim_publish(struct sim *sim, size_t w, uint32_t s);

/* ---- simulator_worker.c ---- */

/* Sets the clock to the event's time, and does what it says. */
SP_MUST_CHECK enum sp_status sim_happen(struct sim *sim, const struct sim_event *event);

#endif
