/* run_merge.h - complete runs of archives that have no utterance in common, joined to one run directory.
 *
 * The runs were scored alike: their identities agree in all but the members that say which input it was.
 * The shards of the first run come first, then those of the second, and so on, under new numbers; a
 * shard's bytes and its marker's stay what they are: a hard link, or a copy where none can be made.
 * FORMATS.md says what run.json becomes.
 *
 * Restart    killed anywhere, the same call goes on; what it finds of its own is checked and kept.
 * Errors     SP_EIDENTITY naming the members in which two runs differ, or that `out` is something else;
 *            SP_EINPUT naming two utterances of one id; SP_ESHARD, SP_EDAMAGED of a run that is not
 *            complete or harmed (sp_run_verify); SP_ELOCK when another process works on `out`.
 * Memory     SP_ID_SET_MEMORY at most for the ids, and the plans. */
#ifndef SP_FORMATS_RUN_MERGE_H
#define SP_FORMATS_RUN_MERGE_H

#include "run_manifest.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_merge_rules {
  const char *const *runs; /* (n_runs) none twice */
  size_t n_runs;           /* at least 1 */
  const char *out;
  /* A run has been verified; NULL: nobody asks. */
  void (*verified)(void *context, size_t run, const struct sp_run_totals *totals);
  void *context;
};

struct sp_merge_summary {
  struct sp_run_totals totals;  /* of the joined run */
  size_t linked, copied, found; /* shards; found: there from an earlier call */
  bool has_plan;                /* every run has one, and so the joined run */
};

SP_MUST_CHECK enum sp_status sp_run_merge(const struct sp_merge_rules *rules,
                                          struct sp_merge_summary *summary, struct sp_error *err);

/* run.json of the joined run from those of `n` runs, which stay as they are; the caller owns *out.
 * SP_EIDENTITY as above; `names` are for messages. */
SP_MUST_CHECK enum sp_status sp_run_merge_manifests(json_t **manifests, const char *const *names,
                                                    size_t n, json_t **out, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
