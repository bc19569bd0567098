/* run_plan.h - RUN/plan.jsonl.zst: where each shard's input begins, what it holds, what it will cost.
 *
 * Written by the worker that validated the input, after run.json, whose identity decides every line; read by
 * every other worker, which then reads only the input of the shards that it scores.  One JSON line a shard
 * (FORMATS.md), seekable zstd as score shards are.  Readers take hostile bytes: SP_EDAMAGED names line and
 * reason. */
#ifndef SP_FORMATS_RUN_PLAN_H
#define SP_FORMATS_RUN_PLAN_H

#include "archive.h"
#include "run_files.h" /* SP_RUN_PLAN */

#ifdef __cplusplus
extern "C" {
#endif

struct sp_plan_shard {
  struct sp_place place; /* of its first utterance */
  bool has_place;        /* false: the archive can only be read from its start */
  uint64_t utts, hyps, tokens;
  double cost;    /* predicted FLOPs of its matrix products; orders shards, longest first */
  uint64_t xxh64; /* of ids and texts in order (plan_hash.h): what decides its scores */
};

/* Durable, atomic: temporary name, fsync, rename. */
SP_MUST_CHECK enum sp_status sp_run_plan_write(const char *run, const struct sp_plan_shard *shards,
                                               size_t n, struct sp_error *err);
/* The same where others of the same identity may write it too: link(2), and the first one's stays.  One with
 * other lines is of a run.json that is gone, or damaged: it is replaced. */
SP_MUST_CHECK enum sp_status sp_run_plan_publish(const char *run,
                                                 const struct sp_plan_shard *shards, size_t n,
                                                 struct sp_error *err);
/* *out (n) is the caller's, to be freed; *found false when there is none. Checks that there are exactly
 * n lines, in order, with at least one utterance each; that all shards have places or none; that places go
 * on and that each has as many utterances before it as the shards before it. Values are below 2^63. */
SP_MUST_CHECK enum sp_status sp_run_plan_read(const char *run, size_t n, struct sp_plan_shard **out,
                                              bool *found, struct sp_error *err);
/* The same from the decompressed lines, and the only line that stands for shard `index`, appended: for
 * fuzzers. `path` is for the message. */
SP_MUST_CHECK enum sp_status sp_run_plan_parse(struct sp_text lines, const char *path, size_t n,
                                               struct sp_plan_shard **out, struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_run_plan_line(const struct sp_plan_shard *shard, size_t index,
                                              struct sp_buf *out, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
