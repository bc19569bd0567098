/* score_run.h - the score lines of a finished run directory, one at a time.
 *
 * A run is refused that is not complete (SP_ESHARD) or harmed (SP_EDAMAGED): _SUCCESS, run.json and
 * the markers are checked by open, the lines of each shard against its marker when the last has
 * been read, and the number of utterances at the end.
 * Memory     one line. */
#ifndef SP_RESCORE_SCORE_RUN_H
#define SP_RESCORE_SCORE_RUN_H

#include <jansson.h>

#include "score_line.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_score_run;

struct sp_score_run_info {
  enum sp_method methods[SP_METHOD_COUNT]; /* (n_methods) in the order of the score line */
  size_t n_methods;
  uint64_t utts;
  const char *path;       /* these live as long as the run */
  const char *model_hash; /* "" when run.json does not tell */
  const char *signature;  /* the same */
};

SP_MUST_CHECK enum sp_status sp_score_run_open(const char *path, struct sp_score_run **out,
                                               struct sp_error *err);
/* NULL is fine. */
void sp_score_run_close(struct sp_score_run *run);
const struct sp_score_run_info *sp_score_run_get_info(const struct sp_score_run *run);
/* Was a file of these bytes (source.h, xxh128) among the run's input? */
bool sp_score_run_read_file(const struct sp_score_run *run, const char *xxh128);
/* *line is valid until the next call. After a failure only close is allowed. */
SP_MUST_CHECK enum sp_status sp_score_run_next(struct sp_score_run *run, struct sp_score_line *line,
                                               bool *found, struct sp_error *err);
/* Lines come with their per-token values; before the first line. */
void sp_score_run_keep_logp(struct sp_score_run *run);
/* run.json, as long as the run lives. */
const json_t *sp_score_run_manifest(const struct sp_score_run *run);

#ifdef __cplusplus
}
#endif
#endif
