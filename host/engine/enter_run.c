/* enter_run.c - the run is there, or is made: a worker makes it for everybody, where no other does, and joins it as
 * any other would.  One that only prepares the run leaves what decides the bits to the first that scores. */
#include <stdlib.h>

#include "file.h"
#include "joined_scan.h"
#include "run_files.h"
#include "run_manifest.h"
#include "run_success.h"
#include "worker.h"

bool sp_worker_has(struct sp_worker *w, const char *name) {
  struct sp_buf path = {0};
  bool there = sp_run_path(&path, w->d->path, name, NULL) == SP_OK && sp_file_exists(path.data);
  sp_buf_release(&path);
  return there;
}

static bool has_files(struct sp_worker *w) {
  return sp_worker_has(w, SP_RUN_MANIFEST) && sp_worker_has(w, SP_RUN_PLAN);
}

/* For who scores, a run that was only prepared is not made yet. */
enum sp_status sp_worker_is_made(void *worker, bool *made, struct sp_error *err) {
  struct sp_worker *w = worker;
  json_t *manifest;
  bool found;
  *made = has_files(w);
  if (!*made || sp_worker_options(w)->prepare) {
    return SP_OK;
  }
  SP_TRY(sp_run_manifest_read(w->d->path, &manifest, &found, err));
  *made = found && !sp_run_manifest_is_open(manifest);
  json_decref(manifest);
  return SP_OK;
}

enum sp_status sp_worker_open_claims(struct sp_worker *w, struct sp_error *err) {
  const double lease = sp_worker_lease(w);
  struct sp_claims_rules rules = {
      .run = w->d->path, .part = w->name, .lease = lease, .pause = sp_worker_pause, .context = w};
  if (w->claims) {
    return SP_OK;
  }
  SP_TRY(sp_directory_make(w->d, err));
  SP_TRY(sp_claims_open(&rules, &w->claims, err));
  w->d->worker = sp_claims_id(w->claims);
  return sp_heartbeat_start(w->claims, lease / 5, &w->heartbeat, err);
}

/* The sizes that this command would have chosen are the run's, but where it says its own. */
static void take_sizes(struct sp_directory *d, const json_t *manifest) {
  const json_t *identity = json_object_get(manifest, "identity");
  size_t own = d->run->settings->options->shard_utts;
  d->shard_utts = own ? own : (size_t)json_integer_value(json_object_get(identity, "shard_utts"));
  d->shards = (size_t)((d->scan.counts.utts + d->shard_utts - 1) / d->shard_utts);
}

/* What a first pass would have found is in the manifest. */
static enum sp_status take_scan(struct sp_worker *w, const json_t *manifest, struct sp_error *err) {
  struct sp_directory *d = w->d;
  SP_TRY(sp_scan_join(d->run->settings, d->run->context, manifest, &d->scan, err));
  take_sizes(d, manifest);
  sp_run_describe(d->run, d->scan.format, d->scan.letter_case);
  return SP_OK;
}

static enum sp_status read_manifest(const struct sp_worker *w, json_t **out, struct sp_error *err) {
  bool found;
  SP_TRY(sp_run_manifest_read(w->d->path, out, &found, err));
  return found ? SP_OK : sp_fail(err, SP_EDAMAGED, "%s has lost its " SP_RUN_MANIFEST, w->d->path);
}

/* The first that scores a prepared run says what computes it. */
static enum sp_status decide(struct sp_worker *w, struct sp_error *err) {
  json_t *manifest;
  SP_TRY(read_manifest(w, &manifest, err));
  enum sp_status status = take_scan(w, manifest, err);
  if (status == SP_OK) {
    status = sp_directory_decide(w->d, manifest, err);
  }
  json_decref(manifest);
  return status;
}

/* Of a run that another made meanwhile, cut into other shards, the marks make no plan. */
static enum sp_status settle(struct sp_worker *w, json_t *manifest, struct sp_error *err) {
  struct sp_directory *d = w->d;
  const size_t own = d->shard_utts;
  if (sp_worker_has(w, SP_RUN_PLAN)) {
    take_sizes(d, manifest);
  }
  return d->shard_utts == own ? sp_directory_settle(d, manifest, err)
                              : sp_directory_decide(d, manifest, err);
}

/* The first pass, for everybody, where nobody has prepared it. */
static enum sp_status validate(struct sp_worker *w, struct sp_error *err) {
  json_t *manifest;
  SP_TRY(sp_directory_scan(w->d, err));
  SP_TRY(sp_reframed_make(w->d, err));
  SP_TRY(sp_directory_publish(w->d, &manifest, err));
  enum sp_status status = settle(w, manifest, err);
  json_decref(manifest);
  return status;
}

/* What it found is read back as by any other worker. */
static enum sp_status make_run(struct sp_worker *w, struct sp_error *err) {
  enum sp_status status = has_files(w) ? decide(w, err) : validate(w, err);
  sp_scan_release(&w->d->scan);
  return status;
}

/* Who prepares a run that is there reads the archives all the same: they may have changed since. */
static enum sp_status validate_again(struct sp_worker *w, struct sp_error *err) {
  json_t *manifest;
  SP_TRY(read_manifest(w, &manifest, err));
  enum sp_status status = sp_directory_scan(w->d, err);
  if (status == SP_OK) {
    take_sizes(w->d, manifest);
    status = sp_directory_compare(w->d, manifest, err);
  }
  sp_scan_release(&w->d->scan);
  json_decref(manifest);
  return status;
}

enum sp_status sp_worker_enter(struct sp_worker *w, struct sp_error *err) {
  bool made, mine;
  SP_TRY(sp_directory_check_target(w->d, err));
  SP_TRY(sp_worker_is_made(w, &made, err));
  if (made) {
    return sp_worker_options(w)->prepare && !sp_worker_has(w, SP_RUN_SUCCESS)
               ? validate_again(w, err)
               : SP_OK;
  }
  SP_TRY(sp_worker_open_claims(w, err));
  SP_TRY(sp_claims_elect(w->claims, SP_CLAIM_PLAN, sp_worker_is_made, w, &mine, err));
  if (!mine) {
    return SP_OK;
  }
  enum sp_status status = make_run(w, err);
  if (status == SP_OK && !sp_worker_options(w)->prepare) {
    sp_claims_done(w->claims, SP_CLAIM_PLAN);
    return SP_OK;
  }
  sp_claims_drop(w->claims,
                 SP_CLAIM_PLAN); /* of a prepared run: who scores it claims that once more */
  /* Who slept through its lease meets the run made by another, and its own temporary files swept. */
  return status == SP_EIO && sp_worker_is_made(w, &made, NULL) == SP_OK && made ? SP_OK : status;
}

/* ---- joining ---- */

static enum sp_status check_plan(const struct sp_worker *w, struct sp_error *err) {
  for (size_t i = 0; i < w->d->shards; i++) {
    if (w->plan[i].utts != sp_directory_shard_size(w->d, i)) {
      return sp_fail(err, SP_EDAMAGED,
                     "%s/" SP_RUN_PLAN ":%zu: shard %zu has not the size that " SP_RUN_MANIFEST
                     " tells",
                     w->d->path, i + 1, i);
    }
  }
  return SP_OK;
}

static enum sp_status join_manifest(struct sp_worker *w, json_t *manifest, struct sp_error *err) {
  struct sp_directory *d = w->d;
  bool found;
  SP_TRY(take_scan(w, manifest, err));
  SP_TRY(sp_directory_compare(d, manifest, err));
  SP_TRY(sp_run_plan_read(d->path, d->shards, &w->plan, &found, err));
  if (!found) {
    return sp_fail(err, SP_EDAMAGED, "%s has lost its " SP_RUN_PLAN, d->path);
  }
  SP_TRY(check_plan(w, err));
  SP_TRY(sp_reframed_find(d, w->plan, &w->reframed, err));
  return sp_directory_begin(d, err);
}

enum sp_status sp_worker_join(struct sp_worker *w, struct sp_error *err) {
  json_t *manifest;
  SP_TRY(read_manifest(w, &manifest, err));
  enum sp_status status = join_manifest(w, manifest, err);
  json_decref(manifest);
  return status == SP_OK ? sp_worker_share(w, err) : status;
}

/* A sealed run, all of it there, is left as it is. */
enum sp_status sp_worker_check_complete(struct sp_worker *w, struct sp_error *err) {
  size_t open;
  bool success;
  struct sp_score_summary *summary = w->d->run->summary;
  SP_TRY(sp_run_success_check(w->d->path, w->d->shards, &success, err));
  if (!success) {
    return SP_OK;
  }
  SP_TRY(sp_directory_sum(w->d, &open, err));
  summary->already_complete = open == 0;
  if (open > 0) {
    return SP_OK;
  }
  summary->shards_resumed = w->d->shards;
  summary->hyps_resumed = summary->counts.hyps;
  sp_reframed_remove(w->d->path);
  return sp_claims_remove_all(w->d->path, err); /* who sealed it may have died before that */
}
