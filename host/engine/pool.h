/* pool.h - threads over a few jobs in flight.
 *
 * The caller's thread reads the archive: it takes an empty job, fills it, submits it, and in the end
 * drains.  Where the processors compute, every thread prepares jobs, scores their batches and
 * finishes them.  Where devices do, each has a thread that keeps its lanes filled (lanes.h), and
 * settings->threads others prepare and finish.  Who does what never changes a byte.  Host memory is
 * bounded by the jobs in flight.
 * Errors  a device that fails is left out with a warning: what it did of unfinished jobs is done
 *         again by others.  The first other failure, or that of the last device, stops all threads
 *         and is what take and drain return. */
#ifndef SP_ENGINE_POOL_H
#define SP_ENGINE_POOL_H

#include "job.h"

struct sp_pool;

/* Called by a worker when all batches of a job are scored; on different jobs at the same time unless
 * `ordered`, which also keeps the order of submission. */
typedef enum sp_status (*sp_pool_finish_fn)(void *context, struct sp_job *job,
                                            struct sp_error *err);
/* Called by the caller's thread about every 100 ms while it waits; so are warnings. */
typedef void (*sp_pool_tick_fn)(void *context);

struct sp_pool_rules {
  const struct sp_settings *settings;
  const struct sp_context *context;
  enum sp_letter_case letter_case;
  bool ordered;
  sp_pool_finish_fn finish;
  sp_pool_tick_fn tick;
  void *callback_context;
};

SP_MUST_CHECK enum sp_status sp_pool_create(const struct sp_pool_rules *rules,
                                            struct sp_pool **out, struct sp_error *err);
/* Stops the workers after their current batch and joins them; NULL is fine. */
void sp_pool_destroy(struct sp_pool *pool);

/* An empty job, begun for shard `index`; waits for one to become free. */
SP_MUST_CHECK enum sp_status sp_pool_take(struct sp_pool *pool, size_t index, struct sp_job **out,
                                          struct sp_error *err);
void sp_pool_submit(struct sp_pool *pool, struct sp_job *job);
/* Waits until every submitted job is finished. */
SP_MUST_CHECK enum sp_status sp_pool_drain(struct sp_pool *pool, struct sp_error *err);

/* Waits for a change, 100 ms at most, and lets the tick run; what take and drain return. */
SP_MUST_CHECK enum sp_status sp_pool_wait(struct sp_pool *pool, struct sp_error *err);
/* After the user's wish to stop: finishes the jobs that are predicted, at the speed of until now, to end
 * within `seconds`, and drops the others, of which `dropped` (NULL is fine) hears from the caller's
 * thread. A second wish drops the rest. SP_EINTERRUPTED in the end, or the first failure. */
typedef void (*sp_pool_drop_fn)(void *context, size_t index);
SP_MUST_CHECK enum sp_status sp_pool_wind_down(struct sp_pool *pool, double seconds,
                                               sp_pool_drop_fn dropped, struct sp_error *err);

/* What is scored so far: finished jobs, and the share of running ones by tokens. */
struct sp_pool_done {
  double utts, hyps, tokens;
};
struct sp_pool_done sp_pool_get_done(struct sp_pool *pool);
/* Sum of the finished jobs' counts; workers may still run. */
struct sp_counts sp_pool_get_counts(struct sp_pool *pool);
/* Devices that failed, as far as the caller has heard of it. */
size_t sp_pool_get_lost(struct sp_pool *pool);

#endif
