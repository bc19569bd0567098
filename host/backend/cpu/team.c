/* team.c - one round of tasks at a time: a ticket counter, a round number, threads that wait for it.
 *
 * Every worker enters and leaves every round, and the caller returns when all have left: nobody can
 * take a ticket of a round that he has not seen begin.  Waiting is a short spin, since ops follow
 * each other closely, and then sleep. */
#include "team.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "checked.h"
#include "cpus.h"
#include "thread.h"

enum { SPINS = 4000 };
#define MAX_THREADS 1024

struct worker {
  struct sp_team *team;
  pthread_t thread;
  size_t number;
};

struct sp_team {
  size_t threads; /* the caller's included */
  struct worker *workers;
  size_t started;

  /* The round: written by the caller before `round` moves, read by workers after. */
  void (*run)(void *arg, size_t task, size_t thread);
  void *arg;
  size_t tasks;

  atomic_size_t round;  /* moves when a round begins */
  atomic_size_t next;   /* the task that is taken next */
  atomic_size_t active; /* workers that have not left the round yet */
  atomic_bool stop;

  pthread_mutex_t lock; /* for sleep alone */
  pthread_cond_t begun, left;
};

static void pause_briefly(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void take_tasks(struct sp_team *team, size_t thread) {
  for (;;) {
    size_t task = atomic_fetch_add_explicit(&team->next, 1, memory_order_relaxed);
    if (task >= team->tasks) {
      return;
    }
    team->run(team->arg, task, thread);
  }
}

/* Until the round is another than `seen`. */
static void wait_for_round(struct sp_team *team, size_t seen) {
  for (int i = 0; i < SPINS; i++) {
    if (atomic_load_explicit(&team->round, memory_order_acquire) != seen) {
      return;
    }
    pause_briefly();
  }
  pthread_mutex_lock(&team->lock);
  while (atomic_load_explicit(&team->round, memory_order_acquire) == seen) {
    pthread_cond_wait(&team->begun, &team->lock);
  }
  pthread_mutex_unlock(&team->lock);
}

static void leave_round(struct sp_team *team) {
  if (atomic_fetch_sub_explicit(&team->active, 1, memory_order_acq_rel) == 1) {
    pthread_mutex_lock(&team->lock);
    pthread_cond_signal(&team->left);
    pthread_mutex_unlock(&team->lock);
  }
}

static void *work(void *arg) {
  const struct worker *worker = arg;
  struct sp_team *team = worker->team;
  for (size_t seen = 0;; seen++) {
    wait_for_round(team, seen);
    if (atomic_load_explicit(&team->stop, memory_order_relaxed)) {
      return NULL;
    }
    take_tasks(team, worker->number);
    leave_round(team);
  }
}

static void begin_round(struct sp_team *team) {
  pthread_mutex_lock(&team->lock);
  atomic_fetch_add_explicit(&team->round, 1, memory_order_release);
  pthread_cond_broadcast(&team->begun);
  pthread_mutex_unlock(&team->lock);
}

static void wait_for_workers(struct sp_team *team) {
  for (int i = 0; i < SPINS; i++) {
    if (atomic_load_explicit(&team->active, memory_order_acquire) == 0) {
      return;
    }
    pause_briefly();
  }
  pthread_mutex_lock(&team->lock);
  while (atomic_load_explicit(&team->active, memory_order_acquire) > 0) {
    pthread_cond_wait(&team->left, &team->lock);
  }
  pthread_mutex_unlock(&team->lock);
}

void sp_team_run(struct sp_team *team, size_t tasks,
                 void (*run)(void *arg, size_t task, size_t thread), void *arg) {
  if (team->started == 0 || tasks <= 1) {
    for (size_t task = 0; task < tasks; task++) {
      run(arg, task, 0);
    }
    return;
  }
  team->run = run;
  team->arg = arg;
  team->tasks = tasks;
  atomic_store_explicit(&team->next, 0, memory_order_relaxed);
  atomic_store_explicit(&team->active, team->started, memory_order_relaxed);
  begin_round(team);
  take_tasks(team, 0);
  wait_for_workers(team);
}

size_t sp_team_threads(const struct sp_team *team) {
  return team->threads;
}

void sp_team_destroy(struct sp_team *team) {
  if (!team) {
    return;
  }
  atomic_store_explicit(&team->stop, true, memory_order_relaxed);
  begin_round(team);
  for (size_t i = 0; i < team->started; i++) {
    pthread_join(team->workers[i].thread, NULL);
  }
  pthread_cond_destroy(&team->begun);
  pthread_cond_destroy(&team->left);
  pthread_mutex_destroy(&team->lock);
  free(team->workers);
  free(team);
}

enum sp_status sp_team_create(size_t threads, struct sp_team **out, struct sp_error *err) {
  threads = sp_min_size(threads > 0 ? threads : sp_usable_cpus(), MAX_THREADS);
  struct sp_team *team = calloc(1, sizeof *team);
  struct worker *workers = calloc(threads, sizeof *workers);
  if (!team || !workers) {
    free(team);
    free(workers);
    return sp_fail_memory(err, threads * sizeof *workers);
  }
  team->threads = threads;
  team->workers = workers;
  pthread_mutex_init(&team->lock, NULL);
  pthread_cond_init(&team->begun, NULL);
  pthread_cond_init(&team->left, NULL);
  for (size_t i = 0; i + 1 < threads; i++) {
    workers[i] = (struct worker){.team = team, .number = i + 1};
    if (sp_thread_start(&workers[i].thread, work, &workers[i]) != 0) {
      sp_team_destroy(team);
      return sp_fail(err, SP_EDEVICE, "no thread %zu of %zu could be started", i + 2, threads);
    }
    team->started++;
  }
  *out = team;
  return SP_OK;
}
