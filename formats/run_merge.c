/* run_merge.c - reads all runs first, then writes; run.json first and _SUCCESS last, as `score` does. */
#include "run_merge.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checked.h"
#include "file.h"
#include "id_set.h"
#include "run_files.h"
#include "run_manifest.h"
#include "run_plan.h"
#include "run_success.h"
#include "shard_format.h"

struct source {
  const char *path;
  json_t *manifest;
  size_t shards, files; /* files: of its input */
  struct sp_run_totals totals;
};

struct merge {
  const struct sp_merge_rules *rules;
  struct source *sources; /* (rules->n_runs) */
  json_t *manifest;       /* of the joined run */
  size_t shards;
  struct sp_run_lock lock;
  struct sp_merge_summary *summary;
};

/* ---- the runs ---- */

static enum sp_status refuse_same(const struct merge *m, size_t k, struct sp_error *err) {
  struct stat own, other;
  const char *path = m->rules->runs[k];
  if (stat(path, &own) != 0) {
    return sp_fail_errno(err, SP_EDAMAGED, "%s is no run directory", path);
  }
  for (size_t before = 0; before <= k; before++) {
    bool is_out = before == k; /* the last comparison is with what is to be written */
    const char *name = is_out ? m->rules->out : m->rules->runs[before];
    if (stat(name, &other) == 0 && own.st_dev == other.st_dev && own.st_ino == other.st_ino) {
      return is_out ? sp_fail(err, SP_EUSAGE, "--out %s is one of the runs", name)
                    : sp_fail(err, SP_EUSAGE, "%s and %s are the same run", name, path);
    }
  }
  return SP_OK;
}

static enum sp_status open_source(struct merge *m, size_t k, struct sp_error *err) {
  struct source *source = &m->sources[k];
  bool found;
  source->path = m->rules->runs[k];
  SP_TRY(refuse_same(m, k, err));
  SP_TRY(sp_run_manifest_read(source->path, &source->manifest, &found, err));
  if (!found) {
    return sp_fail(err, SP_EDAMAGED, "%s is no run directory: it has no %s", source->path,
                   SP_RUN_MANIFEST);
  }
  if (sp_run_manifest_is_open(source->manifest)) {
    return sp_fail(err, SP_ESHARD, "%s is only prepared: nothing of it is scored", source->path);
  }
  const json_t *identity = json_object_get(source->manifest, "identity");
  source->shards = (size_t)json_integer_value(json_object_get(identity, "shards"));
  source->files = json_array_size(json_object_get(identity, "inputs"));
  return SP_OK;
}

static enum sp_status join_manifests(struct merge *m, struct sp_error *err) {
  size_t n = m->rules->n_runs;
  json_t **manifests = calloc(n, sizeof *manifests);
  if (!manifests) {
    return sp_fail_memory(err, n * sizeof *manifests);
  }
  for (size_t k = 0; k < n; k++) {
    manifests[k] = m->sources[k].manifest;
    m->shards += m->sources[k].shards;
  }
  enum sp_status status = sp_run_merge_manifests(manifests, m->rules->runs, n, &m->manifest, err);
  free(manifests);
  return status;
}

/* The run that utterance *ordinal of all is of; *ordinal becomes that in the run, counted from 1. */
static const char *run_of(const struct merge *m, uint64_t *ordinal) {
  size_t k = 0;
  while (k + 1 < m->rules->n_runs && *ordinal >= m->sources[k].totals.utts) {
    *ordinal -= m->sources[k].totals.utts;
    k++;
  }
  ++*ordinal;
  return m->sources[k].path;
}

/* Of run k, which is under way, nothing is counted yet: the message of verify tells the place in it. */
static enum sp_status explain_id(const struct merge *m, struct sp_id_set *ids, size_t k,
                                 struct sp_error *err) {
  uint64_t first, second;
  struct sp_error seen = err ? *err : (struct sp_error){0};
  SP_TRY(sp_id_set_finish(ids, &first, &second, err));
  uint64_t before = 0;
  for (size_t j = 0; j < k; j++) {
    before += m->sources[j].totals.utts;
  }
  if (first >= before) { /* harmed, rather than of another run */
    return sp_fail(err, SP_EDAMAGED, "%s in the run", seen.message);
  }
  const char *run = run_of(m, &first);
  return sp_fail(err, SP_EINPUT, "%s: it is utterance %" PRIu64 " of %s too", seen.message, first,
                 run);
}

static enum sp_status check_ids(const struct merge *m, struct sp_id_set *ids,
                                struct sp_error *err) {
  uint64_t first, second;
  SP_TRY(sp_id_set_finish(ids, &first, &second, err));
  if (first == second) {
    return SP_OK;
  }
  const char *run = run_of(m, &first), *other = run_of(m, &second);
  return sp_fail(err, SP_EINPUT,
                 "utterance %" PRIu64 " of %s and utterance %" PRIu64 " of %s have the same id",
                 first, run, second, other);
}

static void add_totals(struct sp_run_totals *to, const struct sp_run_totals *of) {
  to->shards += of->shards;
  to->utts += of->utts;
  to->hyps += of->hyps;
  to->tokens += of->tokens;
  to->raw_bytes += of->raw_bytes;
  to->zst_bytes += of->zst_bytes;
}

static enum sp_status verify_each(struct merge *m, struct sp_id_set *ids, struct sp_error *err) {
  for (size_t k = 0; k < m->rules->n_runs; k++) {
    struct source *source = &m->sources[k];
    enum sp_status status = sp_run_verify_among(source->path, ids, &source->totals, err);
    if (status == SP_EINPUT) {
      return explain_id(m, ids, k, err);
    }
    SP_TRY(status);
    add_totals(&m->summary->totals, &source->totals);
    if (m->rules->verified) {
      m->rules->verified(m->rules->context, k, &source->totals);
    }
  }
  return check_ids(m, ids, err);
}

static enum sp_status verify_sources(struct merge *m, struct sp_error *err) {
  struct sp_id_set *ids = NULL;
  SP_TRY(sp_id_set_create(SP_ID_SET_MEMORY, NULL, &ids, err));
  enum sp_status status = verify_each(m, ids, err);
  sp_id_set_destroy(ids);
  return status;
}

/* ---- the joined run ---- */

/* What is there must be a run of ours, or nothing. Asked before the runs are read, which can take long,
 * and again with the lock held. */
static enum sp_status check_target(const struct merge *m, bool *begun, struct sp_error *err) {
  const char *out = m->rules->out;
  json_t *theirs = NULL;
  *begun = false;
  if (!sp_file_exists(out)) {
    return sp_file_check_parent(out, err);
  }
  if (!sp_file_is_directory(out)) {
    return sp_fail(err, SP_EIO, "%s is no directory", out);
  }
  SP_TRY(sp_run_manifest_read(out, &theirs, begun, err));
  enum sp_status status = *begun ? sp_run_identity_compare(theirs, m->manifest, out, err)
                                 : sp_run_check_empty(out, SP_RUN_MANIFEST, err);
  json_decref(theirs);
  return status;
}

static enum sp_status enter(struct merge *m, struct sp_error *err) {
  const char *out = m->rules->out;
  bool begun;
  SP_TRY(sp_file_make_directory(out, err));
  SP_TRY(sp_run_lock_take(out, &m->lock, err));
  SP_TRY(check_target(m, &begun, err));
  SP_TRY(sp_run_sweep(out, err));
  return begun ? SP_OK : sp_run_manifest_write(out, m->manifest, err);
}

/* A place in `out` for a shard or a marker of a source. */
struct move {
  struct sp_buf from, to;
  struct sp_shard_done done; /* the source's marker */
};

static void release_move(struct move *move) {
  sp_buf_release(&move->from);
  sp_buf_release(&move->to);
  sp_shard_done_release(&move->done);
}

static bool is_same_file(const char *a, const char *b) {
  struct stat one, other;
  return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
         one.st_ino == other.st_ino;
}

/* False with errno. A shard that is a symbolic link is followed: its text may mean nothing from here. */
static bool try_link(const struct move *move) {
  return linkat(AT_FDCWD, move->from.data, AT_FDCWD, move->to.data, AT_SYMLINK_FOLLOW) == 0;
}

static enum sp_status refuse_existing(const struct move *move, struct sp_error *err) {
  return sp_fail(err, SP_ESHARD, "%s is there already and differs from %s; remove it",
                 move->to.data, move->from.data);
}

/* A copy under a temporary name, whole and on the disk, then published. *existed: a shard was there. */
static enum sp_status copy_shard(const struct move *move, bool *existed, struct sp_error *err) {
  struct sp_buf name = {0};
  uint64_t bytes = 0, xxh64 = 0;
  enum sp_status status;
  *existed = false;
  SP_TRY_GOTO(sp_buf_printf(&name, err, "%s.tmp.%ld", move->to.data, (long)getpid()), release);
  const char *temporary = sp_buf_cstr(&name);
  int fd = temporary ? open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1;
  if (fd < 0) {
    status = sp_fail_errno(err, SP_EIO, "cannot create a copy %s", move->to.data);
    goto release;
  }
  status = sp_shard_file_copy(move->from.data, fd, temporary, &bytes, &xxh64, err);
  if (status == SP_OK && (bytes != move->done.zst_bytes || xxh64 != move->done.zst_xxh64)) {
    status = sp_fail(err, SP_EDAMAGED, "%s changed while it was copied", move->from.data);
  }
  if (status == SP_OK && fsync(fd) != 0) {
    status = sp_fail_errno(err, SP_EIO, "cannot sync %s", temporary);
  }
  close(fd);
  if (status == SP_OK) {
    status = sp_file_publish(temporary, move->to.data, existed, err);
  } else {
    unlink(temporary);
  }
release:
  sp_buf_release(&name);
  return status;
}

/* Whether an earlier call put the shard here: the same file, or one of the marker's bytes. */
static enum sp_status keep_shard(struct merge *m, const struct move *move, struct sp_error *err) {
  bool same = is_same_file(move->from.data, move->to.data);
  if (!same) {
    SP_TRY(sp_shard_file_compare(move->to.data, &move->done, &same, err));
  }
  m->summary->found++;
  return same ? SP_OK : refuse_existing(move, err);
}

static enum sp_status place_shard(struct merge *m, const struct move *move, struct sp_error *err) {
  if (try_link(move)) {
    m->summary->linked++;
    return SP_OK;
  }
  if (errno == EEXIST) {
    return keep_shard(m, move, err);
  }
  if (errno == ENOENT) {
    return sp_fail(err, SP_EDAMAGED, "%s is missing", move->from.data);
  }
  /* another file system, none with hard links, or another user's file: the copy tells what else is wrong */
  bool existed;
  SP_TRY(copy_shard(move, &existed, err));
  if (existed) {
    return keep_shard(m, move, err);
  }
  m->summary->copied++;
  return SP_OK;
}

static enum sp_status place_marker(struct merge *m, const struct move *move, size_t index,
                                   struct sp_error *err) {
  if (try_link(move) || (errno == EEXIST && is_same_file(move->from.data, move->to.data))) {
    return SP_OK;
  }
  return sp_shard_done_write(m->rules->out, index, m->shards, &move->done, err);
}

static enum sp_status name_files(const struct merge *m, const struct source *source, size_t shard,
                                 size_t index, const char *suffix, struct move *move,
                                 struct sp_error *err) {
  sp_buf_clear(&move->from);
  sp_buf_clear(&move->to);
  SP_TRY(sp_shard_path(&move->from, source->path, shard, source->shards, suffix, err));
  return sp_shard_path(&move->to, m->rules->out, index, m->shards, suffix, err);
}

/* The shard first, then its marker: one without a marker is unfinished. */
static enum sp_status place(struct merge *m, const struct source *source, size_t shard,
                            size_t index, struct sp_error *err) {
  struct move move = {0};
  bool found;
  enum sp_status status;
  SP_TRY_GOTO(sp_shard_done_read(source->path, shard, source->shards, &move.done, &found, err),
              release);
  if (!found) {
    status =
        sp_fail(err, SP_EDAMAGED, "%s: the marker of shard %zu is missing", source->path, shard);
    goto release;
  }
  SP_TRY_GOTO(name_files(m, source, shard, index, SP_SHARD_DATA, &move, err), release);
  SP_TRY_GOTO(place_shard(m, &move, err), release);
  SP_TRY_GOTO(name_files(m, source, shard, index, SP_SHARD_DONE, &move, err), release);
  status = place_marker(m, &move, index, err);
release:
  release_move(&move);
  return status;
}

static enum sp_status place_all(struct merge *m, struct sp_error *err) {
  size_t index = 0;
  for (size_t k = 0; k < m->rules->n_runs; k++) {
    const struct source *source = &m->sources[k];
    for (size_t shard = 0; shard < source->shards; shard++) {
      SP_TRY(place(m, source, shard, index++, err));
    }
  }
  return SP_OK;
}

/* ---- the plan ---- */

/* Appends a run's shards; places count the files and utterances of all runs before. *places is cleared
 * where the run has none. */
static void shift_plan(struct sp_plan_shard *to, const struct sp_plan_shard *from, size_t n,
                       uint64_t files, uint64_t utts, bool *places) {
  for (size_t i = 0; i < n; i++) {
    to[i] = from[i];
    to[i].place.file += files;
    to[i].place.records += utts;
    *places = *places && from[i].has_place;
  }
}

/* verify does not read plans: one that does not fit its run would harm that of all. */
static enum sp_status check_plan(const struct source *source, const struct sp_plan_shard *shards,
                                 struct sp_error *err) {
  uint64_t utts = 0;
  for (size_t i = 0; i < source->shards; i++) {
    utts += shards[i].utts; /* below 2^63 in all */
  }
  return utts == source->totals.utts ? SP_OK
                                     : sp_fail(err, SP_EDAMAGED,
                                               "%s/" SP_RUN_PLAN ": it is for %" PRIu64
                                               " utterances, but the run has %" PRIu64,
                                               source->path, utts, source->totals.utts);
}

/* *all is false when a run has no plan. */
static enum sp_status join_plans(const struct merge *m, struct sp_plan_shard *shards, bool *all,
                                 struct sp_error *err) {
  size_t at = 0;
  uint64_t files = 0, utts = 0;
  bool places = true; /* a plan has one of every shard or none at all */
  *all = true;
  for (size_t k = 0; *all && k < m->rules->n_runs; k++) {
    const struct source *source = &m->sources[k];
    struct sp_plan_shard *own = NULL;
    SP_TRY(sp_run_plan_read(source->path, source->shards, &own, all, err));
    enum sp_status status = *all ? check_plan(source, own, err) : SP_OK;
    if (*all && status == SP_OK) {
      shift_plan(shards + at, own, source->shards, files, utts, &places);
    }
    free(own);
    SP_TRY(status);
    at += source->shards;
    files += source->files;
    utts += source->totals.utts;
  }
  for (size_t i = 0; !places && i < at; i++) {
    shards[i].has_place = false;
    shards[i].place = (struct sp_place){0};
  }
  return SP_OK;
}

static enum sp_status place_plan(struct merge *m, struct sp_error *err) {
  struct sp_plan_shard *shards = calloc(sp_max_size(m->shards, 1), sizeof *shards);
  if (!shards) {
    return sp_fail_memory(err, m->shards * sizeof *shards);
  }
  enum sp_status status = join_plans(m, shards, &m->summary->has_plan, err);
  if (status == SP_OK && m->summary->has_plan) {
    status = sp_run_plan_write(m->rules->out, shards, m->shards, err);
  }
  free(shards);
  return status;
}

/* ---- the call ---- */

/* All links are on the disk before _SUCCESS vouches for them. */
static enum sp_status sync_out(const struct merge *m, struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status = sp_run_path(&path, m->rules->out, SP_RUN_MANIFEST, err);
  if (status == SP_OK) {
    status = sp_file_sync_directory_of(path.data, err);
  }
  sp_buf_release(&path);
  return status;
}

static enum sp_status merge_all(struct merge *m, struct sp_error *err) {
  bool begun;
  for (size_t k = 0; k < m->rules->n_runs; k++) {
    SP_TRY(open_source(m, k, err));
  }
  SP_TRY(join_manifests(m, err));
  SP_TRY(check_target(m, &begun, err));
  SP_TRY(verify_sources(m, err));
  SP_TRY(enter(m, err));
  SP_TRY(place_plan(m, err));
  SP_TRY(place_all(m, err));
  SP_TRY(sync_out(m, err));
  return sp_run_success_write(m->rules->out, m->shards, err);
}

enum sp_status sp_run_merge(const struct sp_merge_rules *rules, struct sp_merge_summary *summary,
                            struct sp_error *err) {
  *summary = (struct sp_merge_summary){0};
  struct merge m = {.rules = rules, .lock.fd = -1, .summary = summary};
  m.sources = calloc(sp_max_size(rules->n_runs, 1), sizeof *m.sources);
  if (!m.sources) {
    return sp_fail_memory(err, rules->n_runs * sizeof *m.sources);
  }
  enum sp_status status = merge_all(&m, err);
  if (m.lock.fd >= 0) {
    sp_run_lock_release(rules->out, &m.lock);
  }
  for (size_t k = 0; k < rules->n_runs; k++) {
    json_decref(m.sources[k].manifest);
  }
  json_decref(m.manifest);
  free(m.sources);
  return status;
}
