#include "heartbeat.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "clock.h"
#include "thread.h"

struct sp_heartbeat {
  struct sp_claims *claims;
  double seconds;
  double start; /* of scoring: when its first count was told; NaN before */
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t end;
  uint64_t hyps_done;
  bool ending, failed;
  struct sp_error error;
};

static void wait_until(struct sp_heartbeat *h, double time) {
  struct timespec until = {.tv_sec = (time_t)floor(time)};
  until.tv_nsec = (long)((time - floor(time)) * 1e9);
  while (!h->ending && pthread_cond_timedwait(&h->end, &h->mutex, &until) == 0) {
  }
}

/* One beat, without the mutex while the file is written. */
static void beat(struct sp_heartbeat *h) {
  double seconds = sp_clock_seconds() - h->start;
  uint64_t hyps = h->hyps_done;
  struct sp_error err;
  pthread_mutex_unlock(&h->mutex);
  enum sp_status status =
      sp_claims_beat(h->claims, hyps, seconds > 0 ? (double)hyps / seconds : 0, &err);
  pthread_mutex_lock(&h->mutex);
  if (status != SP_OK) {
    h->failed = true;
    h->error = err;
  }
}

static void *work(void *argument) {
  struct sp_heartbeat *h = argument;
  pthread_mutex_lock(&h->mutex);
  while (!h->ending) {
    beat(h);
    wait_until(h, sp_clock_seconds() + h->seconds);
  }
  pthread_mutex_unlock(&h->mutex);
  return NULL;
}

static void release(struct sp_heartbeat *h) {
  pthread_cond_destroy(&h->end);
  pthread_mutex_destroy(&h->mutex);
  free(h);
}

enum sp_status sp_heartbeat_start(struct sp_claims *claims, double seconds,
                                  struct sp_heartbeat **out, struct sp_error *err) {
  struct sp_heartbeat *h = calloc(1, sizeof *h);
  pthread_condattr_t monotonic;
  if (!h) {
    return sp_fail_memory(err, sizeof *h);
  }
  h->claims = claims;
  h->seconds = seconds;
  h->start = NAN;
  pthread_mutex_init(&h->mutex, NULL);
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&h->end, &monotonic);
  pthread_condattr_destroy(&monotonic);
  if (sp_thread_start(&h->thread, work, h) != 0) {
    release(h);
    return sp_fail(err, SP_EDEVICE, "cannot start a thread");
  }
  *out = h;
  return SP_OK;
}

void sp_heartbeat_stop(struct sp_heartbeat *h) {
  if (!h) {
    return;
  }
  pthread_mutex_lock(&h->mutex);
  h->ending = true;
  pthread_cond_signal(&h->end);
  pthread_mutex_unlock(&h->mutex);
  pthread_join(h->thread, NULL);
  release(h);
}

void sp_heartbeat_tell(struct sp_heartbeat *h, uint64_t hyps_done) {
  pthread_mutex_lock(&h->mutex);
  h->start = isnan(h->start) ? sp_clock_seconds() : h->start;
  h->hyps_done = hyps_done;
  pthread_mutex_unlock(&h->mutex);
}

bool sp_heartbeat_failed(struct sp_heartbeat *h, struct sp_error *why) {
  pthread_mutex_lock(&h->mutex);
  bool failed = h->failed;
  if (failed) {
    *why = h->error;
  }
  h->failed = false;
  pthread_mutex_unlock(&h->mutex);
  return failed;
}
