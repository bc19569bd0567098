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
  bool by_nodes;          /* batches go by distinct nodes */
  struct sp_node_counts *batch_nodes; /* (n_batches) what each computed */
  uint32_t *bits;         /* (L, len) of each traced sequence, one after the other; NULL: none */
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
/* What the schedulers decided on a hypothesis without masks, (L, n + 2) words of layer after layer;
 * NULL where nothing was traced. */
const uint32_t *sp_job_bits(const struct sp_job *job, const struct sp_context *context,
                            const struct sp_job_hyp *hyp);
/* Hands the score lines over in order; counts not_finite. */
typedef enum sp_status (*sp_job_line_fn)(void *context, struct sp_text line, struct sp_text id,
                                         uint64_t hyps, uint64_t tokens, struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_job_write(struct sp_job *job, const struct sp_settings *settings,
                                          const struct sp_context *context, sp_job_line_fn each,
                                          void *context_of_each, struct sp_error *err);

/* Counts what the batches of a job by nodes would compute, without computing; under a dynamic rule the
 * most that it can come to. `nodes` is of a rule that sp_job_count_rule gives. */
struct sp_nodes_rule sp_job_count_rule(const struct sp_context *context,
                                       struct sp_lookahead *room);
void sp_job_count(struct sp_job *job, const struct sp_context *context, struct sp_nodes *nodes);

/* Counts what the batches computed, once all of them have. */
void sp_job_sum_nodes(struct sp_job *job, const struct sp_context *context);

/* Adds b to a, member by member. */
void sp_counts_add(struct sp_counts *a, const struct sp_counts *b);

#endif
