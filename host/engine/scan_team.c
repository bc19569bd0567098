#include "scan_team.h"

#include <pthread.h>
#include <stdlib.h>

#include "checked.h"
#include "thread.h"

struct place_in_ring {
  struct sp_scan_batch batch;
  bool ready; /* it was looked at */
};

/* Batches are counted from the first that was submitted, and batch i stands at i modulo n:
 * released <= taken <= submitted <= released + n. */
struct sp_scan_team {
  const struct sp_settings *settings;
  const struct sp_context *context;
  enum sp_letter_case letter_case;
  struct sp_text_rule rule; /* the caller's */
  double caller_seconds;
  struct place_in_ring *ring; /* (n) */
  size_t n;
  pthread_t threads[SP_SCAN_TEAM]; /* (n_threads) of at most `room` */
  size_t n_threads, room;
  pthread_mutex_t mutex;
  pthread_cond_t work;  /* for the threads */
  pthread_cond_t ready; /* for the caller */
  uint64_t submitted, taken, released;
  size_t idle; /* threads that wait */
  bool closing;
};

static struct place_in_ring *at(struct sp_scan_team *team, uint64_t batch) {
  return &team->ring[batch % team->n];
}

/* Looks at the next batch, without the mutex meanwhile; returns what that took. */
static double look_at_next(struct sp_scan_team *team, struct sp_text_rule *rule) {
  struct place_in_ring *next = at(team, team->taken++);
  pthread_mutex_unlock(&team->mutex);
  sp_scan_batch_look(&next->batch, rule, team->settings, team->context);
  pthread_mutex_lock(&team->mutex);
  next->ready = true;
  pthread_cond_signal(&team->ready);
  return next->batch.seconds;
}

/* A thread that cannot have a rule leaves its work to the others. */
static void *work(void *argument) {
  struct sp_scan_team *team = argument;
  struct sp_text_rule rule;
  struct sp_error lost;
  if (sp_text_rule_init(&rule, team->settings, team->context, team->letter_case, &lost) != SP_OK) {
    sp_text_rule_release(&rule);
    return NULL;
  }
  pthread_mutex_lock(&team->mutex);
  while (!team->closing) {
    if (team->taken < team->submitted) {
      look_at_next(team, &rule);
      continue;
    }
    team->idle++;
    pthread_cond_wait(&team->work, &team->mutex);
    team->idle--;
  }
  pthread_mutex_unlock(&team->mutex);
  sp_text_rule_release(&rule);
  return NULL;
}

enum sp_status sp_scan_team_create(const struct sp_settings *settings,
                                   const struct sp_context *context,
                                   enum sp_letter_case letter_case, struct sp_scan_team **out,
                                   struct sp_error *err) {
  struct sp_scan_team *team = calloc(1, sizeof *team);
  *out = NULL;
  if (!team) {
    return sp_fail_memory(err, sizeof *team);
  }
  team->settings = settings;
  team->context = context;
  team->letter_case = letter_case;
  team->room = sp_min_size(settings->threads, SP_SCAN_TEAM);
  team->n = 3 * team->room + 2;
  pthread_mutex_init(&team->mutex, NULL);
  pthread_cond_init(&team->work, NULL);
  pthread_cond_init(&team->ready, NULL);
  team->ring = calloc(team->n, sizeof *team->ring);
  enum sp_status status = team->ring
                              ? sp_text_rule_init(&team->rule, settings, context, letter_case, err)
                              : sp_fail_memory(err, team->n * sizeof *team->ring);
  if (status != SP_OK) {
    sp_scan_team_destroy(team);
    return status;
  }
  *out = team;
  return SP_OK;
}

void sp_scan_team_destroy(struct sp_scan_team *team) {
  if (!team) {
    return;
  }
  pthread_mutex_lock(&team->mutex);
  team->closing = true;
  pthread_cond_broadcast(&team->work);
  pthread_mutex_unlock(&team->mutex);
  for (size_t i = 0; i < team->n_threads; i++) {
    pthread_join(team->threads[i], NULL);
  }
  for (size_t i = 0; team->ring && i < team->n; i++) {
    sp_arena_release(&team->ring[i].batch.arena);
  }
  sp_text_rule_release(&team->rule);
  pthread_cond_destroy(&team->work);
  pthread_cond_destroy(&team->ready);
  pthread_mutex_destroy(&team->mutex);
  free(team->ring);
  free(team);
}

struct sp_scan_batch *sp_scan_team_open(struct sp_scan_team *team) {
  return team->submitted < team->released + team->n ? &at(team, team->submitted)->batch : NULL;
}

/* One thread more where batches wait and no thread does. Where the system has none to give, those that
 * there are go on. */
static void start_thread(struct sp_scan_team *team) {
  bool wanted = team->idle < team->submitted - team->taken;
  if (!wanted || team->n_threads == team->room) {
    return;
  }
  if (sp_thread_start(&team->threads[team->n_threads], work, team) == 0) {
    team->n_threads++;
  } else {
    team->room = team->n_threads;
  }
}

void sp_scan_team_submit(struct sp_scan_team *team) {
  pthread_mutex_lock(&team->mutex);
  at(team, team->submitted)->ready = false;
  team->submitted++;
  start_thread(team);
  pthread_cond_signal(&team->work);
  pthread_mutex_unlock(&team->mutex);
}

const struct sp_scan_batch *sp_scan_team_collect(struct sp_scan_team *team, bool wait) {
  struct place_in_ring *oldest = at(team, team->released);
  if (team->released == team->submitted) {
    return NULL;
  }
  pthread_mutex_lock(&team->mutex);
  while (wait && !oldest->ready) {
    if (team->taken < team->submitted) {
      team->caller_seconds += look_at_next(team, &team->rule);
    } else {
      pthread_cond_wait(&team->ready, &team->mutex);
    }
  }
  bool ready = oldest->ready;
  pthread_mutex_unlock(&team->mutex);
  return ready ? &oldest->batch : NULL;
}

void sp_scan_team_release(struct sp_scan_team *team) {
  sp_scan_batch_clear(&at(team, team->released)->batch);
  team->released++;
}

struct sp_scan_team_facts sp_scan_team_tell(const struct sp_scan_team *team) {
  return (struct sp_scan_team_facts){team->n_threads, team->caller_seconds};
}
