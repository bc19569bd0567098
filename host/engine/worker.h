/* worker.h - the state of one of many workers; run_worker.c, take_shards.c and help_parts.c share it. */
#ifndef SP_ENGINE_WORKER_H
#define SP_ENGINE_WORKER_H

#include "directory.h"
#include "heartbeat.h"
#include "ranks.h"
#include "shard_input.h"
#include "shares.h"

struct sp_worker {
  struct sp_directory *d;
  struct sp_claims *claims;
  struct sp_heartbeat *heartbeat;
  struct sp_plan_shard *plan; /* (d->shards) */
  struct sp_shares shares;    /* the shards of this part, in the order in which they are tried */
  bool helps;                 /* the shard that is taken is another part's */
  struct sp_shares all; /* the whole order, and where each shard stands in it: for a helper */
  uint32_t *place;      /* (d->shards); NULL until it helps */
  uint64_t rounds;      /* of helping */
  uint32_t *held;       /* (n_held) shards that others had under work when they were listed last; NULL: never */
  size_t n_held;
  double await_until; /* how long workers that fell silent are waited for; 0: they are not */
  struct sp_reframed reframed; /* once joined */
  struct sp_shard_input input;
  struct sp_job *job; /* taken from the pool, for the next shard; NULL: none */
  size_t *flying;     /* (n_flying) shards that were claimed and are not known to be published */
  size_t n_flying, flying_room;
  size_t collected; /* of them, since the beginning: published, or found to be */
  double start;  /* when this call began */
  bool summed;   /* the summary has what this worker did */
  char name[64]; /* "2/8", "rank 3 of 16" */
};

static inline const struct sp_score_options *sp_worker_options(const struct sp_worker *w) {
  return w->d->run->settings->options;
}
/* One worker alone reads on from shard to shard; several go to their own. */
static inline bool sp_has_other_workers(const struct sp_score_options *options) {
  return options->prepare || options->parts > 1 || (options->ranks && options->ranks->count > 1);
}
/* Seconds. */
static inline double sp_worker_lease(const struct sp_worker *w) {
  const double lease = sp_worker_options(w)->lease;
  return lease > 0 ? lease : SP_LEASE_SECONDS;
}

/* A pool's tick: progress, beats, claims of shards that are published meanwhile. */
void sp_worker_tick(void *worker);
/* Waits; false when the user wants to stop. */
bool sp_worker_pause(void *worker, double seconds);

/* enter_run.c: makes the run, or waits until another has; claims are open after the former. */
SP_MUST_CHECK enum sp_status sp_worker_enter(struct sp_worker *w, struct sp_error *err);
/* Reads plan and manifest, compares them with this command, and deals the shards. */
SP_MUST_CHECK enum sp_status sp_worker_join(struct sp_worker *w, struct sp_error *err);
/* A sealed run, all of it there, is left as it is: summary.already_complete. */
SP_MUST_CHECK enum sp_status sp_worker_check_complete(struct sp_worker *w, struct sp_error *err);
/* Claims and heartbeat, if they are not open yet. */
SP_MUST_CHECK enum sp_status sp_worker_open_claims(struct sp_worker *w, struct sp_error *err);
/* Whether the run has a file of that name, as far as can be seen. */
bool sp_worker_has(struct sp_worker *w, const char *name);
/* A sp_claims_is_done_fn: for who scores, a run that was only prepared is not made yet. */
SP_MUST_CHECK enum sp_status sp_worker_is_made(void *worker, bool *made, struct sp_error *err);

/* close_run.c: seals the run where all shards are done; few that are not are waited for, for a moment. */
SP_MUST_CHECK enum sp_status sp_worker_close(struct sp_worker *w, struct sp_error *err);

/* take_shards.c */
void sp_worker_name(struct sp_worker *w);
/* Deals the shards, and tells progress and summary which are done. */
SP_MUST_CHECK enum sp_status sp_worker_share(struct sp_worker *w, struct sp_error *err);
/* Scores every shard of the share that no other worker does, and waits for those: all are published then. Of
 * ranks each scores what it draws, and no more. */
SP_MUST_CHECK enum sp_status sp_worker_take_shards(struct sp_worker *w, struct sp_error *err);
/* After all ranks have scored what they drew: what is still open is of workers that are no ranks of this job.
 * Ranks share the waiting, so that a job does not look at every shard from every rank. */
SP_MUST_CHECK enum sp_status sp_worker_take_rest(struct sp_worker *w, struct sp_error *err);
/* Takes a shard of another part, if it is open. No more are under work at a time than keep the devices busy. */
SP_MUST_CHECK enum sp_status sp_worker_take_other(struct sp_worker *w, size_t shard, bool *taken,
                                                  struct sp_error *err);
/* Gives claims of published shards back. */
void sp_worker_collect(struct sp_worker *w);
/* Shards of the whole run that have no marker yet, as far as can be seen. */
SP_MUST_CHECK enum sp_status sp_worker_count_open(struct sp_worker *w, size_t *open,
                                                  struct sp_error *err);

/* help_parts.c: lists what others have under work. */
SP_MUST_CHECK enum sp_status sp_worker_list_held(struct sp_worker *w, struct sp_error *err);
bool sp_worker_may_help(const struct sp_worker *w);
/* One round among the parts that are at work, or died beside this one; *taken counts shards, 0 where there is nothing to do. */
SP_MUST_CHECK enum sp_status sp_worker_help(struct sp_worker *w, size_t *taken,
                                            struct sp_error *err);
/* Whether one of those that had a shard under work when they were listed last is alive, of a few that are asked. */
SP_MUST_CHECK enum sp_status sp_worker_others_work(struct sp_worker *w, bool *at_work,
                                                   struct sp_error *err);
/* After that: whether another round is worth it, as one that fell silent may be known to be gone by then. Waits
 * for that, for a lease and a quarter in all, where no other worker is at work. */
SP_MUST_CHECK enum sp_status sp_worker_await_silent(struct sp_worker *w, bool *again,
                                                    struct sp_error *err);

#endif
