#include "directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checked.h"
#include "clock.h"
#include "file.h"
#include "manifest.h"
#include "reframed.h"
#include "run_files.h"
#include "run_manifest.h"
#include "run_success.h"

/* ---- the directory and its identity ---- */

static enum sp_status has_manifest(const char *run, bool *found, struct sp_error *err) {
  json_t *manifest = NULL;
  enum sp_status status = sp_run_manifest_read(run, &manifest, found, err);
  json_decref(manifest);
  return status;
}

/* Others may have made the run after the first look, or it was answered from before: a list of the names is
 * newer. */
static enum sp_status check_made_or_empty(const char *run, struct sp_error *err) {
  bool made;
  SP_TRY(has_manifest(run, &made, err));
  enum sp_status status = made ? SP_OK : sp_run_check_empty(run, SP_RUN_MANIFEST, err);
  if (status == SP_EIDENTITY && has_manifest(run, &made, NULL) == SP_OK && made) {
    status = SP_OK;
  }
  return status;
}

enum sp_status sp_directory_check_target(const struct sp_directory *d, struct sp_error *err) {
  struct stat info;
  if (stat(d->path, &info) == 0) {
    return S_ISDIR(info.st_mode) ? check_made_or_empty(d->path, err)
                                 : sp_fail(err, SP_EIO, "%s is no directory", d->path);
  }
  return errno == ENOENT ? sp_file_check_parent(d->path, err)
                         : sp_fail_errno(err, SP_EIO, "cannot use %s", d->path);
}

enum sp_status sp_directory_make(struct sp_directory *d, struct sp_error *err) {
  bool existed = sp_file_exists(d->path);
  SP_TRY(sp_file_make_directory(d->path, err));
  d->created = !existed;
  return SP_OK;
}

enum sp_status sp_directory_scan(struct sp_directory *d, struct sp_error *err) {
  SP_TRY(sp_scan_archive(d->run->settings, d->run->context, d->archives, d->n_archives, &d->scan,
                         err));
  if (d->scan.counts.utts == 0) {
    return sp_fail(err, SP_EINPUT, "%s: the archive holds no utterance",
                   d->run->settings->options->archives[0]);
  }
  sp_reframed_turn(d);
  d->shard_utts = sp_scan_shard_utts(d->run->settings, &d->scan);
  d->shards = (size_t)((d->scan.counts.utts + d->shard_utts - 1) / d->shard_utts);
  sp_run_describe(d->run, d->scan.format, d->scan.letter_case);
  return SP_OK;
}

enum sp_status sp_directory_begin(struct sp_directory *d, struct sp_error *err) {
  struct sp_run *run = d->run;
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
  return SP_OK;
}

enum sp_status sp_directory_manifest(const struct sp_directory *d, json_t **out,
                                     struct sp_error *err) {
  const char *signature = d->run->summary->signature;
  *out = sp_manifest_make(d->run->settings, d->run->context, &d->scan, d->shard_utts, d->shards,
                          *signature ? signature : NULL);
  return *out ? SP_OK : sp_fail_memory(err, 0);
}

/* With --allow-mixed a run that another device type began is gone on with; run.json stays. */
static void allow_mixed(const struct sp_directory *d, const json_t *theirs, json_t *ours) {
  const json_t *type = json_object_get(json_object_get(theirs, "identity"), "device_type");
  json_t *mine = json_object_get(ours, "identity");
  if (d->run->settings->options->allow_mixed && type &&
      !json_equal(type, json_object_get(mine, "device_type"))) {
    sp_warn(d->run->settings->options,
            "the run was begun on another device type: its scores may differ in the last bits");
    json_object_set(mine, "device_type", (json_t *)type);
  }
}

enum sp_status sp_directory_compare(const struct sp_directory *d, json_t *theirs,
                                    struct sp_error *err) {
  json_t *ours;
  SP_TRY(sp_directory_manifest(d, &ours, err));
  sp_run_manifest_fill(theirs, ours);
  sp_run_manifest_fill(ours, theirs);
  allow_mixed(d, theirs, ours);
  enum sp_status status = sp_run_identity_compare(theirs, ours, d->path, err);
  json_decref(ours);
  return status;
}

enum sp_status sp_directory_decide(const struct sp_directory *d, json_t *theirs,
                                   struct sp_error *err) {
  bool open = sp_run_manifest_is_open(theirs);
  SP_TRY(sp_directory_compare(d, theirs, err));
  return open && !sp_run_manifest_is_open(theirs) ? sp_run_manifest_write(d->path, theirs, err)
                                                  : SP_OK;
}

/* A plan without a run.json is of one that is gone: beside a new one it would be taken for that one's. */
static void remove_plan(const struct sp_directory *d) {
  struct sp_buf path = {0};
  if (sp_run_path(&path, d->path, SP_RUN_PLAN, NULL) == SP_OK) {
    unlink(path.data);
  }
  sp_buf_release(&path);
}

static enum sp_status publish_manifest(const struct sp_directory *d, struct sp_error *err) {
  json_t *ours;
  SP_TRY(check_made_or_empty(d->path, err));
  remove_plan(d);
  SP_TRY(sp_directory_manifest(d, &ours, err));
  enum sp_status status = sp_run_manifest_publish(d->path, ours, err);
  json_decref(ours);
  return status;
}

enum sp_status sp_directory_publish(const struct sp_directory *d, json_t **out,
                                    struct sp_error *err) {
  bool found;
  SP_TRY(sp_run_manifest_read(d->path, out, &found, err));
  if (!found) {
    SP_TRY(publish_manifest(d, err));
    SP_TRY(sp_run_manifest_read(d->path, out, &found, err));
  }
  return found ? SP_OK : sp_fail(err, SP_EDAMAGED, "%s has lost its " SP_RUN_MANIFEST, d->path);
}

/* Room of the marks becomes the plan's. */
enum sp_status sp_directory_settle(struct sp_directory *d, json_t *theirs, struct sp_error *err) {
  struct sp_marks *marks = &d->scan.marks;
  SP_TRY(sp_directory_decide(d, theirs, err));
  sp_marks_merge(marks, d->shard_utts);
  return sp_run_plan_publish(d->path, marks->mark, marks->n, err);
}

/* ---- shards ---- */

uint64_t sp_directory_shard_size(const struct sp_directory *d, size_t shard) {
  uint64_t first = (uint64_t)shard * d->shard_utts;
  uint64_t left = d->scan.counts.utts - first;
  return left < d->shard_utts ? left : d->shard_utts;
}

/* The seal goes first, then the marker: a shard without one is unfinished. */
void sp_directory_remove(const struct sp_directory *d, size_t shard) {
  static const char *const suffixes[] = {SP_SHARD_DONE, SP_SHARD_DATA};
  struct sp_buf name = {0};
  if (sp_run_path(&name, d->path, SP_RUN_SUCCESS, NULL) == SP_OK) {
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
static bool has_shard_file(const struct sp_directory *d, size_t shard, uint64_t bytes) {
  struct sp_buf name = {0};
  struct stat info;
  bool whole = sp_shard_path(&name, d->path, shard, d->shards, SP_SHARD_DATA, NULL) == SP_OK &&
               stat(name.data, &info) == 0 && (uint64_t)info.st_size == bytes;
  sp_buf_release(&name);
  return whole;
}

/* Opening has a network file system ask for the size that it has now. */
static bool is_cut(const struct sp_directory *d, size_t shard, uint64_t bytes) {
  struct sp_buf name = {0};
  struct stat info;
  int fd = sp_shard_path(&name, d->path, shard, d->shards, SP_SHARD_DATA, NULL) == SP_OK
               ? open(name.data, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
               : -1;
  bool cut = fd >= 0 && fstat(fd, &info) == 0 && (uint64_t)info.st_size != bytes;
  if (fd >= 0) {
    close(fd);
  }
  sp_buf_release(&name);
  return cut;
}

void sp_directory_remove_cut(const struct sp_directory *d, size_t shard) {
  struct sp_shard_done marker;
  bool found;
  if (sp_shard_done_read(d->path, shard, d->shards, &marker, &found, NULL) == SP_OK && found &&
      is_cut(d, shard, marker.zst_bytes)) {
    sp_directory_remove(d, shard);
  }
  sp_shard_done_release(&marker);
}

enum sp_status sp_directory_look(struct sp_directory *d, size_t shard, struct sp_shard_done *done,
                                 struct sp_error *err) {
  struct sp_shard_done own = {0}, *marker = done ? done : &own;
  bool found;
  SP_TRY(sp_shard_done_read(d->path, shard, d->shards, marker, &found, err));
  d->state[shard] = !found                                        ? SP_SHARD_OPEN
                    : has_shard_file(d, shard, marker->zst_bytes) ? SP_SHARD_FOUND
                                                                  : SP_SHARD_CUT;
  sp_shard_done_release(&own);
  return SP_OK;
}

static enum sp_status put_line(void *context, struct sp_text line, struct sp_text id, uint64_t hyps,
                               uint64_t tokens, struct sp_error *err) {
  return sp_shard_writer_append(context, line, id, hyps, tokens, err);
}

enum sp_status sp_directory_finish(void *directory, struct sp_job *job, struct sp_error *err) {
  struct sp_directory *d = directory;
  struct sp_shard_writer *writer;
  bool late;
  SP_TRY(sp_shard_writer_create_for(d->path, job->index, d->shards, d->worker, &writer, err));
  enum sp_status status =
      sp_job_write(job, d->run->settings, d->run->context, put_line, writer, err);
  if (status == SP_OK && d->run->settings->options->latency) {
    status = sp_shard_writer_add_latency(writer, &job->latency, err);
  }
  if (status != SP_OK) {
    sp_shard_writer_abandon(writer);
    return status;
  }
  SP_TRY(sp_shard_writer_publish_late(writer, &late, err));
  d->state[job->index] = late ? SP_SHARD_LATE : SP_SHARD_MADE;
  return SP_OK;
}

/* What only the scored part tells is taken from the pool; the rest the scan knows for all. */
void sp_directory_take_counts(struct sp_directory *d) {
  struct sp_score_summary *summary = d->run->summary;
  struct sp_counts *counts = &summary->counts;
  struct sp_counts scored = sp_pool_get_counts(d->run->pool);
  summary->devices_lost = sp_pool_get_lost(d->run->pool);
  summary->hyps_scored = scored.hyps;
  counts->duplicate_hyps = scored.duplicate_hyps;
  counts->not_finite = scored.not_finite;
  counts->copies = scored.copies;
  counts->sequences = scored.sequences;
  counts->sequence_tokens = scored.sequence_tokens;
  counts->scored_rows = scored.scored_rows;
  counts->nodes = scored.nodes;
  counts->plain_nodes = scored.plain_nodes;
  counts->flops = scored.flops;
  for (size_t i = 0; i < d->shards; i++) {
    summary->shards_late += d->state[i] == SP_SHARD_LATE;
  }
}

struct sums {
  struct sp_directory *d;
  size_t open;
};

static enum sp_status sum_shard(void *context, size_t shard, const struct sp_shard_done *done,
                                struct sp_error *err) {
  struct sums *sums = context;
  struct sp_directory *d = sums->d;
  d->marker_hash[shard] = done->marker_xxh64;
  if (d->state[shard] != SP_SHARD_FOUND) {
    sums->open++;
    return SP_OK;
  }
  d->run->summary->raw_bytes += done->raw_bytes;
  d->run->summary->zst_bytes += done->zst_bytes;
  return sp_latency_counts_add(&d->run->latency, &done->latency, err);
}

static void clear_sums(struct sp_directory *d) {
  d->run->summary->raw_bytes = d->run->summary->zst_bytes = 0;
  sp_latency_counts_clear(&d->run->latency);
}

enum sp_status sp_directory_sum(struct sp_directory *d, size_t *open, struct sp_error *err) {
  struct sums sums = {.d = d};
  if (!d->marker_hash) {
    d->marker_hash = calloc(d->shards, sizeof *d->marker_hash);
  }
  if (!d->marker_hash) {
    return sp_fail_memory(err, sp_mul_sat(d->shards, sizeof *d->marker_hash));
  }
  clear_sums(d);
  SP_TRY(sp_directory_look_many(d, NULL, d->shards, sum_shard, &sums, err));
  if (sums.open > 0) {
    clear_sums(d);
  }
  *open = sums.open;
  return SP_OK;
}

enum sp_status sp_directory_seal(const struct sp_directory *d, struct sp_error *err) {
  return sp_run_success_seal(d->path, d->shards, d->marker_hash, err);
}

void sp_directory_release(struct sp_directory *d) {
  sp_scan_release(&d->scan);
  free((void *)d->state);
  free(d->marker_hash);
}
