/* look_many.c - the markers of many shards, several at a time: over a network each is a matter of waiting. */
#include <pthread.h>
#include <stdlib.h>

#include "checked.h"
#include "directory.h"
#include "thread.h"

enum { readers = 16, block = 1024, few = 32 };

/* Shards first .. first + n of those asked for. */
struct reading {
  struct sp_directory *d;
  const uint32_t *shards; /* NULL: their own numbers */
  size_t first, n;
  struct sp_shard_done *done; /* (n) */
  _Atomic size_t next;
  pthread_mutex_t mutex; /* of the rest */
  size_t failed;         /* the lowest; n: none */
  enum sp_status status;
  struct sp_error error;
};

static size_t shard_of(const struct reading *r, size_t k) {
  return r->shards ? r->shards[r->first + k] : r->first + k;
}

static void note_failure(struct reading *r, size_t k, enum sp_status status,
                         const struct sp_error *err) {
  pthread_mutex_lock(&r->mutex);
  if (k < r->failed) {
    r->failed = k;
    r->status = status;
    r->error = *err;
  }
  pthread_mutex_unlock(&r->mutex);
}

static void *work(void *reading) {
  struct reading *r = reading;
  struct sp_error err;
  for (size_t k; (k = r->next++) < r->n;) {
    enum sp_status status = sp_directory_look(r->d, shard_of(r, k), &r->done[k], &err);
    if (status != SP_OK) {
      note_failure(r, k, status, &err);
    }
  }
  return NULL;
}

/* With threads as far as they are to be had; this one reads too. */
static void read_block(struct reading *r) {
  pthread_t thread[readers];
  size_t n = 0;
  while (r->n >= few && n < readers - 1 && sp_thread_start(&thread[n], work, r) == 0) {
    n++;
  }
  work(r);
  while (n > 0) {
    pthread_join(thread[--n], NULL);
  }
}

/* In order, so that sums are the same whoever read first. */
static enum sp_status tell_block(struct reading *r, sp_directory_marker_fn each, void *context,
                                 struct sp_error *err) {
  enum sp_status status = r->status;
  if (status != SP_OK && err) {
    *err = r->error;
  }
  for (size_t k = 0; k < r->n; k++) {
    if (status == SP_OK) {
      status = each(context, shard_of(r, k), &r->done[k], err);
    }
    sp_shard_done_release(&r->done[k]);
  }
  return status;
}

enum sp_status sp_directory_look_many(struct sp_directory *d, const uint32_t *shards, size_t n,
                                      sp_directory_marker_fn each, void *context,
                                      struct sp_error *err) {
  struct sp_shard_done *done = calloc(block, sizeof *done);
  enum sp_status status = done ? SP_OK : sp_fail_memory(err, block * sizeof *done);
  for (size_t first = 0; first < n && status == SP_OK; first += block) {
    struct reading r = {.d = d, .shards = shards, .first = first, .done = done};
    r.n = r.failed = sp_min_size(block, n - first);
    pthread_mutex_init(&r.mutex, NULL);
    read_block(&r);
    pthread_mutex_destroy(&r.mutex);
    status = tell_block(&r, each, context, err);
  }
  free(done);
  return status;
}
