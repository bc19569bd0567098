/* marks.h - what the first pass keeps of an archive, so that a shard can be read without what is before it.
 *
 * A mark stands for a block of utterances that follow each other: where it begins, what it holds, its
 * content hash and predicted cost.  With shard_utts given, a block is a shard.  Else blocks begin as one
 * utterance each and double whenever SP_MARKS are held, and shards are made of whole blocks.
 * Memory     sizeof(struct sp_plan_shard), 96 bytes, a mark: 25 MB at most, or with shard_utts given that
 *            much a shard, of which there are SP_SHARDS_CEILING at most */
#ifndef SP_ENGINE_MARKS_H
#define SP_ENGINE_MARKS_H

#include "run_plan.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_MARKS ((size_t)1 << 18)

struct sp_marks {
  struct sp_plan_shard *mark; /* (n) in archive order; the last may be short */
  size_t n, room;
  uint64_t block; /* utterances of a mark */
  bool fixed;     /* a block is a shard */
};

/* shard_utts 0: to be chosen later. */
void sp_marks_init(struct sp_marks *marks, size_t shard_utts);
void sp_marks_release(struct sp_marks *marks);

/* One utterance, in archive order: counts, cost and hash of it alone; its place is looked at where
 * sp_marks_begin_next says so. SP_EUSAGE when shard_utts makes more than SP_SHARDS_CEILING shards. */
SP_MUST_CHECK enum sp_status sp_marks_add(struct sp_marks *marks, const struct sp_plan_shard *utt,
                                          struct sp_error *err);

/* Whether the next utterance begins a mark. */
bool sp_marks_begin_next(const struct sp_marks *marks);

/* The smallest multiple of the block that is not below `shard_utts`. */
size_t sp_marks_round_up(const struct sp_marks *marks, size_t shard_utts);

/* Merges marks to shards of shard_utts, a multiple of the block, in place. */
void sp_marks_merge(struct sp_marks *marks, size_t shard_utts);

#ifdef __cplusplus
}
#endif
#endif
