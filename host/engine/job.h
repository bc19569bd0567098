/* job.h - one work unit: the utterances of a shard, from their texts to their score lines.
 *
 * add (reader) -> prepare (one worker) -> batches (lanes.h; any workers, any order) -> write lines
 * (one worker).  A job is reused for the next shard; its memory is kept. */
#ifndef SP_ENGINE_JOB_H
#define SP_ENGINE_JOB_H

#include "forward.h"
#include "text_rule.h"

struct sp_job_hyp {
  struct sp_text text;
  const int32_t *ids;   /* (n) */
  const uint32_t *word; /* (n) */
  uint32_t n;           /* scored tokens; 0 when there is nothing to score */
  uint32_t plan_hyp;    /* number among the plan's hypotheses */
  enum sp_flag flag;
};

struct sp_job_utt {
  struct sp_text id;
  size_t first_hyp, n_hyps;
};

struct sp_job {
  size_t index; /* of the shard */
  struct sp_arena texts; /* ids and texts of the utterances */
  struct sp_job_utt *utts;
  struct sp_job_hyp *hyps;
  size_t n_utts, n_hyps, utts_room, hyps_room;
  uint64_t n_tokens;

  struct sp_arena tokens; /* ids, words, results */
  struct sp_plan plan;
  struct sp_batch_range *batches;
  size_t n_batches;
  float *logp; /* (plan.targets) */
  float *cls;  /* (plan.cls_rows) */
  struct sp_latency_counts latency; /* of the lines written, where it is measured */
  struct sp_counts counts;
};

void sp_job_release(struct sp_job *job);
/* Empties the job for shard `index`. */
void sp_job_begin(struct sp_job *job, size_t index);
SP_MUST_CHECK enum sp_status sp_job_add(struct sp_job *job, const struct sp_utt *utt,
                                        struct sp_error *err);
/* Gives a hypothesis its tokens; they are copied. */
SP_MUST_CHECK enum sp_status sp_job_set_tokens(struct sp_job *job, struct sp_job_hyp *hyp,
                                               const struct sp_tokens *tokens,
                                               struct sp_error *err);
/* Tokenizes, plans, cuts batches, makes room for the results. */
SP_MUST_CHECK enum sp_status sp_job_prepare(struct sp_job *job, const struct sp_settings *settings,
                                            const struct sp_context *context,
                                            struct sp_text_rule *rule, struct sp_error *err);
/* The second half of prepare, for hypotheses whose tokens are set already (rank order, n > 0). */
SP_MUST_CHECK enum sp_status sp_job_plan(struct sp_job *job, const struct sp_settings *settings,
                                         const struct sp_context *context, struct sp_error *err);
/* Hands the score lines over in order; counts not_finite. */
typedef enum sp_status (*sp_job_line_fn)(void *context, struct sp_text line, struct sp_text id,
                                         uint64_t hyps, uint64_t tokens, struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_job_write(struct sp_job *job, const struct sp_settings *settings,
                                          const struct sp_context *context, sp_job_line_fn each,
                                          void *context_of_each, struct sp_error *err);

/* Adds b to a, member by member. */
void sp_counts_add(struct sp_counts *a, const struct sp_counts *b);

#endif
