/* directory.h - a run directory under work: what a process that has it alone (run_directory.c) and one of
 * many workers (run_worker.c) have in common.
 *
 * Memory     one byte a shard, and eight when it is closed; a worker has the plan too, 96 bytes a shard, and 4 a shard of its share. */
#ifndef SP_ENGINE_DIRECTORY_H
#define SP_ENGINE_DIRECTORY_H

#include <jansson.h>

#include "run.h"
#include "shard.h"

/* What is known of a shard. */
enum sp_shard_state {
  SP_SHARD_OPEN,
  SP_SHARD_CUT,   /* its marker is there, but its file is not, or not whole */
  SP_SHARD_FOUND, /* done by others, or by an earlier process */
  SP_SHARD_TAKEN, /* under work here */
  SP_SHARD_MADE,  /* published by this process */
  SP_SHARD_LATE   /* made here, but others had published it: equal bytes */
};

struct sp_directory {
  struct sp_run *run;
  const char *path;
  const char *const *archives; /* (n_archives) the options', with a spool for standard input */
  size_t n_archives;
  struct sp_scan scan;
  const char *worker; /* id in the names of temporary files; NULL alone */
  bool created;       /* by this call */
  size_t shards, shard_utts;
  uint64_t *marker_hash; /* (shards) of the markers' bytes; NULL until they are summed */
  _Atomic unsigned char
      *state; /* (shards) enum sp_shard_state; set to MADE or LATE by the pool's threads */
};

/* A wrong --out is told before the archive is read, which can take minutes. */
SP_MUST_CHECK enum sp_status sp_directory_check_target(const struct sp_directory *d,
                                                       struct sp_error *err);
/* Makes it, if it is not there. */
SP_MUST_CHECK enum sp_status sp_directory_make(struct sp_directory *d, struct sp_error *err);
/* The first pass: fills scan and decides the shards. */
SP_MUST_CHECK enum sp_status sp_directory_scan(struct sp_directory *d, struct sp_error *err);
/* Room for the shards' states; tells summary and progress of the scan. */
SP_MUST_CHECK enum sp_status sp_directory_begin(struct sp_directory *d, struct sp_error *err);
/* This command's manifest over d->scan; the caller owns it. */
SP_MUST_CHECK enum sp_status sp_directory_manifest(const struct sp_directory *d, json_t **out,
                                                   struct sp_error *err);
/* Compares it with the run's, whose open members (run_manifest.h) become this command's. --allow-mixed lets
 * the device type differ. */
SP_MUST_CHECK enum sp_status sp_directory_compare(const struct sp_directory *d, json_t *theirs,
                                                  struct sp_error *err);
/* The same, and a run that was only prepared is from now on what this command makes of it. */
SP_MUST_CHECK enum sp_status sp_directory_decide(const struct sp_directory *d, json_t *theirs,
                                                 struct sp_error *err);
/* After a first pass: the run's manifest, which is this command's where there was none; the caller owns it.
 * Of several the first one's stays, and it comes before the plan: none is written that is not of it. */
SP_MUST_CHECK enum sp_status sp_directory_publish(const struct sp_directory *d, json_t **out,
                                                  struct sp_error *err);
/* Then: decides by it, and gives a run without a plan one. */
SP_MUST_CHECK enum sp_status sp_directory_settle(struct sp_directory *d, json_t *theirs,
                                                 struct sp_error *err);

uint64_t sp_directory_shard_size(const struct sp_directory *d, size_t shard);
/* Reads a shard's marker and looks for its file: sets the state to OPEN, CUT or FOUND. *done (NULL is
 * fine) is the caller's to release. */
SP_MUST_CHECK enum sp_status sp_directory_look(struct sp_directory *d, size_t shard,
                                               struct sp_shard_done *done, struct sp_error *err);
/* The same of many, several at a time; then calls `each` for them, in their order and from the caller's
 * thread; *done is all 0 where there is no marker.  shards (n): which; NULL: 0 .. n-1. The first failure in
 * that order is what it returns. */
typedef enum sp_status (*sp_directory_marker_fn)(void *context, size_t shard,
                                                 const struct sp_shard_done *done,
                                                 struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_directory_look_many(struct sp_directory *d, const uint32_t *shards,
                                                    size_t n, sp_directory_marker_fn each,
                                                    void *context, struct sp_error *err);
/* Removes seal, marker and file of a shard, in this order. */
void sp_directory_remove(const struct sp_directory *d, size_t shard);
/* The same where its file is seen to have another size than its marker tells.  One that is not to be seen at all
 * may be there: it is left, and publishing the shard again (link) decides. */
void sp_directory_remove_cut(const struct sp_directory *d, size_t shard);
/* A sp_pool_finish_fn of struct sp_directory: writes and publishes the shard. */
SP_MUST_CHECK enum sp_status sp_directory_finish(void *directory, struct sp_job *job,
                                                 struct sp_error *err);
/* What only scoring tells: counts of the pool into the summary. */
void sp_directory_take_counts(struct sp_directory *d);
/* Adds up all markers; *open counts shards without one or without a whole file, and then the sums are
 * nothing. */
SP_MUST_CHECK enum sp_status sp_directory_sum(struct sp_directory *d, size_t *open,
                                              struct sp_error *err);
/* Writes _SUCCESS of the markers that the last sum, with none open, has read. */
SP_MUST_CHECK enum sp_status sp_directory_seal(const struct sp_directory *d, struct sp_error *err);

void sp_directory_release(struct sp_directory *d);

/* run_worker.c */
SP_MUST_CHECK enum sp_status sp_run_worker(struct sp_directory *d, struct sp_error *err);

#endif
