#include "run_status.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checked.h"
#include "clock.h"
#include "file.h"
#include "run_files.h"
#include "run_manifest.h"
#include "run_pace.h"
#include "run_plan.h"
#include "run_scan.h"
#include "shard.h"

/* What is known of a shard; without a plan from its marker, so not before it is done. */
struct shard_facts {
  uint64_t utts, hyps;
  double cost;
};

enum { SEEN_DATA = 1, SEEN_DONE = 2, COUNTED = 4 };

/* A worker's beat, as it was seen first. */
struct beat {
  char id[sizeof((struct sp_claim_worker *)0)->id];
  uint64_t value;
  double since;
};

struct sp_run_watch {
  struct sp_watch_rules rules;
  struct stat manifest; /* of the run.json that the following is from */
  bool loaded, is_open, has_plan, sealed;
  size_t shards;
  uint64_t utts, hyps;
  double cost;
  struct shard_facts *facts; /* (shards) */
  unsigned char *seen;       /* (shards) */
  struct beat *beats;        /* (n_beats) by id */
  size_t n_beats;
  struct sp_run_pace pace;
};

const char *sp_run_stage_name(enum sp_run_stage stage) {
  static const char *const names[] = {"beginning", "prepared", "running", "stopped", "complete"};
  return names[stage];
}

void sp_run_status_release(struct sp_run_status *status) {
  for (size_t i = 0; i < status->n_workers; i++) {
    free(status->workers[i].shards);
  }
  free(status->workers);
  *status = (struct sp_run_status){0};
}

/* ---- the run ---- */

static void forget(struct sp_run_watch *watch) {
  free(watch->facts);
  free(watch->seen);
  watch->facts = NULL;
  watch->seen = NULL;
  watch->loaded = watch->has_plan = false;
  watch->cost = 0;
  watch->pace = (struct sp_run_pace){0};
}

static void take_plan(struct sp_run_watch *watch, const struct sp_plan_shard *plan) {
  for (size_t i = 0; i < watch->shards; i++) {
    watch->facts[i] = (struct shard_facts){plan[i].utts, plan[i].hyps, plan[i].cost};
    watch->seen[i] = COUNTED;
    watch->cost += plan[i].cost;
  }
}

static enum sp_status load(struct sp_run_watch *watch, const json_t *manifest,
                           struct sp_error *err) {
  const json_t *identity = json_object_get(manifest, "identity");
  const json_t *info = json_object_get(manifest, "info");
  watch->shards = (size_t)json_integer_value(json_object_get(identity, "shards"));
  watch->is_open = sp_run_manifest_is_open(manifest);
  watch->utts = (uint64_t)json_integer_value(json_object_get(info, "utts"));
  watch->hyps = (uint64_t)json_integer_value(json_object_get(info, "hyps"));
  size_t n = sp_max_size(watch->shards, 1);
  watch->facts = calloc(n, sizeof *watch->facts);
  watch->seen = calloc(n, sizeof *watch->seen);
  if (!watch->facts || !watch->seen) {
    return sp_fail_memory(err, n * sizeof *watch->facts);
  }
  struct sp_plan_shard *plan = NULL;
  SP_TRY(sp_run_plan_read(watch->rules.run, watch->shards, &plan, &watch->has_plan, err));
  if (watch->has_plan) {
    take_plan(watch, plan);
  }
  free(plan);
  watch->loaded = true;
  return SP_OK;
}

static bool is_same_file(const struct stat *a, const struct stat *b) {
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
         a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static bool plan_is_there(const struct sp_run_watch *watch) {
  struct sp_buf path = {0};
  bool there =
      sp_run_path(&path, watch->rules.run, SP_RUN_PLAN, NULL) == SP_OK && sp_file_exists(path.data);
  sp_buf_release(&path);
  return there;
}

/* Loads run.json once; again when another one stands in its place, or the plan has come. */
static enum sp_status refresh(struct sp_run_watch *watch, struct sp_error *err) {
  struct sp_buf path = {0};
  struct stat info = {0};
  SP_TRY(sp_run_path(&path, watch->rules.run, SP_RUN_MANIFEST, err));
  bool there = stat(path.data, &info) == 0;
  sp_buf_release(&path);
  if (watch->loaded && there && is_same_file(&info, &watch->manifest) &&
      (watch->has_plan || !plan_is_there(watch))) {
    return SP_OK;
  }
  forget(watch);
  json_t *manifest = NULL;
  bool found;
  SP_TRY(sp_run_manifest_read(watch->rules.run, &manifest, &found, err));
  watch->manifest = info;
  enum sp_status status = found ? load(watch, manifest, err) : SP_OK;
  json_decref(manifest);
  if (status != SP_OK) {
    forget(watch);
  }
  return status;
}

static enum sp_status note_name(void *context, const char *name, struct sp_error *err) {
  (void)err;
  struct sp_run_watch *watch = context;
  size_t index;
  bool marker;
  if (sp_run_shard_name(name, watch->shards, &index, &marker)) {
    watch->seen[index] |= marker ? SEEN_DONE : SEEN_DATA;
  } else if (strcmp(name, SP_RUN_SUCCESS) == 0) {
    watch->sealed = true;
  }
  return SP_OK;
}

/* A marker may be gone again, or not be there yet, where a file system shows changes late. */
static enum sp_status count_marker(struct sp_run_watch *watch, size_t shard, bool *found,
                                   struct sp_error *err) {
  struct sp_shard_done done;
  SP_TRY(sp_shard_done_read(watch->rules.run, shard, watch->shards, &done, found, err));
  if (*found) {
    watch->facts[shard] = (struct shard_facts){done.utts, done.hyps, 0};
    watch->seen[shard] |= COUNTED;
  }
  sp_shard_done_release(&done);
  return SP_OK;
}

static bool is_done(const struct sp_run_watch *watch, size_t shard) {
  return (watch->seen[shard] & (SEEN_DATA | SEEN_DONE)) == (SEEN_DATA | SEEN_DONE);
}

static enum sp_status look_at_shards(struct sp_run_watch *watch, struct sp_run_status *out,
                                     struct sp_error *err) {
  watch->sealed = false;
  for (size_t i = 0; i < watch->shards; i++) {
    watch->seen[i] &= COUNTED;
  }
  SP_TRY(sp_run_scan(watch->rules.run, note_name, watch, err));
  for (size_t i = 0; i < watch->shards; i++) {
    bool counted = watch->seen[i] & COUNTED;
    if (is_done(watch, i) && !counted) {
      SP_TRY(count_marker(watch, i, &counted, err));
    }
    if (!is_done(watch, i) || !counted) {
      watch->seen[i] &= COUNTED; /* half a shard is none */
      continue;
    }
    out->done++;
    out->utts_done += watch->facts[i].utts;
    out->hyps_done += watch->facts[i].hyps;
    out->cost_done += watch->facts[i].cost;
  }
  out->shards = watch->shards;
  out->utts = watch->utts;
  out->hyps = watch->hyps;
  out->has_plan = watch->has_plan;
  out->cost = watch->cost;
  return SP_OK;
}

/* ---- the workers ---- */

static int by_id(const void *a, const void *b) {
  return strcmp(((const struct sp_worker_status *)a)->is.id,
                ((const struct sp_worker_status *)b)->is.id);
}

static int beat_by_id(const void *id, const void *beat) {
  return strcmp(id, ((const struct beat *)beat)->id);
}

static struct sp_worker_status *find_worker(struct sp_run_status *out, const char *id) {
  size_t low = 0, high = out->n_workers;
  while (low < high) {
    size_t at = low + (high - low) / 2;
    int order = strcmp(id, out->workers[at].is.id);
    if (order == 0) {
      return &out->workers[at];
    }
    low = order > 0 ? at + 1 : low;
    high = order < 0 ? at : high;
  }
  return NULL;
}

/* Replaces what was remembered by what is seen now, and tells how old the beats are. */
static enum sp_status remember_beats(struct sp_run_watch *watch, struct sp_run_status *out,
                                     double now, struct sp_error *err) {
  struct beat *beats = calloc(sp_max_size(out->n_workers, 1), sizeof *beats);
  if (!beats) {
    return sp_fail_memory(err, out->n_workers * sizeof *beats);
  }
  for (size_t i = 0; i < out->n_workers; i++) {
    struct sp_worker_status *worker = &out->workers[i];
    const struct beat *before =
        watch->n_beats > 0
            ? bsearch(worker->is.id, watch->beats, watch->n_beats, sizeof *beats, beat_by_id)
            : NULL;
    memcpy(beats[i].id, worker->is.id, sizeof beats[i].id);
    beats[i].value = worker->is.beat;
    beats[i].since = before && before->value == worker->is.beat ? before->since : now;
    worker->beat_age = before ? now - beats[i].since : NAN;
  }
  free(watch->beats);
  watch->beats = beats;
  watch->n_beats = out->n_workers;
  return SP_OK;
}

static enum sp_status take_workers(struct sp_run_watch *watch, const struct sp_claim_list *list,
                                   struct sp_run_status *out, double now, struct sp_error *err) {
  out->workers = calloc(list->n_workers + 1, sizeof *out->workers); /* one more for .lock */
  if (!out->workers) {
    return sp_fail_memory(err, (list->n_workers + 1) * sizeof *out->workers);
  }
  out->n_workers = list->n_workers;
  for (size_t i = 0; i < list->n_workers; i++) {
    out->workers[i].is = list->workers[i];
  }
  qsort(out->workers, out->n_workers, sizeof *out->workers, by_id);
  SP_TRY(remember_beats(watch, out, now, err));
  for (size_t i = 0; i < out->n_workers; i++) {
    struct sp_worker_status *worker = &out->workers[i];
    double lease = worker->is.lease > 0 ? worker->is.lease : SP_LEASE_SECONDS;
    worker->gone = worker->is.gone || worker->beat_age >= lease; /* not where the age is NaN */
  }
  return SP_OK;
}

/* Who claims a shard that is not done; NULL: the shard is done or none of the run. *claimed tells a worker
 * without a file from that. */
static struct sp_worker_status *claimant(const struct sp_run_watch *watch,
                                         struct sp_run_status *out,
                                         const struct sp_claim_shard *claim, bool *claimed) {
  *claimed = watch->loaded && claim->shard < watch->shards && !is_done(watch, claim->shard);
  return *claimed ? find_worker(out, claim->worker) : NULL;
}

static enum sp_status take_claims(const struct sp_run_watch *watch,
                                  const struct sp_claim_list *list, struct sp_run_status *out,
                                  struct sp_error *err) {
  bool claimed;
  for (size_t i = 0; i < list->n_shards; i++) {
    struct sp_worker_status *worker = claimant(watch, out, &list->shards[i], &claimed);
    if (worker) {
      worker->n_shards++;
    }
    bool alive = worker && !worker->gone;
    out->running += claimed && alive;
    out->stale += claimed && !alive;
  }
  for (size_t i = 0; i < out->n_workers; i++) {
    struct sp_worker_status *worker = &out->workers[i];
    worker->shards = calloc(sp_max_size(worker->n_shards, 1), sizeof *worker->shards);
    if (!worker->shards) {
      return sp_fail_memory(err, worker->n_shards * sizeof *worker->shards);
    }
    worker->n_shards = 0;
  }
  for (size_t i = 0; i < list->n_shards; i++) {
    struct sp_worker_status *worker = claimant(watch, out, &list->shards[i], &claimed);
    if (worker) {
      worker->shards[worker->n_shards++] = list->shards[i].shard;
    }
  }
  return SP_OK;
}

/* Who has the run alone: it comes behind the others, unless it is one of them. */
static enum sp_status take_owner(const struct sp_run_watch *watch, struct sp_run_status *out,
                                 struct sp_error *err) {
  struct sp_run_owner owner;
  bool found;
  SP_TRY(sp_run_lock_look(watch->rules.run, &owner, &found, err));
  for (size_t i = 0; found && i < out->n_workers; i++) {
    const struct sp_claim_worker *worker = &out->workers[i].is;
    found = worker->pid != owner.pid || strcmp(worker->host, owner.host) != 0;
  }
  if (found) {
    struct sp_worker_status *alone = &out->workers[out->n_workers++];
    *alone = (struct sp_worker_status){.alone = true, .beat_age = NAN};
    memcpy(alone->is.host, owner.host, sizeof alone->is.host);
    memcpy(alone->is.start, owner.start, sizeof alone->is.start);
    alone->is.pid = owner.pid;
    alone->is.here = owner.here;
    alone->is.locked = owner.locked;
    alone->gone = owner.here && !owner.locked;
  }
  return SP_OK;
}

static enum sp_status look_at_workers(struct sp_run_watch *watch, struct sp_run_status *out,
                                      double now, struct sp_error *err) {
  struct sp_claim_list list = {0};
  SP_TRY(sp_claims_list(watch->rules.run, watch->shards, &list, err));
  enum sp_status status = take_workers(watch, &list, out, now, err);
  if (status == SP_OK) {
    status = take_claims(watch, &list, out, err);
  }
  if (status == SP_OK) {
    status = take_owner(watch, out, err);
  }
  sp_claim_list_release(&list);
  return status;
}

/* ---- together ---- */

static enum sp_status set_stage(const struct sp_run_watch *watch, struct sp_run_status *out,
                                struct sp_error *err) {
  bool alive = false;
  for (size_t i = 0; i < out->n_workers; i++) {
    alive = alive || !out->workers[i].gone;
  }
  if (!watch->loaded && out->n_workers == 0) {
    return sp_fail(err, SP_EDAMAGED, "%s is no run directory: it has no %s", watch->rules.run,
                   SP_RUN_MANIFEST);
  }
  if (watch->loaded && watch->sealed && out->done == out->shards) {
    out->stage = SP_RUN_COMPLETE;
  } else if (!alive) {
    out->stage = watch->loaded && watch->is_open ? SP_RUN_PREPARED : SP_RUN_STOPPED;
  } else {
    out->stage = watch->loaded ? SP_RUN_RUNNING : SP_RUN_BEGINNING;
  }
  return SP_OK;
}

static double reported_speed(const struct sp_run_status *out) {
  double sum = 0;
  for (size_t i = 0; i < out->n_workers; i++) {
    double speed = out->workers[i].is.hyps_per_second;
    sum += !out->workers[i].gone && isfinite(speed) && speed > 0 ? speed : 0;
  }
  return sum;
}

/* Costly shards are scored first: what is left is told by its cost where that is known. Workers tell
 * hypotheses a second; what one of them costs follows from the shards that are done. */
static double seconds_left(const struct sp_run_status *out, double reported,
                           const struct sp_run_pace *pace, double now) {
  double hyps_left = (double)out->hyps - (double)out->hyps_done;
  if (!out->has_plan || !(out->cost > 0)) {
    return hyps_left / out->hyps_per_second;
  }
  double cost_a_hyp =
      out->hyps_done > 0 ? out->cost_done / (double)out->hyps_done : out->cost / (double)out->hyps;
  double rate = reported > 0 ? reported * cost_a_hyp : sp_run_pace_costs(pace, now);
  return (out->cost - out->cost_done) / rate;
}

static void set_speed(struct sp_run_watch *watch, struct sp_run_status *out, double now) {
  sp_run_pace_note(&watch->pace, now, out->hyps_done, out->cost_done);
  out->hyps_per_second = NAN;
  out->seconds_left = out->stage == SP_RUN_COMPLETE ? 0 : NAN;
  if (out->stage == SP_RUN_RUNNING) {
    double reported = reported_speed(out);
    out->hyps_per_second = reported > 0 ? reported : sp_run_pace_hyps(&watch->pace, now);
    double left = seconds_left(out, reported, &watch->pace, now);
    out->seconds_left = isfinite(left) && left >= 0 ? left : NAN;
  }
}

static double now_of(const struct sp_run_watch *watch) {
  return watch->rules.clock ? watch->rules.clock(watch->rules.context) : sp_clock_seconds();
}

static enum sp_status look(struct sp_run_watch *watch, struct sp_run_status *out,
                           struct sp_error *err) {
  double now = now_of(watch);
  SP_TRY(refresh(watch, err));
  if (watch->loaded) {
    SP_TRY(look_at_shards(watch, out, err));
  }
  SP_TRY(look_at_workers(watch, out, now, err));
  SP_TRY(set_stage(watch, out, err));
  out->open = out->shards - out->done - out->running - out->stale;
  set_speed(watch, out, now);
  return SP_OK;
}

enum sp_status sp_run_watch_look(struct sp_run_watch *watch, struct sp_run_status *out,
                                 struct sp_error *err) {
  *out = (struct sp_run_status){0};
  enum sp_status status = look(watch, out, err);
  if (status != SP_OK) {
    sp_run_status_release(out);
  }
  return status;
}

enum sp_status sp_run_watch_create(const struct sp_watch_rules *rules, struct sp_run_watch **out,
                                   struct sp_error *err) {
  *out = calloc(1, sizeof **out);
  if (!*out) {
    return sp_fail_memory(err, sizeof **out);
  }
  (*out)->rules = *rules;
  return SP_OK;
}

void sp_run_watch_destroy(struct sp_run_watch *watch) {
  if (watch) {
    forget(watch);
    free(watch->beats);
    free(watch);
  }
}
