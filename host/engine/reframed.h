/* reframed.h - files of the archive that cannot be entered in their middle, once more in the run directory in
 * small frames that can, so that each of many workers reads only what it scores.
 *
 * The plan's places in such a file count from its first byte, in every run, and are true of both.  Whoever makes
 * the run for many makes RUN/.input-DIGEST.zst before run.json, DIGEST the XXH3-128 of the file; a lost one costs
 * time alone.  Nobody changes one.  Who closes the run, finds it closed, or fails to make it removes them. */
#ifndef SP_ENGINE_REFRAMED_H
#define SP_ENGINE_REFRAMED_H

#include "directory.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_reframed {
  const char **paths; /* (n) what is read: an archive of the options, or what the run has for it */
  size_t n;
  const char *const *archives; /* (n) the caller's */
};

/* After the scan: turns the marks of files that cannot be entered to such places. */
void sp_reframed_turn(struct sp_directory *d);
/* Then makes what the archive needs and the run does not have.  SP_EINPUT when a file is not any more what was
 * scanned; where the run's directory cannot take it, a warning says so.  After a failure the run has none. */
SP_MUST_CHECK enum sp_status sp_reframed_make(struct sp_directory *d, struct sp_error *err);

/* What the run has of the options' archives, by the digests of d->scan and the places of plan (d->shards).  `out` is
 * the caller's to release, and lives no longer than the archives. */
SP_MUST_CHECK enum sp_status sp_reframed_find(const struct sp_directory *d,
                                              const struct sp_plan_shard *plan,
                                              struct sp_reframed *out, struct sp_error *err);
/* Whether file number `file` is read from the run's. */
bool sp_reframed_has(const struct sp_reframed *reframed, uint64_t file);
/* Whether any of them is there no more, as others have closed the run: from then on those are the options'. */
bool sp_reframed_drop_lost(struct sp_reframed *reframed);
void sp_reframed_release(struct sp_reframed *reframed);

/* From the run's directory, as far as that can be done. */
void sp_reframed_remove(const char *run);

#ifdef __cplusplus
}
#endif
#endif
