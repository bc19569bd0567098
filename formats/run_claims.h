/* run_claims.h - several workers on one run directory: who works on which shard, and who is gone.
 *
 * RUN/.claims/ holds, each under its name only when it is whole:
 *   worker-ID       JSON of a worker: host, pid, part, start, and a beat that it raises
 *   IIIII.G         claim G (from 1) on shard I; its content is the ID of the worker that made it
 *   plan.G          the same on making the run; finish.G: on closing it
 * The claim of the highest G counts, and there are no gaps below it.  It is live while its worker is.  A
 * worker is gone when its beat has not changed for `lease` seconds of the observer's own monotonic clock (no
 * clock is ever compared with another's), or at once when it is on this host and its flock on its file is
 * free.  A claim of a worker that is gone is taken over by making claim G+1, which link(2) gives to one alone.
 *
 * Claims only save work.  What keeps bytes right is publication (shard.h): link(2), on EEXIST the
 * checksums are compared and the own copy dropped; so a worker that sleeps through its lease does no
 * harm when it wakes, and neither does a directory that shows others' changes late.
 * Files that disappear while they are read are not errors. A claims directory that is gone belongs to a
 * run that was completed.
 *
 * Network file systems: nothing is concluded from a name that is not to be seen (a client may remember for a
 * minute that there was none), nor from a list of names (it may be late), but that an attempt is worth while;
 * link(2) then decides.  Its answer may be lost and asked for again: sp_file_link.
 *
 * Flow       RUN exists -> open -> [beat from a thread] -> elect SP_CLAIM_PLAN: make run.json and plan, or
 *            where they were only prepared say what computes, or find them -> take, score, publish, done .. -> all shards have markers: elect SP_CLAIM_FINISH:
 *            sp_run_sweep, sp_run_success_write, sp_claims_remove_all -> close.
 * Threads    beat may be called from one other thread; the rest from one thread. */
#ifndef SP_FORMATS_RUN_CLAIMS_H
#define SP_FORMATS_RUN_CLAIMS_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_RUN_CLAIMS ".claims"
#define SP_LEASE_SECONDS 60.0

struct sp_claims;

struct sp_claims_rules {
  const char *run;
  const char *part;                 /* "2/8", "rank 3 of 16": for status; NULL: none */
  double lease;                     /* seconds; 0: SP_LEASE_SECONDS. Of two workers' the longer counts */
  double (*clock)(void *context);   /* seconds, monotonic; NULL: sp_clock_seconds. For tests, simulators */
  /* Waits; false: stop waiting, the process is to end. NULL: sleeps. */
  bool (*pause)(void *context, double seconds);
  void *context; /* of both */
};

/* Makes .claims and this worker's file. SP_ELOCK when a process has RUN alone (RUN/.lock). */
SP_MUST_CHECK enum sp_status sp_claims_open(const struct sp_claims_rules *rules,
                                            struct sp_claims **out, struct sp_error *err);
/* Drops the claims still held, removes the worker's file; NULL is fine. */
void sp_claims_close(struct sp_claims *claims);
/* Raises the beat; call at least four times a lease.  `hyps_done`, `hyps_per_second` go into the file,
 * for status. SP_EIO is a warning's matter: the claims go on to the end of their lease. */
SP_MUST_CHECK enum sp_status sp_claims_beat(struct sp_claims *claims, uint64_t hyps_done,
                                            double hyps_per_second, struct sp_error *err);

enum sp_claim {
  SP_CLAIM_MINE,
  SP_CLAIM_HELD, /* by a worker that is, as far as seen until now, alive */
  SP_CLAIM_DONE, /* SP_CLAIM_PLAN alone: another has made the run */
};
/* Jobs of a run that one worker does, claimed as shards are. */
#define SP_CLAIM_PLAN SIZE_MAX
#define SP_CLAIM_FINISH (SIZE_MAX - 1)

/* Tries to claim a shard; one that is this worker's already is MINE again. What it observes of other workers is
 * kept, so that calling again later tells whether they are gone: once or twice a lease is enough, and spares
 * the file server. *took_over says that a worker that is gone had it.  The shard may have been published
 * since the caller last looked: look for its marker once it is MINE. */
SP_MUST_CHECK enum sp_status sp_claims_take(struct sp_claims *claims, size_t shard,
                                            enum sp_claim *claim, bool *took_over,
                                            struct sp_error *err);
/* Gives an own claim back (the shard is dropped), or removes all claims of a shard that is published, whoever
 * made them. Done with SP_CLAIM_PLAN leaves a mark instead, so that none who sees the new files late makes the
 * run again. */
void sp_claims_drop(struct sp_claims *claims, size_t shard);
void sp_claims_done(struct sp_claims *claims, size_t shard);

/* Agrees with the other workers who does a job: waits until it is done (`is_done` says so: by the files that it
 * makes) or is this worker's to do, which *mine tells; then call sp_claims_done or, on failure, drop.  A
 * worker that is gone while it does the job is replaced by one that waits.  SP_EINTERRUPTED when
 * rules.pause ended the waiting; SP_EIO when another says that it is done and two leases later is_done does not. */
typedef enum sp_status (*sp_claims_is_done_fn)(void *context, bool *done, struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_claims_elect(struct sp_claims *claims, size_t job,
                                             sp_claims_is_done_fn is_done, void *context,
                                             bool *mine, struct sp_error *err);

/* One worker, as its file says. */
struct sp_claim_worker {
  char id[96], host[256], part[64], start[32]; /* start: UTC, ISO 8601 */
  int64_t pid;
  uint64_t beat, hyps_done;
  double hyps_per_second;
  double lease;      /* seconds that it wants to be waited for */
  bool here, locked; /* on this host, and the file from the same mount; and its lock is held */
  bool gone;         /* known to be dead without waiting: here, and its lock is free */
};
/* All workers, and of each shard the claim that counts, by shard; for status and for who wants RUN alone. */
struct sp_claim_shard {
  size_t shard;
  uint32_t generation;
  char worker[96];
};
struct sp_claim_list {
  struct sp_claim_worker *workers;
  size_t n_workers;
  struct sp_claim_shard *shards; /* highest generation of each */
  size_t n_shards;
};
/* Both 0 where there is no .claims. Files that are no worker's or claim's are passed over, and claims on no shard
 * below `shards`; SIZE_MAX: on jobs too. */
SP_MUST_CHECK enum sp_status sp_claims_list(const char *run, size_t shards, struct sp_claim_list *out,
                                            struct sp_error *err);
void sp_claim_list_release(struct sp_claim_list *list);

/* SP_ELOCK, naming one, when there are workers that are not known to be gone: for who wants RUN alone. Of a
 * sealed run nobody is in the way: who sealed it may have died before it removed the claims. */
SP_MUST_CHECK enum sp_status sp_claims_refuse(const char *run, struct sp_error *err);

/* Removes .claims with all in it: by who finished the run. What a late worker still makes there stays. */
SP_MUST_CHECK enum sp_status sp_claims_remove_all(const char *run, struct sp_error *err);
/* Removes what workers that are gone left: temporary files of shards that are done (the names carry worker
 * ids, shard.h), and their worker files where no claim that counts names them. A temporary file of an open
 * shard stays: its worker may wake, and loses at publication. What sp_run_sweep removes it may remove once all
 * shards are done. */
SP_MUST_CHECK enum sp_status sp_claims_sweep(struct sp_claims *claims, struct sp_error *err);
/* For who has nothing left to do and would help others: which shards below `shards` are claimed, not counting
 * the own claims, from one list of names; no file is read.  *out (*n) is the caller's, to be freed; in no
 * order, a shard may come twice. None where there is no .claims. */
SP_MUST_CHECK enum sp_status sp_claims_held(const struct sp_claims *claims, size_t shards,
                                            uint32_t **out, size_t *n, struct sp_error *err);
/* What a claim tells of the worker that holds it.  When its beat was raised last is compared with this worker's
 * own by the times that the file server gave their files. */
enum sp_claim_life {
  SP_LIFE_NONE,    /* there is no claim, or of a worker that was silent before this one began */
  SP_LIFE_AT_WORK, /* on this host, or its last beat is less than a lease older than this worker's */
  SP_LIFE_SILENT,  /* neither, but it was at work when this worker had begun */
  SP_LIFE_DIED     /* and by now a claim of it can be taken over */
};
/* Whose claim on a shard counts. Calling it again later tells whether a worker is gone, as sp_claims_take. */
SP_MUST_CHECK enum sp_status sp_claims_holder(struct sp_claims *claims, size_t shard,
                                              struct sp_claim_worker *out,
                                              enum sp_claim_life *life, struct sp_error *err);
/* This worker's id, for names of temporary files; lives as long as the claims. */
const char *sp_claims_id(const struct sp_claims *claims);
/* Whether the file of the worker of that id is to be seen in RUN. */
SP_MUST_CHECK enum sp_status sp_claims_sees(const char *run, const char *id, bool *seen,
                                            struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
