/* run_directory.c - two passes: validate everything, then score shard after shard into RUN, which this
 * process has for itself; with parts or ranks, or only prepared, it is run_worker.c's. */
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "directory.h"
#include "reframed.h"
#include "run_claims.h"
#include "run_manifest.h"
#include "run_success.h"
#include "spool.h"

struct alone {
  struct sp_directory d;
  struct sp_spool spool;
  struct sp_run_lock lock;
};

/* Locks first: whoever comes with a part from now on looks at that. */
static enum sp_status enter(struct alone *a, struct sp_error *err) {
  if (a->lock.fd >= 0) {
    return SP_OK;
  }
  SP_TRY(sp_directory_make(&a->d, err));
  SP_TRY(sp_run_lock_take(a->d.path, &a->lock, err));
  return sp_claims_refuse(a->d.path, err);
}

/* ---- the first pass ---- */

static enum sp_status scan_input(struct alone *a, struct sp_error *err) {
  struct sp_directory *d = &a->d;
  const struct sp_score_options *options = d->run->settings->options;
  double start = sp_clock_seconds();
  if (sp_spool_is_needed(options)) {
    SP_TRY(enter(a, err));
  }
  SP_TRY(sp_spool_make(&a->spool, d->path, options, err));
  d->archives = a->spool.paths;
  d->n_archives = a->spool.n_paths;
  SP_TRY(sp_directory_scan(d, err));
  SP_TRY(sp_directory_begin(d, err));
  d->run->summary->read_seconds = sp_clock_seconds() - start;
  return SP_OK;
}

static enum sp_status settle(struct sp_directory *d, struct sp_error *err) {
  json_t *manifest;
  SP_TRY(sp_directory_publish(d, &manifest, err));
  enum sp_status status = sp_directory_settle(d, manifest, err);
  json_decref(manifest);
  return status;
}

/* ---- the second ---- */

static enum sp_status count_done(void *directory, size_t shard, const struct sp_shard_done *done,
                                 struct sp_error *err) {
  struct sp_directory *d = directory;
  struct sp_progress *progress = &d->run->progress;
  (void)err;
  if (d->state[shard] == SP_SHARD_FOUND) {
    d->run->summary->shards_resumed++;
    d->run->summary->hyps_resumed += done->hyps;
    progress->utts_done += done->utts;
    progress->hyps_done += done->hyps;
    progress->tokens_done += done->tokens;
  }
  return SP_OK;
}

static enum sp_status find_done(struct sp_directory *d, struct sp_error *err) {
  SP_TRY(sp_directory_look_many(d, NULL, d->shards, count_done, d, err));
  d->run->progress.hyps_resumed = d->run->summary->hyps_resumed;
  return SP_OK;
}

/* Once the seal is checked, since this breaks it. */
static void reopen_cut(struct sp_directory *d) {
  for (size_t i = 0; i < d->shards; i++) {
    if (d->state[i] == SP_SHARD_CUT) {
      sp_directory_remove(d, i);
      d->state[i] = SP_SHARD_OPEN;
    }
  }
}

static void tick(void *context) {
  struct sp_directory *d = context;
  sp_run_tell(d->run, false);
}

static enum sp_status feed_shard(struct sp_directory *d, size_t shard, struct sp_error *err) {
  struct sp_job *job = NULL;
  uint64_t read, want = sp_directory_shard_size(d, shard);
  if (d->state[shard] == SP_SHARD_OPEN) {
    SP_TRY(sp_pool_take(d->run->pool, shard, &job, err));
  }
  SP_TRY(sp_run_read(d->run, job, want, &read, NULL, NULL, err));
  if (read != want) {
    return sp_fail(err, SP_EINPUT, "the archive became shorter while it was being scored");
  }
  SP_TRY(sp_scan_check_untouched(&d->scan, d->run->archive, err));
  if (job) {
    sp_pool_submit(d->run->pool, job);
  }
  return SP_OK;
}

static enum sp_status feed_shards(struct sp_directory *d, struct sp_error *err) {
  for (size_t shard = 0; shard < d->shards; shard++) {
    SP_TRY(feed_shard(d, shard, err));
  }
  return sp_pool_drain(d->run->pool, err);
}

static enum sp_status score_open_shards(struct sp_directory *d, struct sp_error *err) {
  struct sp_run *run = d->run;
  const double grace = run->settings->options->grace;
  struct sp_pool_rules rules = {.settings = run->settings,
                                .context = run->context,
                                .letter_case = d->scan.letter_case,
                                .finish = sp_directory_finish,
                                .tick = tick,
                                .callback_context = d};
  SP_TRY(sp_archive_open_with(d->archives, d->n_archives, &run->settings->archive, &run->archive,
                              err));
  SP_TRY(sp_pool_create(&rules, &run->pool, err));
  enum sp_status status = feed_shards(d, err);
  if (status == SP_EINTERRUPTED && grace > 0) {
    status = sp_pool_wind_down(run->pool, grace, NULL, err);
  }
  SP_TRY(status);
  return sp_scan_check_unchanged(&d->scan, run->archive, err);
}

/* Shards made from an input that changed meanwhile are not what run.json says: they go. */
static void unpublish(struct sp_directory *d) {
  for (size_t i = 0; i < d->shards; i++) {
    if (d->state[i] == SP_SHARD_MADE || d->state[i] == SP_SHARD_LATE) {
      sp_directory_remove(d, i);
    }
  }
}

/* A published shard with other bytes than ours: most likely because the input is another by now. */
static enum sp_status explain_shard(struct sp_directory *d, struct sp_error *err) {
  struct sp_error why;
  if (sp_scan_check_unchanged(&d->scan, d->run->archive, &why) != SP_EINPUT) {
    return SP_ESHARD;
  }
  if (err) {
    *err = why;
  }
  return SP_EINPUT;
}

static enum sp_status sum_all(struct sp_directory *d, struct sp_error *err) {
  size_t open;
  SP_TRY(sp_directory_sum(d, &open, err));
  return open == 0 ? SP_OK
                   : sp_fail(err, SP_ESHARD, "%zu of %zu shards have lost their marker or file",
                             open, d->shards);
}

static enum sp_status score_rest(struct sp_directory *d, struct sp_error *err) {
  struct sp_run *run = d->run;
  run->start = sp_clock_seconds();
  enum sp_status status = SP_OK;
  if (run->summary->shards_resumed < d->shards) {
    status = score_open_shards(d, err);
  }
  run->summary->score_seconds = sp_clock_seconds() - run->start;
  if (status == SP_ESHARD) {
    status = explain_shard(d, err);
  }
  if (status == SP_EINPUT) { /* validated before: it can only have changed */
    sp_pool_destroy(run->pool);
    run->pool = NULL;
    unpublish(d);
  }
  if (run->pool) {
    sp_directory_take_counts(d);
    sp_run_tell(run, true);
  }
  return status;
}

static enum sp_status score_into(struct sp_directory *d, struct sp_error *err) {
  struct sp_score_summary *summary = d->run->summary;
  bool success;
  SP_TRY(find_done(d, err));
  SP_TRY(sp_run_success_check(d->path, d->shards, &success, err));
  reopen_cut(d);
  summary->already_complete = success && summary->shards_resumed == d->shards;
  if (summary->already_complete) {
    sp_reframed_remove(d->path);
    return sum_all(d, err);
  }
  SP_TRY(score_rest(d, err));
  SP_TRY(sum_all(d, err));
  SP_TRY(sp_directory_seal(d, err));
  sp_reframed_remove(d->path);
  return sp_claims_remove_all(d->path, err); /* of workers that died */
}

static enum sp_status run_all(struct alone *a, struct sp_error *err) {
  struct sp_directory *d = &a->d;
  SP_TRY(sp_directory_check_target(d, err));
  SP_TRY(scan_input(a, err));
  SP_TRY(enter(a, err));
  if (!sp_spool_is_needed(d->run->settings->options)) {
    sp_spool_sweep(d->path);
  }
  SP_TRY(settle(d, err));
  SP_TRY(sp_run_sweep(d->path, err));
  return score_into(d, err);
}

static enum sp_status run_alone(struct sp_directory *d, struct sp_error *err) {
  struct alone a = {.d = *d, .lock.fd = -1};
  enum sp_status status = run_all(&a, err);
  if (status != SP_OK && d->run->pool) { /* no worker may write once the lock is gone */
    sp_pool_destroy(d->run->pool);
    d->run->pool = NULL;
  }
  sp_spool_remove(&a.spool);
  if (a.lock.fd >= 0) {
    sp_run_lock_release(d->path, &a.lock);
  }
  if (status != SP_OK && a.d.created) {
    rmdir(d->path); /* only if nothing is in it */
  }
  sp_spool_release(&a.spool);
  *d = a.d;
  return status;
}

enum sp_status sp_run_directory(struct sp_run *run, struct sp_error *err) {
  const struct sp_score_options *options = run->settings->options;
  struct sp_directory d = {.run = run, .path = options->out};
  bool shared = options->parts > 0 || options->ranks || options->prepare;
  enum sp_status status = shared ? sp_run_worker(&d, err) : run_alone(&d, err);
  sp_directory_release(&d);
  return status;
}
