/* run_status.h - how far a run is and who works on it, seen from outside.
 *
 * A look reads only and may be taken at any time. It costs one listing of the directory, and of a run
 * without a plan each marker once.  It trusts names and markers; sp_run_verify proves.
 *
 * A worker is gone when it is on this host and its lock is free, or when looks of one watch have seen the same
 * beat for as long as its lease. So a single look takes the workers of other hosts for alive.
 *
 * Threads    one at a time for each watch. */
#ifndef SP_FORMATS_RUN_STATUS_H
#define SP_FORMATS_RUN_STATUS_H

#include "run_claims.h"

#ifdef __cplusplus
extern "C" {
#endif

enum sp_run_stage {
  SP_RUN_BEGINNING, /* the input is being read: there is no run.json yet */
  SP_RUN_PREPARED,  /* nobody works yet: what is to compute it is still open */
  SP_RUN_RUNNING,   /* somebody works */
  SP_RUN_STOPPED,   /* nobody does, and it is not complete */
  SP_RUN_COMPLETE,
};
/* "beginning", "prepared" .. "complete". */
const char *sp_run_stage_name(enum sp_run_stage stage);

struct sp_worker_status {
  struct sp_claim_worker is;
  bool alone;         /* it holds .lock, not a claim: no beat, no speed, no part */
  bool gone;
  double beat_age;    /* seconds since its beat was seen to change, or it was first seen; NaN at the first
                         look at it */
  size_t *shards;     /* (n_shards) it has in work, by index */
  size_t n_shards;
};

struct sp_run_status {
  enum sp_run_stage stage;
  /* 0 while the stage is SP_RUN_BEGINNING */
  size_t shards, done, running, stale, open; /* stale: claimed by a worker that is gone */
  uint64_t utts, utts_done, hyps, hyps_done;
  bool has_plan;
  double cost, cost_done;   /* predicted FLOPs, where there is a plan */
  double hyps_per_second;   /* of all workers, as they say; else from looks before; NaN: not known */
  double seconds_left;      /* NaN: not known */
  struct sp_worker_status *workers; /* (n_workers) by id */
  size_t n_workers;
};
void sp_run_status_release(struct sp_run_status *status);

struct sp_watch_rules {
  const char *run;
  double (*clock)(void *context); /* seconds, monotonic; NULL: sp_clock_seconds. For tests */
  void *context;
};

struct sp_run_watch;

/* Looks at nothing yet. The rules' text stays the caller's and must live as long. */
SP_MUST_CHECK enum sp_status sp_run_watch_create(const struct sp_watch_rules *rules,
                                                 struct sp_run_watch **out, struct sp_error *err);
/* NULL is fine. */
void sp_run_watch_destroy(struct sp_run_watch *watch);
/* Fills *out, which the caller releases. SP_EDAMAGED: not a run directory, or harmed. */
SP_MUST_CHECK enum sp_status sp_run_watch_look(struct sp_run_watch *watch,
                                               struct sp_run_status *out, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
