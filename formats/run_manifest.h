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
/* The same where others may have made the run meanwhile: one that is there stays. */
SP_MUST_CHECK enum sp_status sp_run_manifest_publish(const char *run, json_t *manifest,
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

/* The same for two runs that are to become one: the members that say which input a run had (inputs,
 * limit, shards, shard_utts, merged) may differ. */
SP_MUST_CHECK enum sp_status sp_run_identity_compare_kind(const json_t *first,
                                                          const char *first_run,
                                                          const json_t *other,
                                                          const char *other_run,
                                                          struct sp_error *err);

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
/* The same for one of several runs that have no id in common: theirs are added to `ids` (id_set.h), which
 * the caller finishes.  SP_EINPUT: an id is in `ids` already. */
struct sp_id_set;
SP_MUST_CHECK enum sp_status sp_run_verify_among(const char *run, struct sp_id_set *ids,
                                                 struct sp_run_totals *totals,
                                                 struct sp_error *err);

/* One process alone. SP_ELOCK when a live process holds RUN (it names pid and host), or when workers share it
 * (run_claims.h) that are not known to be gone; a lock that a dead process left is taken over. Released by
 * the call or by the process's end. */
struct sp_run_lock {
  int fd;
};
SP_MUST_CHECK enum sp_status sp_run_lock_take(const char *run, struct sp_run_lock *lock,
                                              struct sp_error *err);
/* Also after a failed take, whose fd is -1. */
void sp_run_lock_release(const char *run, struct sp_run_lock *lock);

/* Who holds the lock, as its file says. */
struct sp_run_owner {
  char host[256], start[32]; /* start: UTC, ISO 8601 */
  char mount[80];            /* kernel and mount of the run as the owner had it; empty: not told */
  int64_t pid;
  bool here, locked; /* on this host; and its lock is held, else the owner is dead */
};
/* For who only looks: takes nothing away from the holder. *found false: there is no lock, or it names
 * nobody. */
SP_MUST_CHECK enum sp_status sp_run_lock_look(const char *run, struct sp_run_owner *out,
                                              bool *found, struct sp_error *err);
/* SP_ELOCK when the lock is held, or was left on another host: for who does not want RUN alone. */
SP_MUST_CHECK enum sp_status sp_run_lock_refuse(const char *run, struct sp_error *err);

/* Removes the temporary files that killed processes left in RUN. Call with the lock held, and before
 * any shard is written. */
SP_MUST_CHECK enum sp_status sp_run_sweep(const char *run, struct sp_error *err);

/* A run that was prepared, and of which nothing is scored yet, leaves open what computes: identity's device_type,
 * dtype and backend (those that were not asked for), and info's signature, are null.  The first worker that
 * scores decides them. */
bool sp_run_manifest_is_open(const json_t *manifest);
/* Members that `manifest` leaves open become those of `from`. */
void sp_run_manifest_fill(json_t *manifest, const json_t *from);

#ifdef __cplusplus
}
#endif
#endif
