/* spool.h - standard input kept in the run directory, since scoring reads its input twice. */
#ifndef SP_ENGINE_SPOOL_H
#define SP_ENGINE_SPOOL_H

#include "status.h"

struct sp_spool {
  const char **paths; /* (n_paths) the archives, "-" replaced by the spool */
  size_t n_paths;
  char *file; /* RUN/.stdin, or NULL */
};

bool sp_spool_is_needed(const struct sp_score_options *options);
/* Copies standard input, as it is, to RUN/.stdin where an archive is "-" (at most one may be). */
SP_MUST_CHECK enum sp_status sp_spool_make(struct sp_spool *spool, const char *run,
                                           const struct sp_score_options *options,
                                           struct sp_error *err);
/* Removes what a killed process left in the run; the caller holds its lock and spools nothing. */
void sp_spool_sweep(const char *run);
/* Removes the file; the paths stay. */
void sp_spool_remove(struct sp_spool *spool);
void sp_spool_release(struct sp_spool *spool);

#endif
