#include "pool.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "clock.h"
#include "lanes.h"
#include "slots.h"
#include "thread.h"

/* One thread of the pool. */
struct member {
  struct sp_pool *pool;
  pthread_t thread;
  size_t device; /* whose batches it runs, or SP_NO_DEVICE */
  bool prepares; /* and finishes */
};

struct sp_pool {
  struct sp_pool_rules rules;
  pthread_mutex_t mutex;
  pthread_cond_t work;   /* for members */
  pthread_cond_t change; /* for the caller's thread */
  struct sp_slots slots;
  struct member *members; /* (n_members) */
  size_t n_members;
  uint64_t submitted, finished; /* jobs; finished is the order of the next ordered one */
  struct sp_pool_done done;     /* of finished jobs */
  double tokens_done;           /* of the sequences of all jobs */
  double since;                 /* when the first job was submitted */
  struct sp_counts counts;
  size_t lost;              /* devices that failed */
  struct sp_error *warning; /* (n_devices) what the caller's thread has to say */
  size_t n_warnings, n_warned;
  bool closing;
  enum sp_status status; /* first failure */
  struct sp_error error;
};

/* What a member owns while it runs. */
struct worker {
  struct sp_pool *pool;
  const struct member *member;
  struct sp_text_rule rule;
  struct sp_lanes *lanes; /* NULL without a device */
};

enum task_kind { TASK_NONE, TASK_PREPARE, TASK_BATCH, TASK_FINISH };
struct task {
  enum task_kind kind;
  struct sp_slot *slot;
  size_t batch;
};

/* Jobs in flight. A device wants the next ones prepared and the last one finished while it works. */
enum { jobs_on_host = 3, jobs_of_device = 4, jobs_beside_devices = 4 };

/* ---- choosing, under the mutex ---- */

/* Where all threads do everything, a job is prepared when few batches are left, so that no worker
 * ever waits for one; threads that have nothing else to do prepare as soon as they can. */
static bool wants_prepared(const struct sp_pool *pool, const struct member *member) {
  const struct sp_slot *running =
      sp_slots_oldest(&pool->slots, SP_SLOT_RUNNING, sp_slot_has_batches);
  return member->device == SP_NO_DEVICE || !running ||
         running->job.n_batches - running->next_batch <= 2 * pool->n_members;
}

/* Finishing frees memory, so it comes first; then preparing; then batches. */
static struct task choose_task(struct sp_pool *pool, const struct member *member) {
  struct task task = {TASK_NONE, NULL, 0};
  if (member->prepares) {
    struct sp_slot *scored = sp_slots_oldest(&pool->slots, SP_SLOT_RUNNING, sp_slot_is_scored);
    if (scored && (!pool->rules.ordered || scored->order == pool->finished)) {
      scored->state = SP_SLOT_FINISHING;
      return (struct task){TASK_FINISH, scored, 0};
    }
    struct sp_slot *ready = sp_slots_oldest(&pool->slots, SP_SLOT_READY, NULL);
    if (ready && wants_prepared(pool, member)) {
      ready->state = SP_SLOT_PREPARING;
      return (struct task){TASK_PREPARE, ready, 0};
    }
  }
  if (member->device != SP_NO_DEVICE &&
      sp_slots_take(&pool->slots, member->device, &task.slot, &task.batch)) {
    task.kind = TASK_BATCH;
  }
  return task;
}

/* TASK_NONE when the pool stops, or when there is nothing to do and `wait` is false. */
static struct task next_task(struct worker *w, bool wait) {
  struct sp_pool *pool = w->pool;
  struct task task = {TASK_NONE, NULL, 0};
  pthread_mutex_lock(&pool->mutex);
  while (!pool->closing && pool->status == SP_OK) {
    task = choose_task(pool, w->member);
    if (task.kind != TASK_NONE || !wait) {
      break;
    }
    pthread_cond_wait(&pool->work, &pool->mutex);
  }
  pthread_mutex_unlock(&pool->mutex);
  return task;
}

/* ---- noting what happened ---- */

static void tell_all(struct sp_pool *pool) {
  pthread_cond_broadcast(&pool->work);
  pthread_cond_signal(&pool->change);
}

static void fail_pool(struct sp_pool *pool, enum sp_status status, const struct sp_error *err) {
  if (pool->status == SP_OK) {
    pool->status = status;
    pool->error = *err;
  }
}

/* Takes a device out. Its thread has stopped: nothing it computed arrives any more. */
static void lose_device(struct sp_pool *pool, size_t device, const struct sp_error *err) {
  const struct sp_context *context = pool->rules.context;
  const char *name = context->devices[device]->name;
  struct sp_error text;
  sp_slots_forget(&pool->slots, device);
  if (++pool->lost == context->n_devices) {
    const char *advice =
        pool->rules.ordered ? "" : " (finished shards stay, the run can be resumed)";
    sp_fail(&text, SP_EDEVICE, "%s failed and no device is left%s: %s", name, advice, err->message);
    fail_pool(pool, SP_EDEVICE, &text);
  } else {
    sp_fail(&pool->warning[pool->n_warnings++], SP_EDEVICE,
            "%s failed and is left out, others do its unfinished work: %s", name, err->message);
  }
}

static void note_failure(struct worker *w, bool computing, enum sp_status status,
                         const struct sp_error *err) {
  struct sp_pool *pool = w->pool;
  pthread_mutex_lock(&pool->mutex);
  if (computing && status == SP_EDEVICE && !sp_context_on_host(pool->rules.context)) {
    lose_device(pool, w->member->device, err);
  } else {
    fail_pool(pool, status, err);
  }
  tell_all(pool);
  pthread_mutex_unlock(&pool->mutex);
}

static void count_finished(struct sp_pool *pool, struct sp_slot *slot) {
  pool->finished++;
  pool->done.utts += (double)slot->job.n_utts;
  pool->done.hyps += (double)slot->job.n_hyps;
  pool->done.tokens += (double)slot->job.n_tokens;
  sp_counts_add(&pool->counts, &slot->job.counts);
  slot->state = SP_SLOT_FREE;
}

static void note_done(struct sp_pool *pool, const struct task *task) {
  pthread_mutex_lock(&pool->mutex);
  if (task->kind == TASK_PREPARE) {
    if (task->slot->state == SP_SLOT_PREPARING) { /* else it was dropped meanwhile */
      sp_slot_start(task->slot);
    }
  } else if (task->kind == TASK_BATCH) {
    pool->tokens_done += (double)sp_slot_done(task->slot, task->batch);
  } else {
    count_finished(pool, task->slot);
  }
  tell_all(pool);
  pthread_mutex_unlock(&pool->mutex);
}

/* ---- doing ---- */

static enum sp_status prepare_or_finish(struct worker *w, const struct task *task,
                                        struct sp_error *err) {
  const struct sp_pool_rules *rules = &w->pool->rules;
  if (task->kind == TASK_FINISH) {
    return rules->finish(rules->callback_context, &task->slot->job, err);
  }
  SP_TRY(sp_job_prepare(&task->slot->job, rules->settings, rules->context, &w->rule, err));
  return sp_slot_mark(task->slot, err);
}

static enum sp_status end_batch(struct worker *w, struct sp_error *err) {
  struct task task = {.kind = TASK_BATCH};
  struct sp_job *job;
  SP_TRY(sp_lanes_end(w->lanes, &job, &task.batch, err));
  task.slot = sp_slots_of(&w->pool->slots, job);
  note_done(w->pool, &task);
  return SP_OK;
}

/* One step: begin or end a batch, or do another task. *stop when there will be nothing more. */
static enum sp_status step(struct worker *w, bool *computing, bool *stop, struct sp_error *err) {
  bool busy = w->lanes && sp_lanes_are_busy(w->lanes);
  *computing = true;
  if (busy && !sp_lanes_have_room(w->lanes)) {
    return end_batch(w, err);
  }
  struct task task = next_task(w, !busy);
  if (task.kind == TASK_BATCH) {
    return sp_lanes_begin(w->lanes, &task.slot->job, task.batch, err);
  }
  if (task.kind == TASK_NONE) {
    *stop = !busy;
    return busy ? end_batch(w, err) : SP_OK;
  }
  *computing = false;
  SP_TRY(prepare_or_finish(w, &task, err));
  note_done(w->pool, &task);
  return SP_OK;
}

static enum sp_status init_worker(struct worker *w, bool *computing, struct sp_error *err) {
  const struct sp_pool_rules *rules = &w->pool->rules;
  *computing = false;
  if (w->member->prepares) {
    SP_TRY(sp_text_rule_init(&w->rule, rules->settings, rules->context, rules->letter_case, err));
  }
  *computing = true;
  return w->member->device == SP_NO_DEVICE
             ? SP_OK
             : sp_lanes_create(rules->settings, rules->context, w->member->device, &w->lanes, err);
}

static void *work(void *argument) {
  struct worker w = {.member = argument};
  w.pool = w.member->pool;
  struct sp_error err = {0};
  bool computing, stop = false;
  enum sp_status status = init_worker(&w, &computing, &err);
  while (status == SP_OK && !stop) {
    status = step(&w, &computing, &stop, &err);
  }
  if (status != SP_OK) {
    note_failure(&w, computing, status, &err);
  }
  sp_lanes_destroy(w.lanes);
  sp_text_rule_release(&w.rule);
  return NULL;
}

/* ---- the caller's side ---- */

static void init_mutex(struct sp_pool *pool) {
  pthread_condattr_t monotonic;
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->work, NULL);
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&pool->change, &monotonic);
  pthread_condattr_destroy(&monotonic);
}

/* Member i of the pool: threads that compute themselves, or a device's thread each and helpers. */
static struct member describe_member(struct sp_pool *pool, size_t i) {
  const struct sp_context *context = pool->rules.context;
  bool host = sp_context_on_host(context);
  return (struct member){.pool = pool,
                         .device = host                     ? 0
                                   : i < context->n_devices ? i
                                                            : SP_NO_DEVICE,
                         .prepares = host || i >= context->n_devices};
}

static enum sp_status start_members(struct sp_pool *pool, size_t n, struct sp_error *err) {
  int failed = 0;
  pthread_mutex_lock(&pool->mutex); /* members read n_members */
  while (pool->n_members < n && !failed) {
    struct member *member = &pool->members[pool->n_members];
    *member = describe_member(pool, pool->n_members);
    failed = sp_thread_start(&member->thread, work, member);
    pool->n_members += !failed;
  }
  pthread_mutex_unlock(&pool->mutex);
  return failed ? sp_fail(err, SP_EDEVICE, "cannot start %zu threads", n) : SP_OK;
}

enum sp_status sp_pool_create(const struct sp_pool_rules *rules, struct sp_pool **out,
                              struct sp_error *err) {
  *out = NULL;
  struct sp_pool *pool = calloc(1, sizeof *pool);
  if (!pool) {
    return sp_fail_memory(err, sizeof *pool);
  }
  size_t devices = rules->context->n_devices;
  bool host = sp_context_on_host(rules->context);
  size_t n = rules->settings->threads + (host ? 0 : devices);
  pool->rules = *rules;
  init_mutex(pool);
  pool->slots.n = host ? jobs_on_host : jobs_beside_devices + jobs_of_device * devices;
  pool->slots.slot = calloc(pool->slots.n, sizeof *pool->slots.slot);
  pool->members = calloc(n, sizeof *pool->members);
  pool->warning = calloc(devices, sizeof *pool->warning);
  enum sp_status status = pool->slots.slot && pool->members && pool->warning
                              ? start_members(pool, n, err)
                              : sp_fail_memory(err, n * sizeof *pool->members);
  if (status != SP_OK) {
    sp_pool_destroy(pool);
    return status;
  }
  *out = pool;
  return SP_OK;
}

void sp_pool_destroy(struct sp_pool *pool) {
  if (!pool) {
    return;
  }
  pthread_mutex_lock(&pool->mutex);
  pool->closing = true;
  pthread_cond_broadcast(&pool->work);
  pthread_mutex_unlock(&pool->mutex);
  for (size_t i = 0; i < pool->n_members; i++) {
    pthread_join(pool->members[i].thread, NULL);
  }
  for (size_t i = 0; pool->slots.slot && i < pool->slots.n; i++) {
    sp_job_release(&pool->slots.slot[i].job);
  }
  pthread_cond_destroy(&pool->work);
  pthread_cond_destroy(&pool->change);
  pthread_mutex_destroy(&pool->mutex);
  free(pool->slots.slot);
  free(pool->members);
  free(pool->warning);
  free(pool);
}

/* Says what devices failed; without the mutex while the caller's code runs. */
static void tell_warnings(struct sp_pool *pool) {
  while (pool->n_warned < pool->n_warnings) {
    const struct sp_error *warning = &pool->warning[pool->n_warned++];
    pthread_mutex_unlock(&pool->mutex);
    sp_warn(pool->rules.settings->options, warning->message);
    pthread_mutex_lock(&pool->mutex);
  }
}

/* The first failure, or the user's wish to stop. Under the mutex. */
static enum sp_status check_running(struct sp_pool *pool, struct sp_error *err) {
  tell_warnings(pool);
  if (pool->status != SP_OK) {
    if (err) {
      *err = pool->error;
    }
    return pool->status;
  }
  if (sp_stop_wanted(pool->rules.settings->options)) {
    return sp_fail(err, SP_EINTERRUPTED, "interrupted");
  }
  return SP_OK;
}

/* Waits for a change or 100 ms, then lets the caller's tick run without the mutex. */
static void wait_for_change(struct sp_pool *pool) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += 100000000;
  until.tv_sec += until.tv_nsec / 1000000000;
  until.tv_nsec %= 1000000000;
  pthread_cond_timedwait(&pool->change, &pool->mutex, &until);
  pthread_mutex_unlock(&pool->mutex);
  pool->rules.tick(pool->rules.callback_context);
  pthread_mutex_lock(&pool->mutex);
}

enum sp_status sp_pool_take(struct sp_pool *pool, size_t index, struct sp_job **out,
                            struct sp_error *err) {
  enum sp_status status;
  struct sp_slot *slot = NULL;
  *out = NULL;
  pthread_mutex_lock(&pool->mutex);
  while ((status = check_running(pool, err)) == SP_OK &&
         !(slot = sp_slots_oldest(&pool->slots, SP_SLOT_FREE, NULL))) {
    wait_for_change(pool);
  }
  if (slot) {
    slot->state = SP_SLOT_FILLING;
    *out = &slot->job;
  }
  pthread_mutex_unlock(&pool->mutex);
  if (slot) {
    sp_job_begin(&slot->job, index);
  }
  return status;
}

void sp_pool_submit(struct sp_pool *pool, struct sp_job *job) {
  pthread_mutex_lock(&pool->mutex);
  struct sp_slot *slot = sp_slots_of(&pool->slots, job);
  slot->state = SP_SLOT_READY;
  pool->since = pool->submitted == 0 ? sp_clock_seconds() : pool->since;
  slot->order = pool->submitted++;
  pthread_cond_broadcast(&pool->work);
  pthread_mutex_unlock(&pool->mutex);
}

enum sp_status sp_pool_drain(struct sp_pool *pool, struct sp_error *err) {
  enum sp_status status;
  pthread_mutex_lock(&pool->mutex);
  while ((status = check_running(pool, err)) == SP_OK && pool->finished < pool->submitted) {
    wait_for_change(pool);
  }
  pthread_mutex_unlock(&pool->mutex);
  return status;
}

enum sp_status sp_pool_wait(struct sp_pool *pool, struct sp_error *err) {
  pthread_mutex_lock(&pool->mutex);
  enum sp_status status = check_running(pool, err);
  if (status == SP_OK) {
    wait_for_change(pool);
    status = check_running(pool, err);
  }
  pthread_mutex_unlock(&pool->mutex);
  return status;
}

/* Tokens a second that are hoped for: twice what was seen, as batches under work are not counted and
 * shards are worth waiting for; before the first batch nothing is given up. */
static double hoped_speed(const struct sp_pool *pool) {
  return pool->tokens_done > 0 ? 2 * pool->tokens_done / (sp_clock_seconds() - pool->since)
                               : INFINITY;
}

/* Drops what will not be ready in `seconds`, a tenth of which is kept for writing. Under the mutex, but
 * not while the caller hears of it. */
static void drop_late(struct sp_pool *pool, double seconds, size_t *shards,
                      sp_pool_drop_fn dropped) {
  size_t n = sp_slots_drop_late(&pool->slots, hoped_speed(pool), pool->rules.context->n_devices,
                                0.9 * seconds, shards);
  pthread_mutex_unlock(&pool->mutex);
  for (size_t i = 0; i < n && dropped; i++) {
    dropped(pool->rules.callback_context, shards[i]);
  }
  pthread_mutex_lock(&pool->mutex);
}

enum sp_status sp_pool_wind_down(struct sp_pool *pool, double seconds, sp_pool_drop_fn dropped,
                                 struct sp_error *err) {
  double end = sp_clock_seconds() + seconds;
  size_t *shards = malloc(pool->slots.n * sizeof *shards);
  if (!shards) {
    return sp_fail_memory(err, pool->slots.n * sizeof *shards);
  }
  pthread_mutex_lock(&pool->mutex);
  while (pool->status == SP_OK && sp_slots_any_open(&pool->slots)) {
    bool again = sp_stop_wanted(pool->rules.settings->options) > 1;
    drop_late(pool, again ? 0 : end - sp_clock_seconds(), shards, dropped);
    if (sp_slots_any_open(&pool->slots)) {
      wait_for_change(pool);
    }
  }
  enum sp_status status = pool->status;
  if (status != SP_OK && err) {
    *err = pool->error;
  }
  pthread_mutex_unlock(&pool->mutex);
  free(shards);
  return status == SP_OK ? sp_fail(err, SP_EINTERRUPTED, "interrupted") : status;
}

struct sp_pool_done sp_pool_get_done(struct sp_pool *pool) {
  pthread_mutex_lock(&pool->mutex);
  struct sp_pool_done done = pool->done;
  for (size_t i = 0; i < pool->slots.n; i++) {
    const struct sp_slot *slot = &pool->slots.slot[i];
    if ((slot->state == SP_SLOT_RUNNING || slot->state == SP_SLOT_FINISHING) &&
        slot->job.plan.tokens > 0) {
      double share = (double)slot->seq_tokens_done / (double)slot->job.plan.tokens;
      done.utts += share * (double)slot->job.n_utts;
      done.hyps += share * (double)slot->job.n_hyps;
      done.tokens += share * (double)slot->job.n_tokens;
    }
  }
  pthread_mutex_unlock(&pool->mutex);
  return done;
}

struct sp_counts sp_pool_get_counts(struct sp_pool *pool) {
  pthread_mutex_lock(&pool->mutex);
  struct sp_counts counts = pool->counts;
  pthread_mutex_unlock(&pool->mutex);
  return counts;
}

size_t sp_pool_get_lost(struct sp_pool *pool) {
  pthread_mutex_lock(&pool->mutex);
  size_t last = pool->lost == pool->rules.context->n_devices;
  size_t lost = pool->n_warned + last;
  pthread_mutex_unlock(&pool->mutex);
  return lost;
}
