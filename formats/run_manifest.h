/* run_manifest.h - run.json and _SUCCESS, and the proof that a run directory is whole.
 *
 * run.json holds two objects: "identity" (what decides the bytes of the shards: a resumed run must
 * agree in every member) and "info" (what does not: version, signature, resolved options that are
 * outside the identity, totals). FORMATS.md lists the members. */
#ifndef SP_FORMATS_RUN_MANIFEST_H
#define SP_FORMATS_RUN_MANIFEST_H

#include <jansson.h>

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Writes RUN/run.json durably, members in insertion order, indented by 2. Takes no reference. */
SP_MUST_CHECK enum sp_status sp_run_manifest_write(const char *run, json_t *manifest,
                                                   struct sp_error *err);
/* Reads and checks its shape: identity.shards, identity.shard_utts, info.utts .. are there and of
 * the right type. *found false: no run.json. SP_EDAMAGED otherwise. Caller owns *out. */
SP_MUST_CHECK enum sp_status sp_run_manifest_read(const char *run, json_t **out, bool *found,
                                                  struct sp_error *err);
/* The same from text: for fuzzers. `path` is for the message. */
SP_MUST_CHECK enum sp_status sp_run_manifest_parse(struct sp_text text, const char *path,
                                                   json_t **out, struct sp_error *err);
/* Takes whole manifests or their "identity" objects. SP_EIDENTITY naming the differing members with
 * both values ("dtype: the run has \"f32\", this command \"bf16\""), SP_OK when equal. */
SP_MUST_CHECK enum sp_status sp_run_identity_compare(const json_t *theirs, const json_t *ours,
                                                     const char *run, struct sp_error *err);

/* Writes RUN/_SUCCESS: hashes of run.json, of every .done, and of itself. Call when all are done. */
SP_MUST_CHECK enum sp_status sp_run_success_write(const char *run, size_t shards,
                                                  struct sp_error *err);

/* What sp_run_verify counted. */
struct sp_run_totals {
  uint64_t shards, utts, hyps, tokens, raw_bytes, zst_bytes;
};
/* Proves the run complete and unharmed: _SUCCESS and its own hash, run.json, every marker, every
 * shard (frames, checksums, counts, first and last id), no shard missing or left over, every id once
 * and all counts as run.json has them. SP_EDAMAGED names the first fault; SP_ESHARD when shards are
 * simply not done yet (it says how many). */
SP_MUST_CHECK enum sp_status sp_run_verify(const char *run, struct sp_run_totals *totals,
                                           struct sp_error *err);

/* One process at a time. SP_ELOCK when a live process holds RUN (it names pid and host); a lock that
 * a dead process left is taken over. Released by the call or by the process's end. */
struct sp_run_lock {
  int fd;
};
SP_MUST_CHECK enum sp_status sp_run_lock_take(const char *run, struct sp_run_lock *lock,
                                              struct sp_error *err);
/* Also after a failed take, whose fd is -1. */
void sp_run_lock_release(const char *run, struct sp_run_lock *lock);

/* Removes the temporary files that killed processes left in RUN. Call with the lock held, and before
 * any shard is written. */
SP_MUST_CHECK enum sp_status sp_run_sweep(const char *run, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
