/* run_worker.c - one of many workers on a run directory: makes the run or joins it (enter_run.c), scores its part of
 * the shards (take_shards.c), and closes the run where all are done (close_run.c).  Ranks of one job go from step
 * to step together. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "file.h"
#include "run_files.h"
#include "run_scan.h"
#include "worker.h"

/* ---- waiting ---- */

static void warn_of_beats(struct sp_worker *w) {
  struct sp_error why, text;
  if (w->heartbeat && sp_heartbeat_failed(w->heartbeat, &why)) {
    sp_fail(&text, SP_EIO, "others may take this worker for gone, its beat cannot be raised: %s",
            why.message);
    sp_warn(sp_worker_options(w), text.message);
  }
}

void sp_worker_tick(void *worker) {
  struct sp_worker *w = worker;
  struct sp_run *run = w->d->run;
  if (run->pool) {
    sp_heartbeat_tell(w->heartbeat, (uint64_t)sp_pool_get_done(run->pool).hyps);
    sp_worker_collect(w);
    sp_run_tell(run, false);
  } else if (sp_worker_options(w)->progress) { /* another reads the archive */
    struct sp_progress progress = {.seconds = sp_clock_seconds() - w->start, .validating = true};
    sp_worker_options(w)->progress(sp_worker_options(w)->context, &progress);
  }
  warn_of_beats(w);
}

bool sp_worker_pause(void *worker, double seconds) {
  const struct timespec step = {.tv_nsec = 20000000};
  double until = sp_clock_seconds() + seconds;
  while (!sp_stop_wanted(sp_worker_options(worker)) && sp_clock_seconds() < until) {
    nanosleep(&step, NULL);
  }
  sp_worker_tick(worker);
  return !sp_stop_wanted(sp_worker_options(worker));
}

/* ---- ranks of one job ---- */

/* The worst status of all ranks is everybody's. */
static enum sp_status agree(struct sp_worker *w, enum sp_status status, struct sp_error *err) {
  const struct sp_ranks *ranks = sp_worker_options(w)->ranks;
  return ranks ? ranks->agree(ranks->context, status, err) : status;
}

static bool is_first(const struct sp_worker *w) {
  const struct sp_ranks *ranks = sp_worker_options(w)->ranks;
  return !ranks || ranks->rank == 0;
}

/* ---- the ranks see one run ---- */

/* No thread may write, and no claim be held, while others are waited for. */
static void let_go(struct sp_worker *w) {
  sp_pool_destroy(w->d->run->pool);
  w->d->run->pool = NULL;
  sp_heartbeat_stop(w->heartbeat);
  w->heartbeat = NULL;
  sp_claims_close(w->claims);
  w->claims = NULL;
  w->d->worker = NULL;
}

static enum sp_status settle(struct sp_worker *w, enum sp_status status, struct sp_error *err) {
  if (status != SP_OK) {
    let_go(w);
  }
  return agree(w, status, err);
}

/* Rank 0 makes the run. The others know it by the file of rank 0's worker, which no other run has; a sealed
 * run, which needs no claims, by its seal. */
static enum sp_status enter_first(struct sp_worker *w, struct sp_error *err) {
  SP_TRY(sp_worker_enter(w, err));
  return !sp_worker_options(w)->ranks || sp_worker_has(w, SP_RUN_SUCCESS)
             ? SP_OK
             : sp_worker_open_claims(w, err);
}

static enum sp_status sees(struct sp_worker *w, const char *first, bool *seen,
                           struct sp_error *err) {
  bool made;
  SP_TRY(sp_worker_is_made(w, &made, err));
  *seen = made && sp_worker_has(w, SP_RUN_SUCCESS);
  return made && *first ? sp_claims_sees(w->d->path, first, seen, err) : SP_OK;
}

/* For a lease at most: a network file system may show late what rank 0 made. */
static enum sp_status await_run(struct sp_worker *w, const char *first, struct sp_error *err) {
  const double lease = sp_worker_lease(w), until = sp_clock_seconds() + lease;
  bool seen, late = false;
  SP_TRY(sees(w, first, &seen, err));
  while (!seen && !late) {
    if (!sp_worker_pause(w, lease < 60 ? lease / 60 : 1)) {
      return sp_fail(err, SP_EINTERRUPTED, "interrupted");
    }
    late = sp_clock_seconds() >= until;
    if (sp_file_exists(w->d->path)) {
      SP_TRY(sp_run_look_afresh(w->d->path, err));
    }
    SP_TRY(sees(w, first, &seen, err));
  }
  return seen ? SP_OK
              : sp_fail(err, SP_EIO,
                        "does not see the run that rank 0 made in %s: not on a shared file system, "
                        "or another --out",
                        w->d->path);
}

/* Who would make a run of its own here, or find an old one, would score it beside the others, unnoticed. */
static enum sp_status meet_in_run(struct sp_worker *w, struct sp_error *err) {
  const struct sp_ranks *ranks = sp_worker_options(w)->ranks;
  char first[sizeof((struct sp_claim_worker *)0)->id] = "";
  if (!ranks) {
    return SP_OK;
  }
  if (w->claims) {
    memcpy(first, sp_claims_id(w->claims), strlen(sp_claims_id(w->claims)) + 1);
  }
  SP_TRY(ranks->broadcast(ranks->context, first, sizeof first, err));
  first[sizeof first - 1] = '\0';
  return settle(w, is_first(w) ? SP_OK : await_run(w, first, err), err);
}

/* Rank 0's word counts: others may see the seal later. */
static enum sp_status share_complete(struct sp_worker *w, struct sp_error *err) {
  const struct sp_ranks *ranks = sp_worker_options(w)->ranks;
  bool *complete = &w->d->run->summary->already_complete;
  return ranks ? ranks->broadcast(ranks->context, complete, sizeof *complete, err) : SP_OK;
}

/* ---- the whole ---- */

static bool is_own_work(const struct sp_directory *d, size_t shard) {
  return d->state[shard] == SP_SHARD_MADE || d->state[shard] == SP_SHARD_LATE;
}

static void count_helped(struct sp_worker *w) {
  size_t *helped = &w->d->run->summary->shards_helped;
  for (size_t i = 0; i < w->d->shards; i++) {
    *helped += is_own_work(w->d, i);
  }
  for (size_t k = 0; k < w->shares.n; k++) {
    *helped -= is_own_work(w->d, w->shares.order[k]);
  }
}

/* What every rank did, for the summary of each. */
static enum sp_status add_ranks(struct sp_worker *w, struct sp_error *err) {
  const struct sp_ranks *ranks = sp_worker_options(w)->ranks;
  struct sp_score_summary *s = w->d->run->summary;
  uint64_t *const counts[] = {
      &s->counts.duplicate_hyps, &s->counts.not_finite,      &s->counts.copies,
      &s->counts.sequences,      &s->counts.sequence_tokens, &s->counts.scored_rows,
      &s->counts.nodes,          &s->counts.plain_nodes,     &s->hyps_scored};
  size_t *const sizes[] = {&s->shards_taken_over, &s->shards_late, &s->devices, &s->devices_lost,
                           &s->threads};
  enum { n_counts = sizeof counts / sizeof *counts, n_sizes = sizeof sizes / sizeof *sizes };
  double sums[n_counts + n_sizes + 1];
  for (size_t i = 0; i < n_counts; i++) {
    sums[i] = (double)*counts[i];
  }
  for (size_t i = 0; i < n_sizes; i++) {
    sums[n_counts + i] = (double)*sizes[i];
  }
  sums[n_counts + n_sizes] = s->counts.flops;
  SP_TRY(ranks->sum(ranks->context, sums, n_counts + n_sizes + 1, err));
  for (size_t i = 0; i < n_counts; i++) {
    *counts[i] = (uint64_t)sums[i];
  }
  for (size_t i = 0; i < n_sizes; i++) {
    *sizes[i] = (size_t)sums[n_counts + i];
  }
  s->counts.flops = sums[n_counts + n_sizes];
  return SP_OK;
}

/* The other ranks may go on for long; what this one failed of is not kept from the user till then. */
static void warn_of_failure(const struct sp_worker *w, enum sp_status status,
                            const struct sp_error *err) {
  struct sp_error text;
  if (sp_worker_options(w)->ranks && status != SP_OK && status != SP_EINTERRUPTED && err) {
    sp_fail(&text, status, "this rank failed, and waits for the others: %s", err->message);
    sp_warn(sp_worker_options(w), text.message);
  }
}

/* Once, while the pool is there. */
static void sum_up(struct sp_worker *w) {
  struct sp_run *run = w->d->run;
  if (w->summed) {
    return;
  }
  w->summed = true;
  run->summary->score_seconds = sp_clock_seconds() - run->start;
  if (run->pool) {
    sp_directory_take_counts(w->d);
    count_helped(w);
    sp_run_tell(run, true);
  }
}

static enum sp_status begin_score(struct sp_worker *w, struct sp_error *err) {
  SP_TRY(sp_worker_open_claims(w, err));
  if (is_first(w) &&
      sp_worker_options(w)->part == 0) { /* it reads the files of all workers: one does */
    SP_TRY(sp_claims_sweep(w->claims, err));
  }
  w->d->run->start = sp_clock_seconds();
  return sp_worker_take_shards(w, err);
}

/* The share; of ranks what they draw. */
static enum sp_status score_share(struct sp_worker *w, struct sp_error *err) {
  enum sp_status status = begin_score(w, err);
  if (status != SP_OK || !sp_worker_options(w)->ranks) {
    sum_up(w);
  }
  warn_of_failure(w, status, err);
  return status;
}

/* What is left when all ranks have scored what they drew: they sleep until then. */
static enum sp_status score_rest(struct sp_worker *w, struct sp_error *err) {
  enum sp_status status = sp_worker_take_rest(w, err);
  sum_up(w);
  warn_of_failure(w, status, err);
  if (!is_first(w)) {
    let_go(w);
  }
  return status;
}

/* The other ranks did what the one that failed left: the run is whole, the job has failed all the same. */
static void close_despite(struct sp_worker *w, enum sp_status failure) {
  struct sp_error nobody, text;
  if (sp_worker_close(w, &nobody) == SP_OK && w->d->run->summary->shards_open == 0) {
    sp_fail(&text, failure, "%s is complete all the same: others did the shards", w->d->path);
    sp_warn(sp_worker_options(w), text.message);
  }
}

/* Rank 0 closes the run when no other rank works on it any more. */
static enum sp_status score_and_close(struct sp_worker *w, struct sp_error *err) {
  const bool complete = w->d->run->summary->already_complete;
  enum sp_status own = complete ? SP_OK : score_share(w, err), all = settle(w, own, err);
  if (all == SP_OK && !complete && sp_worker_options(w)->ranks) {
    own = score_rest(w, err);
    all = settle(w, own, err);
  }
  bool closes = is_first(w) && !complete && own == SP_OK;
  if (!closes) {
    let_go(w);
  } else if (all != SP_OK) {
    sum_up(w);
    close_despite(w, all);
  }
  return all == SP_OK ? settle(w, closes ? sp_worker_close(w, err) : SP_OK, err) : all;
}

static enum sp_status run_all(struct sp_worker *w, struct sp_error *err) {
  struct sp_score_summary *summary = w->d->run->summary;
  SP_TRY(settle(w, is_first(w) ? enter_first(w, err) : SP_OK, err));
  SP_TRY(meet_in_run(w, err));
  enum sp_status status = sp_worker_join(w, err);
  if (status == SP_OK) {
    status = sp_worker_check_complete(w, err);
  }
  summary->read_seconds = sp_clock_seconds() - w->start;
  SP_TRY(settle(w, status, err));
  SP_TRY(share_complete(w, err));
  if (sp_worker_options(w)->prepare) {
    return summary->already_complete ? SP_OK : sp_worker_count_open(w, &summary->shards_open, err);
  }
  SP_TRY(score_and_close(w, err));
  return sp_worker_options(w)->ranks ? add_ranks(w, err) : SP_OK;
}

enum sp_status sp_run_worker(struct sp_directory *d, struct sp_error *err) {
  const struct sp_score_options *options = d->run->settings->options;
  struct sp_worker w = {.d = d, .start = sp_clock_seconds()};
  d->archives = options->archives;
  d->n_archives = options->n_archives;
  sp_worker_name(&w);
  enum sp_status status = run_all(&w, err);
  let_go(&w);
  if (status != SP_OK && d->created) {
    rmdir(d->path); /* only if nothing is in it */
  }
  sp_shares_release(&w.shares);
  sp_shares_release(&w.all);
  sp_reframed_release(&w.reframed);
  free(w.place);
  free(w.held);
  free(w.flying);
  free(w.plan);
  return status;
}
