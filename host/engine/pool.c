#include "pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* A job's way through the pool. */
enum slot_state {
  SLOT_FREE,
  SLOT_FILLING,
  SLOT_READY,
  SLOT_PREPARING,
  SLOT_RUNNING,
  SLOT_FINISHING
};

struct slot {
  struct sp_job job;
  enum slot_state state;
  uint64_t order;    /* of submission */
  size_t next_batch; /* first not yet taken */
  size_t batches_done;
  uint64_t seq_tokens_done;
};

struct sp_pool {
  struct sp_pool_rules rules;
  pthread_mutex_t mutex;
  pthread_cond_t work;   /* for workers */
  pthread_cond_t change; /* for the caller's thread */
  struct slot slots[SP_POOL_JOBS];
  pthread_t *threads;
  size_t n_threads;
  uint64_t submitted, finished; /* jobs; finished is the order of the next ordered one */
  struct sp_pool_done done;     /* of finished jobs */
  struct sp_counts counts;
  bool closing;
  enum sp_status status; /* first failure */
  struct sp_error error;
};

/* What one worker owns. */
struct worker {
  struct sp_pool *pool;
  struct sp_text_rule rule;
  struct sp_forward *forward;
  struct sp_arena arena;
  struct sp_batch batch;
};

enum task_kind { TASK_NONE, TASK_PREPARE, TASK_BATCH, TASK_FINISH };
struct task {
  enum task_kind kind;
  struct slot *slot;
  size_t batch;
};

/* ---- choosing, under the mutex ---- */

static struct slot *oldest(struct sp_pool *pool, enum slot_state state,
                           bool (*fits)(const struct slot *)) {
  struct slot *best = NULL;
  for (size_t i = 0; i < SP_POOL_JOBS; i++) {
    struct slot *slot = &pool->slots[i];
    if (slot->state == state && (!fits || fits(slot)) && (!best || slot->order < best->order)) {
      best = slot;
    }
  }
  return best;
}

static bool all_scored(const struct slot *slot) {
  return slot->batches_done == slot->job.n_batches;
}
static bool has_batches(const struct slot *slot) {
  return slot->next_batch < slot->job.n_batches;
}

/* Finishing frees memory, so it comes first; then batches, the oldest job's first; a job is prepared
 * when few batches are left, so that no worker ever waits for one. */
static struct task choose_task(struct sp_pool *pool) {
  struct slot *scored = oldest(pool, SLOT_RUNNING, all_scored);
  if (scored && (!pool->rules.ordered || scored->order == pool->finished)) {
    scored->state = SLOT_FINISHING;
    return (struct task){TASK_FINISH, scored, 0};
  }
  struct slot *running = oldest(pool, SLOT_RUNNING, has_batches);
  struct slot *ready = oldest(pool, SLOT_READY, NULL);
  bool short_of_batches =
      !running || running->job.n_batches - running->next_batch <= 2 * pool->n_threads;
  if (ready && short_of_batches) {
    ready->state = SLOT_PREPARING;
    return (struct task){TASK_PREPARE, ready, 0};
  }
  if (running) {
    return (struct task){TASK_BATCH, running, running->next_batch++};
  }
  return (struct task){TASK_NONE, NULL, 0};
}

static struct task wait_for_task(struct sp_pool *pool) {
  struct task task = {TASK_NONE, NULL, 0};
  pthread_mutex_lock(&pool->mutex);
  while (!pool->closing && pool->status == SP_OK) {
    task = choose_task(pool);
    if (task.kind != TASK_NONE) {
      break;
    }
    pthread_cond_wait(&pool->work, &pool->mutex);
  }
  pthread_mutex_unlock(&pool->mutex);
  return task;
}

/* ---- doing ---- */

static enum sp_status do_task(struct worker *w, const struct task *task, struct sp_error *err) {
  const struct sp_pool_rules *rules = &w->pool->rules;
  struct sp_job *job = &task->slot->job;
  switch (task->kind) {
    case TASK_PREPARE:
      return sp_job_prepare(job, rules->settings, rules->context, &w->rule, err);
    case TASK_BATCH:
      return sp_job_run_batch(job, task->batch, w->forward, &w->batch,
                              (rules->settings->savings & SP_SAVING_PACK) != 0, err);
    case TASK_FINISH:
      return rules->finish(rules->callback_context, job, err);
    default:
      return SP_OK;
  }
}

static uint64_t batch_tokens(const struct sp_job *job, size_t which) {
  const struct sp_batch_range *range = &job->batches[which];
  uint64_t tokens = 0;
  for (uint32_t s = range->first; s < range->first + range->count; s++) {
    tokens += sp_plan_base_len(&job->plan, job->plan.sequence[s].base);
  }
  return tokens;
}

static void fail_pool(struct sp_pool *pool, enum sp_status status, const struct sp_error *err) {
  if (pool->status == SP_OK) {
    pool->status = status;
    pool->error = *err;
  }
}

static void count_finished(struct sp_pool *pool, struct slot *slot) {
  pool->finished++;
  pool->done.utts += (double)slot->job.n_utts;
  pool->done.hyps += (double)slot->job.n_hyps;
  pool->done.tokens += (double)slot->job.n_tokens;
  sp_counts_add(&pool->counts, &slot->job.counts);
  slot->state = SLOT_FREE;
}

static void note_done(struct sp_pool *pool, const struct task *task, enum sp_status status,
                      const struct sp_error *err) {
  pthread_mutex_lock(&pool->mutex);
  struct slot *slot = task->slot;
  if (status != SP_OK) {
    fail_pool(pool, status, err);
  } else if (task->kind == TASK_PREPARE) {
    slot->next_batch = slot->batches_done = 0;
    slot->seq_tokens_done = 0;
    slot->state = SLOT_RUNNING;
  } else if (task->kind == TASK_BATCH) {
    slot->batches_done++;
    slot->seq_tokens_done += batch_tokens(&slot->job, task->batch);
  } else {
    count_finished(pool, slot);
  }
  pthread_cond_broadcast(&pool->work);
  pthread_cond_signal(&pool->change);
  pthread_mutex_unlock(&pool->mutex);
}

static enum sp_status init_worker(struct worker *w, struct sp_error *err) {
  const struct sp_pool_rules *rules = &w->pool->rules;
  const struct sp_context *context = rules->context;
  const struct sp_tokenizer_info *info = sp_tokenizer_get_info(context->tokenizer);
  SP_TRY(sp_text_rule_init(&w->rule, rules->settings, context, rules->letter_case, err));
  if (!sp_batch_init(&w->batch, &context->limits, &w->arena)) {
    return sp_fail_memory(err, context->limits.targets * sizeof(uint32_t));
  }
  return sp_forward_create(context->weights, &context->limits, rules->settings->savings, info->mask,
                           info->pad, &w->forward, err);
}

static void *work(void *argument) {
  struct worker w = {.pool = argument};
  struct sp_error err = {0};
  enum sp_status status = init_worker(&w, &err);
  if (status != SP_OK) {
    pthread_mutex_lock(&w.pool->mutex);
    fail_pool(w.pool, status, &err);
    pthread_cond_broadcast(&w.pool->work);
    pthread_cond_signal(&w.pool->change);
    pthread_mutex_unlock(&w.pool->mutex);
  }
  while (status == SP_OK) {
    struct task task = wait_for_task(w.pool);
    if (task.kind == TASK_NONE) {
      break;
    }
    status = do_task(&w, &task, &err);
    note_done(w.pool, &task, status, &err);
  }
  sp_forward_destroy(w.forward);
  sp_text_rule_release(&w.rule);
  sp_arena_release(&w.arena);
  return NULL;
}

/* ---- the caller's side ---- */

enum sp_status sp_pool_create(const struct sp_pool_rules *rules, struct sp_pool **out,
                              struct sp_error *err) {
  *out = NULL;
  struct sp_pool *pool = calloc(1, sizeof *pool);
  size_t n = rules->settings->threads;
  pthread_t *threads = pool ? calloc(n, sizeof *threads) : NULL;
  if (!threads) {
    free(pool);
    return sp_fail_memory(err, sizeof *pool + n * sizeof *threads);
  }
  pool->rules = *rules;
  pool->threads = threads;
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->work, NULL);
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&pool->change, &monotonic);
  pthread_condattr_destroy(&monotonic);
  pthread_mutex_lock(&pool->mutex); /* workers read n_threads */
  int failed = 0;
  while (pool->n_threads < n && !failed) {
    failed = pthread_create(&threads[pool->n_threads], NULL, work, pool);
    pool->n_threads += !failed;
  }
  pthread_mutex_unlock(&pool->mutex);
  if (failed) {
    sp_pool_destroy(pool);
    return sp_fail(err, SP_EDEVICE, "cannot start %zu threads", n);
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
  for (size_t i = 0; i < pool->n_threads; i++) {
    pthread_join(pool->threads[i], NULL);
  }
  for (size_t i = 0; i < SP_POOL_JOBS; i++) {
    sp_job_release(&pool->slots[i].job);
  }
  pthread_cond_destroy(&pool->work);
  pthread_cond_destroy(&pool->change);
  pthread_mutex_destroy(&pool->mutex);
  free(pool->threads);
  free(pool);
}

/* The first failure, or the user's wish to stop. Under the mutex. */
static enum sp_status check_running(struct sp_pool *pool, struct sp_error *err) {
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
  struct slot *slot = NULL;
  *out = NULL;
  pthread_mutex_lock(&pool->mutex);
  while ((status = check_running(pool, err)) == SP_OK && !(slot = oldest(pool, SLOT_FREE, NULL))) {
    wait_for_change(pool);
  }
  if (slot) {
    slot->state = SLOT_FILLING;
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
  for (size_t i = 0; i < SP_POOL_JOBS; i++) {
    if (&pool->slots[i].job == job) {
      pool->slots[i].state = SLOT_READY;
      pool->slots[i].order = pool->submitted++;
    }
  }
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

struct sp_pool_done sp_pool_get_done(struct sp_pool *pool) {
  pthread_mutex_lock(&pool->mutex);
  struct sp_pool_done done = pool->done;
  for (size_t i = 0; i < SP_POOL_JOBS; i++) {
    const struct slot *slot = &pool->slots[i];
    if ((slot->state == SLOT_RUNNING || slot->state == SLOT_FINISHING) &&
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
