/* run.h - the parts of sp_score_run. */
#ifndef SP_ENGINE_RUN_H
#define SP_ENGINE_RUN_H

#include "context.h"
#include "pool.h"
#include "scan.h"

/* What every way of scoring carries. */
struct sp_run {
  const struct sp_settings *settings;
  const struct sp_context *context;
  struct sp_score_summary *summary;
  struct sp_archive *archive;
  struct sp_pool *pool;
  struct sp_latency_counts latency; /* of the whole run, where it is measured */
  struct sp_progress progress; /* totals, resumed counts */
  double start;                /* of scoring */
  double last_told;
};

/* Lines of one pass, in archive order, to options->sink. */
SP_MUST_CHECK enum sp_status sp_run_stream(struct sp_run *run, struct sp_error *err);
/* Two passes into the run directory options->out. */
SP_MUST_CHECK enum sp_status sp_run_directory(struct sp_run *run, struct sp_error *err);

/* Tells the caller of sp_score_run how far the pool is; at most ten times a second unless `now`. */
void sp_run_tell(struct sp_run *run, bool now);
/* sp_pool_tick_fn */
void sp_run_tick(void *run);

/* Reads up to `utts` utterances into the job, or past them when job is NULL; *read of them came.
 * `each` (may be NULL) sees every utterance first. */
typedef enum sp_status (*sp_utt_fn)(void *context, const struct sp_utt *utt, struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_run_read(struct sp_run *run, struct sp_job *job, uint64_t utts,
                                         uint64_t *read, sp_utt_fn each, void *context_of_each,
                                         struct sp_error *err);

void sp_run_describe(struct sp_run *run, enum sp_archive_format format,
                     enum sp_letter_case letter_case);

#endif
