/* shard_input.h - the utterances of one shard, wherever it stands in the archive, and the proof that they
 * are those that were validated.
 *
 * An archive whose places are known is read from the shard on; another, or one whose shards share a long
 * zstd frame, gzip member or ESPnet2 group that the run has not reframed, is read forward, and again from its
 * start to go back. */
#ifndef SP_ENGINE_SHARD_INPUT_H
#define SP_ENGINE_SHARD_INPUT_H

#include "reframed.h"
#include "run.h"
#include "run_plan.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_shard_input {
  struct sp_run *run; /* reads its `archive`, which this opens */
  struct sp_archive_options options;
  struct sp_reframed *reframed; /* what is opened */
  const struct sp_plan_shard *plan; /* (shards) */
  size_t shards;
  size_t
      next; /* the archive stands before this shard; `shards`: it is to be opened, or at its end */
};

/* Fills the job with the shard. SP_EINPUT names shard and file when the input is not what the plan says
 * it was. */
SP_MUST_CHECK enum sp_status sp_shard_input_read(struct sp_shard_input *input, size_t shard,
                                                 struct sp_job *job, struct sp_error *err);

/* Mean bytes that going to a shard may cost, for its order to be by cost. */
#define SP_SEEK_BYTES ((double)(16 << 20))
/* Whether these shards are better read in the order of the archive. shards (n): which; NULL: 0 .. n-1.
 * reframed NULL: nothing is. */
bool sp_shard_input_is_forward(const struct sp_plan_shard *plan, const uint32_t *shards, size_t n,
                               const struct sp_reframed *reframed);

#ifdef __cplusplus
}
#endif
#endif
