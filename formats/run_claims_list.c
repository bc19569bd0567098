/* run_claims_list.c - all of .claims at a glance: for status, for who wants RUN alone, for who ends it. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "run_claims_state.h"
#include "run_files.h"
#include "run_scan.h"

/* More than any cluster has; a hostile directory fills no memory. */
enum { workers_ceiling = 1 << 16, claims_ceiling = 1 << 22 };

struct reading {
  const char *run;
  size_t shards, workers_room, shards_room;
  struct sp_claim_list *out;
};

void sp_claim_list_release(struct sp_claim_list *list) {
  free(list->workers);
  free(list->shards);
  *list = (struct sp_claim_list){0};
}

/* Makes room for one more of `n` items. */
static enum sp_status grow(void *items, size_t n, size_t *room, size_t item, struct sp_error *err) {
  if (n < *room) {
    return SP_OK;
  }
  void **at = items;
  size_t wanted = *room ? 2 * *room : 16;
  void *grown = realloc(*at, wanted * item);
  if (!grown) {
    return sp_fail_memory(err, wanted * item);
  }
  *at = grown;
  *room = wanted;
  return SP_OK;
}

void sp_claim_worker_fill(struct sp_claim_worker *out, const char *id,
                          const struct sp_worker_look *look) {
  const struct sp_worker *worker = &look->worker;
  *out = (struct sp_claim_worker){
      .pid = worker->owner.pid,
      .beat = worker->beat,
      .hyps_done = worker->hyps_done,
      .hyps_per_second = worker->hyps_per_second,
      .lease = worker->lease,
      .here = look->here,
      .locked = look->locked,
      .gone = look->gone,
  };
  snprintf(out->id, sizeof out->id, "%s", id);
  snprintf(out->host, sizeof out->host, "%s", worker->owner.host);
  snprintf(out->part, sizeof out->part, "%s", worker->part);
  snprintf(out->start, sizeof out->start, "%s", worker->owner.start);
}

static enum sp_status add_worker(struct reading *reading, const char *id, struct sp_error *err) {
  struct sp_claim_list *list = reading->out;
  struct sp_worker_look look;
  if (!sp_worker_is_id(id, strlen(id)) || list->n_workers == workers_ceiling) {
    return SP_OK;
  }
  SP_TRY(sp_worker_look_at(reading->run, id, &look, err));
  if (look.look == SP_LOOK_WHOLE) {
    SP_TRY(
        grow(&list->workers, list->n_workers, &reading->workers_room, sizeof *list->workers, err));
    sp_claim_worker_fill(&list->workers[list->n_workers++], id, &look);
  }
  return SP_OK;
}

static enum sp_status add_claim(struct reading *reading, const char *name, struct sp_error *err) {
  struct sp_claim_list *list = reading->out;
  struct sp_claim_shard claim = {0};
  struct sp_claim_look look;
  if (!sp_claim_name_parse(name, &claim.shard, &claim.generation) ||
      (claim.shard >= reading->shards && reading->shards != SIZE_MAX) ||
      list->n_shards == claims_ceiling) {
    return SP_OK;
  }
  SP_TRY(sp_claim_look_at(reading->run, claim.shard, claim.generation, &look, err));
  if (look.look == SP_LOOK_WHOLE && look.worker[0]) {
    snprintf(claim.worker, sizeof claim.worker, "%s", look.worker);
    SP_TRY(grow(&list->shards, list->n_shards, &reading->shards_room, sizeof *list->shards, err));
    list->shards[list->n_shards++] = claim;
  }
  return SP_OK;
}

static enum sp_status add_name(void *context, const char *name, struct sp_error *err) {
  enum { prefix = sizeof SP_WORKER_PREFIX - 1 };
  return strncmp(name, SP_WORKER_PREFIX, prefix) == 0 ? add_worker(context, name + prefix, err)
                                                      : add_claim(context, name, err);
}

/* By shard, the highest generation first. */
static int compare(const void *left, const void *right) {
  const struct sp_claim_shard *a = left, *b = right;
  if (a->shard != b->shard) {
    return a->shard < b->shard ? -1 : 1;
  }
  return a->generation == b->generation ? 0 : a->generation > b->generation ? -1 : 1;
}

static void keep_highest(struct sp_claim_list *list) {
  size_t kept = 0;
  if (list->n_shards > 1) {
    qsort(list->shards, list->n_shards, sizeof *list->shards, compare);
  }
  for (size_t k = 0; k < list->n_shards; k++) {
    if (kept == 0 || list->shards[k].shard != list->shards[kept - 1].shard) {
      list->shards[kept++] = list->shards[k];
    }
  }
  list->n_shards = kept;
}

static bool is_directory(const char *path) {
  struct stat info;
  return lstat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

enum sp_status sp_claims_list(const char *run, size_t shards, struct sp_claim_list *out,
                              struct sp_error *err) {
  struct reading reading = {.run = run, .shards = shards, .out = out};
  struct sp_buf path = {0};
  enum sp_status status;
  *out = (struct sp_claim_list){0};
  SP_TRY_GOTO(sp_run_path(&path, run, SP_RUN_CLAIMS, err), release);
  if (is_directory(path.data)) {
    status = sp_run_scan(path.data, add_name, &reading, err);
    if (status == SP_EIO && !is_directory(path.data)) {
      status = SP_OK; /* removed meanwhile */
    }
  }
  keep_highest(out);
release:
  if (status != SP_OK) {
    sp_claim_list_release(out);
  }
  sp_buf_release(&path);
  return status;
}

static enum sp_status is_sealed(const char *run, bool *sealed, struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status = sp_run_path(&path, run, SP_RUN_SUCCESS, err);
  *sealed = status == SP_OK && sp_file_exists(path.data);
  sp_buf_release(&path);
  return status;
}

enum sp_status sp_claims_refuse(const char *run, struct sp_error *err) {
  struct sp_claim_list list;
  bool sealed;
  SP_TRY(is_sealed(run, &sealed, err));
  if (sealed) {
    return SP_OK;
  }
  SP_TRY(sp_claims_list(run, 0, &list, err));
  enum sp_status status = SP_OK;
  for (size_t k = 0; k < list.n_workers && status == SP_OK; k++) {
    const struct sp_claim_worker *worker = &list.workers[k];
    if (!worker->gone) {
      status = sp_fail(err, SP_ELOCK,
                       "worker %s (process %" PRId64
                       " on host %s) shares %s with others: score a part "
                       "of it too (--part), wait for its end, or if it died there, remove "
                       "%s/" SP_RUN_CLAIMS,
                       worker->id, worker->pid, worker->host, run, run);
    }
  }
  sp_claim_list_release(&list);
  return status;
}

static enum sp_status remove_entry(void *context, const char *name, struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status = sp_claims_path(&path, context, "", name, err);
  if (status == SP_OK && unlink(path.data) != 0 && errno != ENOENT &&
      rmdir(path.data) != 0) { /* a directory is none of ours, and stays unless it is empty */
    status = SP_OK;
  }
  sp_buf_release(&path);
  return status;
}

enum sp_status sp_claims_remove_all(const char *run, struct sp_error *err) {
  enum { passes = 3 }; /* others may still make files there */
  struct sp_buf path = {0};
  enum sp_status status;
  SP_TRY_GOTO(sp_run_path(&path, run, SP_RUN_CLAIMS, err), release);
  for (int k = 0; k < passes && is_directory(path.data); k++) {
    status = sp_run_scan(path.data, remove_entry, (void *)run, err);
    if (status == SP_EIO && !is_directory(path.data)) {
      status = SP_OK;
    }
    if (status != SP_OK || rmdir(path.data) == 0) {
      break;
    }
  }
release:
  sp_buf_release(&path);
  return status;
}
