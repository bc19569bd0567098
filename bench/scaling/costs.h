/* costs.h - what shards of a corpus cost, from real lists. */
#ifndef SP_BENCH_COSTS_H
#define SP_BENCH_COSTS_H

#include "run_plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Lists as the engine counts them: sums over the utterances before each, so that any stretch of them is
 * a difference. */
struct sim_lists {
  size_t n;         /* utterances */
  double *flops;    /* (n + 1) of matrix products, each utterance by itself */
  uint64_t *hyps;   /* (n + 1) */
  uint64_t *tokens; /* (n + 1) */
  double bytes;     /* of the files as they are stored */
};

/* `shape`: "12x768", layers and width of an encoder with 4 times as wide a feed-forward and 30,522 pieces;
 * NULL: the model's own. Texts are tokenized with the model's vocabulary. */
SP_MUST_CHECK enum sp_status sim_lists_read(const struct sp_score_options *options,
                                            const char *shape, struct sim_lists *out,
                                            struct sp_error *err);
void sim_lists_release(struct sim_lists *lists);

/* Shards of a corpus of about `hyps` hypotheses: each a stretch of the lists, from a place that is drawn,
 * around the end where it comes to it.  0: the lists themselves, from their start.  shard_utts 0: the
 * engine's own choice; *shard_utts says what it was. *out (*n) is the caller's. */
SP_MUST_CHECK enum sp_status sim_shards_make(const struct sim_lists *lists, uint64_t hyps,
                                             uint64_t seed, size_t *shard_utts,
                                             struct sp_plan_shard **out, size_t *n,
                                             struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
