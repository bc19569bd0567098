/* run_directory.c - two passes: validate everything, then score shard after shard into RUN. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "file.h"
#include "manifest.h"
#include "run.h"
#include "run_files.h"
#include "run_manifest.h"
#include "run_success.h"
#include "shard.h"
#include "spool.h"

enum shard_state { SHARD_OPEN, SHARD_FOUND, SHARD_CUT, SHARD_MADE };

struct directory {
  struct sp_run *run;
  const char *path;
  struct sp_scan scan;
  struct sp_spool spool;
  struct sp_run_lock lock;
  bool created; /* by this call */
  size_t shards, shard_utts;
  unsigned char *state; /* (shards) enum shard_state; each shard is one worker's at a time */
};

/* ---- the directory and its identity ---- */

static enum sp_status enter(struct directory *d, struct sp_error *err) {
  if (d->lock.fd >= 0) {
    return SP_OK;
  }
  bool existed = sp_file_exists(d->path);
  SP_TRY(sp_file_make_directory(d->path, err));
  d->created = !existed;
  return sp_run_lock_take(d->path, &d->lock, err);
}

/* With --allow-mixed a run that another device type began is gone on with; run.json stays. */
static void allow_mixed(const struct directory *d, const json_t *theirs, json_t *ours) {
  const json_t *type = json_object_get(json_object_get(theirs, "identity"), "device_type");
  json_t *mine = json_object_get(ours, "identity");
  if (d->run->settings->options->allow_mixed && type &&
      !json_equal(type, json_object_get(mine, "device_type"))) {
    sp_warn(d->run->settings->options,
            "the run was begun on another device type: its scores may differ in the last bits");
    json_object_set(mine, "device_type", (json_t *)type);
  }
}

static enum sp_status claim_with(struct directory *d, json_t *ours, struct sp_error *err) {
  json_t *theirs = NULL;
  bool found;
  SP_TRY(sp_run_manifest_read(d->path, &theirs, &found, err));
  if (!found) {
    SP_TRY(sp_run_check_empty(d->path, SP_RUN_MANIFEST, err));
    return sp_run_manifest_write(d->path, ours, err);
  }
  allow_mixed(d, theirs, ours);
  enum sp_status status = sp_run_identity_compare(theirs, ours, d->path, err);
  json_decref(theirs);
  return status;
}

static enum sp_status claim(struct directory *d, struct sp_error *err) {
  json_t *ours = sp_manifest_make(d->run->settings, d->run->context, &d->scan, d->shard_utts,
                                  d->shards, d->run->summary->signature);
  if (!ours) {
    return sp_fail_memory(err, 0);
  }
  enum sp_status status = claim_with(d, ours, err);
  json_decref(ours);
  return status == SP_OK ? sp_run_sweep(d->path, err) : status;
}

/* ---- shards ---- */

static uint64_t shard_size(const struct directory *d, size_t shard) {
  uint64_t first = (uint64_t)shard * d->shard_utts;
  uint64_t left = d->scan.counts.utts - first;
  return left < d->shard_utts ? left : d->shard_utts;
}

/* The seal goes first, then the marker: a shard without one is unfinished. */
static void remove_shard(const struct directory *d, size_t shard) {
  static const char *const suffixes[] = {".done", ".jsonl.zst"};
  struct sp_buf name = {0};
  if (sp_buf_printf(&name, NULL, "%s/" SP_RUN_SUCCESS, d->path) == SP_OK && sp_buf_cstr(&name)) {
    unlink(name.data);
  }
  for (int s = 0; s < 2; s++) {
    sp_buf_clear(&name);
    if (sp_shard_path(&name, d->path, shard, d->shards, suffixes[s], NULL) == SP_OK) {
      unlink(name.data);
    }
  }
  sp_buf_release(&name);
}

/* A marker counts only beside its shard: a lost or cut file is scored again. */
static bool has_shard_file(const struct directory *d, size_t shard, uint64_t bytes) {
  struct sp_buf name = {0};
  struct stat info;
  bool whole = sp_shard_path(&name, d->path, shard, d->shards, ".jsonl.zst", NULL) == SP_OK &&
               stat(name.data, &info) == 0 && (uint64_t)info.st_size == bytes;
  sp_buf_release(&name);
  return whole;
}

static enum sp_status find_done(struct directory *d, struct sp_error *err) {
  struct sp_score_summary *summary = d->run->summary;
  for (size_t i = 0; i < d->shards; i++) {
    struct sp_shard_done done = {0};
    bool found;
    SP_TRY(sp_shard_done_read(d->path, i, d->shards, &done, &found, err));
    d->state[i] = found ? SHARD_CUT : SHARD_OPEN;
    if (found && has_shard_file(d, i, done.zst_bytes)) {
      d->state[i] = SHARD_FOUND;
      summary->shards_resumed++;
      summary->hyps_resumed += done.hyps;
      d->run->progress.utts_done += done.utts;
      d->run->progress.hyps_done += done.hyps;
      d->run->progress.tokens_done += done.tokens;
    }
    sp_shard_done_release(&done);
  }
  d->run->progress.hyps_resumed = summary->hyps_resumed;
  return SP_OK;
}

/* Once the seal is checked, since this breaks it. */
static void reopen_cut(struct directory *d) {
  for (size_t i = 0; i < d->shards; i++) {
    if (d->state[i] == SHARD_CUT) {
      remove_shard(d, i);
      d->state[i] = SHARD_OPEN;
    }
  }
}

static enum sp_status put_line(void *context, struct sp_text line, struct sp_text id, uint64_t hyps,
                               uint64_t tokens, struct sp_error *err) {
  return sp_shard_writer_append(context, line, id, hyps, tokens, err);
}

static enum sp_status finish_shard(void *context, struct sp_job *job, struct sp_error *err) {
  struct directory *d = context;
  struct sp_shard_writer *writer;
  SP_TRY(sp_shard_writer_create(d->path, job->index, d->shards, &writer, err));
  enum sp_status status =
      sp_job_write(job, d->run->settings, d->run->context, put_line, writer, err);
  if (status == SP_OK && d->run->settings->options->latency) {
    status = sp_shard_writer_add_latency(writer, &job->latency, err);
  }
  if (status != SP_OK) {
    sp_shard_writer_abandon(writer);
    return status;
  }
  SP_TRY(sp_shard_writer_publish(writer, err));
  d->state[job->index] = SHARD_MADE;
  return SP_OK;
}

static void tick(void *context) {
  struct directory *d = context;
  sp_run_tell(d->run, false);
}

static enum sp_status feed_shard(struct directory *d, size_t shard, struct sp_error *err) {
  struct sp_job *job = NULL;
  uint64_t read, want = shard_size(d, shard);
  if (d->state[shard] == SHARD_OPEN) {
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

static enum sp_status score_open_shards(struct directory *d, struct sp_error *err) {
  struct sp_pool_rules rules = {.settings = d->run->settings,
                                .context = d->run->context,
                                .letter_case = d->scan.letter_case,
                                .finish = finish_shard,
                                .tick = tick,
                                .callback_context = d};
  SP_TRY(sp_archive_open_with(d->spool.paths, d->spool.n_paths, &d->run->settings->archive,
                         &d->run->archive, err));
  SP_TRY(sp_pool_create(&rules, &d->run->pool, err));
  for (size_t shard = 0; shard < d->shards; shard++) {
    SP_TRY(feed_shard(d, shard, err));
  }
  SP_TRY(sp_pool_drain(d->run->pool, err));
  return sp_scan_check_unchanged(&d->scan, d->run->archive, err);
}

/* Shards made from an input that changed meanwhile are not what run.json says: they go. */
static void unpublish(struct directory *d) {
  for (size_t i = 0; i < d->shards; i++) {
    if (d->state[i] == SHARD_MADE) {
      remove_shard(d, i);
    }
  }
}

/* A published shard with other bytes than ours: most likely because the input is another by now. */
static enum sp_status explain_shard(struct directory *d, struct sp_error *err) {
  struct sp_error why;
  if (sp_scan_check_unchanged(&d->scan, d->run->archive, &why) != SP_EINPUT) {
    return SP_ESHARD;
  }
  if (err) {
    *err = why;
  }
  return SP_EINPUT;
}

static enum sp_status sum_markers(struct directory *d, struct sp_error *err) {
  for (size_t i = 0; i < d->shards; i++) {
    struct sp_shard_done done = {0};
    bool found;
    SP_TRY(sp_shard_done_read(d->path, i, d->shards, &done, &found, err));
    if (!found) {
      return sp_fail(err, SP_ESHARD, "shard %zu of %zu has lost its marker", i, d->shards);
    }
    d->run->summary->raw_bytes += done.raw_bytes;
    d->run->summary->zst_bytes += done.zst_bytes;
    enum sp_status status = sp_latency_counts_add(&d->run->latency, &done.latency, err);
    sp_shard_done_release(&done);
    SP_TRY(status);
  }
  return SP_OK;
}

/* ---- the run ---- */

static enum sp_status scan_input(struct directory *d, struct sp_error *err) {
  struct sp_run *run = d->run;
  const struct sp_score_options *options = run->settings->options;
  double start = sp_clock_seconds();
  if (sp_spool_is_needed(options)) {
    SP_TRY(enter(d, err));
  }
  SP_TRY(sp_spool_make(&d->spool, d->path, options, err));
  SP_TRY(sp_scan_archive(run->settings, run->context, d->spool.paths, d->spool.n_paths, &d->scan,
                         err));
  if (d->scan.counts.utts == 0) {
    return sp_fail(err, SP_EINPUT, "%s: the archive holds no utterance", options->archives[0]);
  }
  d->shard_utts = sp_scan_shard_utts(run->settings, &d->scan);
  d->shards = (size_t)((d->scan.counts.utts + d->shard_utts - 1) / d->shard_utts);
  d->state = calloc(d->shards, sizeof *d->state);
  if (!d->state) {
    return sp_fail_memory(err, d->shards);
  }
  run->progress.utts_total = d->scan.counts.utts;
  run->progress.hyps_total = d->scan.counts.hyps;
  run->progress.tokens_total = d->scan.counts.tokens;
  run->summary->counts = d->scan.counts;
  run->summary->shards = d->shards;
  run->summary->shard_utts = d->shard_utts;
  run->summary->read_seconds = sp_clock_seconds() - start;
  sp_run_describe(run, d->scan.format, d->scan.letter_case);
  return SP_OK;
}

/* What only the scored part tells is taken from the pool; the rest the scan knows for all. */
static void take_counts(struct directory *d) {
  struct sp_counts *counts = &d->run->summary->counts;
  struct sp_counts scored = sp_pool_get_counts(d->run->pool);
  d->run->summary->devices_lost = sp_pool_get_lost(d->run->pool);
  counts->duplicate_hyps = scored.duplicate_hyps;
  counts->not_finite = scored.not_finite;
  counts->copies = scored.copies;
  counts->sequences = scored.sequences;
  counts->sequence_tokens = scored.sequence_tokens;
  counts->scored_rows = scored.scored_rows;
  counts->nodes = scored.nodes;
  counts->plain_nodes = scored.plain_nodes;
  counts->flops = scored.flops;
}

static enum sp_status score_into(struct directory *d, struct sp_error *err) {
  struct sp_run *run = d->run;
  SP_TRY(find_done(d, err));
  bool success;
  SP_TRY(sp_run_success_check(d->path, d->shards, &success, err));
  reopen_cut(d);
  run->summary->already_complete = success && run->summary->shards_resumed == d->shards;
  if (run->summary->already_complete) {
    return sum_markers(d, err);
  }
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
    take_counts(d);
    sp_run_tell(run, true);
  }
  SP_TRY(status);
  SP_TRY(sum_markers(d, err));
  return sp_run_success_write(d->path, d->shards, err);
}

/* A wrong --out is told before the archive is read, which can take minutes. */
static enum sp_status check_target(const struct directory *d, struct sp_error *err) {
  struct stat info;
  if (stat(d->path, &info) == 0) {
    bool found;
    json_t *manifest = NULL;
    if (!S_ISDIR(info.st_mode)) {
      return sp_fail(err, SP_EIO, "%s is no directory", d->path);
    }
    SP_TRY(sp_run_manifest_read(d->path, &manifest, &found, err));
    json_decref(manifest);
    return found ? SP_OK : sp_run_check_empty(d->path, SP_RUN_MANIFEST, err);
  }
  return errno == ENOENT ? sp_file_check_parent(d->path, err)
                         : sp_fail_errno(err, SP_EIO, "cannot use %s", d->path);
}

static enum sp_status run_all(struct directory *d, struct sp_error *err) {
  SP_TRY(check_target(d, err));
  SP_TRY(scan_input(d, err));
  SP_TRY(enter(d, err));
  if (!sp_spool_is_needed(d->run->settings->options)) {
    sp_spool_sweep(d->path);
  }
  SP_TRY(claim(d, err));
  return score_into(d, err);
}

enum sp_status sp_run_directory(struct sp_run *run, struct sp_error *err) {
  struct directory d = {.run = run, .path = run->settings->options->out, .lock.fd = -1};
  enum sp_status status = run_all(&d, err);
  if (status != SP_OK && run->pool) { /* no worker may write once the lock is gone */
    sp_pool_destroy(run->pool);
    run->pool = NULL;
  }
  sp_spool_remove(&d.spool);
  if (d.lock.fd >= 0) {
    sp_run_lock_release(d.path, &d.lock);
  }
  if (status != SP_OK && d.created) {
    rmdir(d.path); /* only if nothing is in it */
  }
  sp_spool_release(&d.spool);
  sp_scan_release(&d.scan);
  free(d.state);
  return status;
}
