/* run_claims_sweep.c - what workers that are gone left behind. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checked.h"
#include "file.h"
#include "run_claims_state.h"
#include "run_files.h"
#include "run_scan.h"
#include "shard.h"

/* Takes ".tmp-scores-IIIII-of-NNNNN.WORKER.X" apart (shard_writer.c). */
static bool parse_temporary(const char *name, size_t *index, size_t *count,
                            char worker[SP_WORKER_ID]) {
  static const char prefix[] = SP_TEMPORARY_PREFIX SP_SHARD_PREFIX;
  int at = 0;
  if (strncmp(name, prefix, sizeof prefix - 1) != 0 ||
      sscanf(name + sizeof prefix - 1, "%9zu-of-%9zu.%n", index, count, &at) != 2 || at == 0) {
    return false;
  }
  const char *id = name + sizeof prefix - 1 + at;
  size_t len = strcspn(id, ".");
  if (id[len] != '.' || !sp_worker_is_id(id, len)) {
    return false;
  }
  snprintf(worker, SP_WORKER_ID, "%.*s", (int)len, id);
  return *index < *count;
}

static bool is_done(const char *run, size_t index, size_t count) {
  struct sp_buf path = {0};
  bool done = sp_shard_path(&path, run, index, count, SP_SHARD_DONE, NULL) == SP_OK &&
              sp_file_exists(path.data);
  sp_buf_release(&path);
  return done;
}

static enum sp_status is_gone(struct sp_claims *claims, const char *worker, bool *gone,
                              struct sp_error *err) {
  *gone = false;
  return strcmp(worker, claims->self.id) == 0 ? SP_OK
                                              : sp_watch_worker(&claims->watch, worker, gone, err);
}

static enum sp_status sweep_temporary(void *context, const char *name, struct sp_error *err) {
  struct sp_claims *claims = context;
  struct sp_buf path = {0};
  char worker[SP_WORKER_ID];
  size_t index, count;
  bool gone;
  if (!parse_temporary(name, &index, &count, worker) || !is_done(claims->run, index, count)) {
    return SP_OK;
  }
  SP_TRY(is_gone(claims, worker, &gone, err));
  if (!gone) {
    return SP_OK;
  }
  enum sp_status status = sp_run_path(&path, claims->run, name, err);
  if (status == SP_OK && unlink(path.data) != 0 && errno != ENOENT) {
    status = sp_fail_errno(err, SP_EIO, "cannot remove %s", path.data);
  }
  sp_buf_release(&path);
  return status;
}

static int compare_names(const void *left, const void *right) {
  return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* Who holds claims, in the order of names: a hostile directory may have many of both. */
static enum sp_status sort_holders(const struct sp_claim_list *list, const char ***out,
                                   struct sp_error *err) {
  *out = calloc(sp_max_size(list->n_shards, 1), sizeof **out);
  if (!*out) {
    return sp_fail_memory(err, list->n_shards * sizeof **out);
  }
  for (size_t k = 0; k < list->n_shards; k++) {
    (*out)[k] = list->shards[k].worker;
  }
  qsort(*out, list->n_shards, sizeof **out, compare_names);
  return SP_OK;
}

static void unlink_in_claims(const struct sp_claims *claims, const char *prefix, const char *id) {
  struct sp_buf path = {0};
  if (sp_claims_path(&path, claims->run, prefix, id, NULL) == SP_OK) {
    unlink(path.data);
  }
  sp_buf_release(&path);
}

/* Without its file a worker would have to be watched for a lease again: it stays while a claim counts. */
static enum sp_status sweep_workers(struct sp_claims *claims, const struct sp_claim_list *list,
                                    const char *const *holders, struct sp_error *err) {
  for (size_t k = 0; k < list->n_workers; k++) {
    const char *worker = list->workers[k].id;
    bool gone;
    SP_TRY(is_gone(claims, worker, &gone, err));
    if (gone && !bsearch(&worker, holders, list->n_shards, sizeof *holders, compare_names)) {
      unlink_in_claims(claims, SP_WORKER_PREFIX, worker);
      unlink_in_claims(claims, SP_CLAIMS_TEMPORARY, worker);
    }
  }
  return SP_OK;
}

enum sp_status sp_claims_sweep(struct sp_claims *claims, struct sp_error *err) {
  struct sp_claim_list list;
  const char **holders;
  SP_TRY(sp_run_scan(claims->run, sweep_temporary, claims, err));
  SP_TRY(sp_claims_list(claims->run, SIZE_MAX, &list, err));
  enum sp_status status = sort_holders(&list, &holders, err);
  if (status == SP_OK) {
    status = sweep_workers(claims, &list, holders, err);
    free((void *)holders);
  }
  sp_claim_list_release(&list);
  return status;
}
