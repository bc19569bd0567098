/* close_run.c - the last worker to end seals the run. */
#include <math.h>

#include "clock.h"
#include "run_files.h"
#include "run_manifest.h"
#include "run_scan.h"
#include "worker.h"

static enum sp_status is_closed(void *worker, bool *closed, struct sp_error *err) {
  (void)err;
  *closed = sp_worker_has(worker, SP_RUN_SUCCESS);
  return SP_OK;
}

/* One worker reads the markers and writes the seal; the others read them for their summaries once that is done. */
static enum sp_status close_run(struct sp_worker *w, struct sp_error *err) {
  const char *path = w->d->path;
  bool mine;
  size_t *open = &w->d->run->summary->shards_open;
  SP_TRY(sp_claims_elect(w->claims, SP_CLAIM_FINISH, is_closed, w, &mine, err));
  enum sp_status status = sp_directory_sum(w->d, open, err);
  if (!mine) {
    return status;
  }
  if (status == SP_OK && *open == 0) {
    status = sp_run_sweep(path, err);
  }
  if (status == SP_OK && *open == 0) {
    status = sp_directory_seal(w->d, err);
  }
  if (status != SP_OK || *open > 0) {
    sp_claims_drop(w->claims, SP_CLAIM_FINISH);
    bool closed; /* by another, who took this one for gone and swept its temporary file */
    return status == SP_EIO && is_closed(w, &closed, NULL) == SP_OK && closed ? SP_OK : status;
  }
  sp_claims_done(w->claims, SP_CLAIM_FINISH);
  sp_reframed_remove(path);
  return sp_claims_remove_all(path, err);
}

static enum sp_status count_open(struct sp_worker *w, struct sp_error *err) {
  SP_TRY(sp_run_look_afresh(w->d->path, err));
  return sp_worker_count_open(w, &w->d->run->summary->shards_open, err);
}

/* Shards that this worker has not seen done. */
static size_t count_unknown(const struct sp_worker *w) {
  size_t n = 0;
  for (size_t i = 0; i < w->d->shards; i++) {
    n += w->d->state[i] == SP_SHARD_OPEN || w->d->state[i] == SP_SHARD_CUT;
  }
  return n;
}

/* Many shards that others have under work are not done by the time that this worker would wait: then it need
 * not list the run, which parts that end at about the same time would all do. A claim may outlive its shard. */
static enum sp_status find_many(struct sp_worker *w, size_t few, bool *many, struct sp_error *err) {
  enum { looks = 8 };
  size_t open = 0;
  if (!w->held) {
    SP_TRY(sp_worker_list_held(w, err));
  }
  for (size_t k = 0; k < looks && w->n_held > few; k++) {
    size_t shard = w->held[k * w->n_held / looks];
    SP_TRY(sp_directory_look(w->d, shard, NULL, err));
    open += w->d->state[shard] == SP_SHARD_OPEN;
  }
  *many = open == looks;
  w->d->run->summary->shards_open = count_unknown(w);
  return SP_OK;
}

/* Before the count: what was under work then, and was let go since, is counted as done. */
static enum sp_status count_again(struct sp_worker *w, struct sp_error *err) {
  SP_TRY(sp_worker_list_held(w, err));
  return count_open(w, err);
}

/* Whether one of the claims that were listed last is of a shard that is not done: one may outlive its shard. */
static enum sp_status any_is_open(struct sp_worker *w, bool *open, struct sp_error *err) {
  *open = false;
  for (size_t k = 0; k < w->n_held && !*open; k++) {
    SP_TRY(sp_directory_look(w->d, w->held[k], NULL, err));
    *open = w->d->state[w->held[k]] != SP_SHARD_FOUND;
  }
  return SP_OK;
}

/* Waits, for a moment, till nothing is under work; *many: others go on. Names of claims are few. */
static enum sp_status await_held(struct sp_worker *w, bool *many, struct sp_error *err) {
  const double lease = sp_worker_lease(w), until = sp_clock_seconds() + lease / 12;
  double pause = fmin(0.05, lease / 60);
  SP_TRY(sp_worker_list_held(w, err));
  while (w->n_held > 0 && sp_clock_seconds() < until && sp_worker_pause(w, pause)) {
    SP_TRY(sp_worker_list_held(w, err));
    pause = fmin(1.5 * pause, lease / 60);
  }
  SP_TRY(w->n_held > 0 ? sp_worker_others_work(w, many, err) : SP_OK);
  return *many ? any_is_open(w, many, err) : SP_OK;
}

/* The same where the names of the run are few, too: there is no need to wait where many are open. */
static enum sp_status await_few(struct sp_worker *w, size_t few, struct sp_error *err) {
  const struct sp_score_summary *summary = w->d->run->summary;
  const double lease = sp_worker_lease(w), until = sp_clock_seconds() + lease / 12;
  double pause = fmin(0.05, lease / 60);
  SP_TRY(count_again(w, err));
  while (w->n_held > 0 && summary->shards_open > 0 && summary->shards_open <= few &&
         sp_clock_seconds() < until && sp_worker_pause(w, pause)) {
    SP_TRY(count_again(w, err));
    pause = fmin(1.5 * pause, lease / 60);
  }
  return SP_OK;
}

/* Few shards that are still open, and under work, may be those of workers that end now: the last to end closes
 * the run. */
enum sp_status sp_worker_close(struct sp_worker *w, struct sp_error *err) {
  enum { few = 64, large_run = 1024 };
  bool many;
  SP_TRY(find_many(w, few, &many, err));
  if (!many && w->d->shards > large_run && w->d->run->summary->shards_open > 0) {
    SP_TRY(await_held(w, &many, err));
  }
  if (many) {
    w->d->run->summary->open_is_most = true;
    return SP_OK;
  }
  SP_TRY(await_few(w, few, err));
  return w->d->run->summary->shards_open == 0 ? close_run(w, err) : SP_OK;
}
