/* score_ranks.h - `score` as one of the processes that mpirun or srun started.
 *
 * Rank 0 speaks: progress, summary, JSON, and the failure that the job ends with.  The others say their own
 * warnings and failures, with rank and node.  All end with one exit code. */
#ifndef SP_CLI_SCORE_RANKS_H
#define SP_CLI_SCORE_RANKS_H

#include "mpi_ranks.h"
#include "node_share.h"

struct sp_score_ranks {
  struct sp_ranks *ranks; /* NULL: a process by itself */
  char device[SP_NODE_DEVICE];
};

/* Opens the ranks where a launcher started more than one process, and fills in what they share of their
 * nodes: device, threads.  A process comes with what it failed of so far, and its message in `err`: the ranks
 * agree on it. Close also on failure. */
SP_MUST_CHECK enum sp_status sp_score_ranks_open(struct sp_score_ranks *job,
                                                 struct sp_score_options *options,
                                                 enum sp_status status, struct sp_error *err);
/* Whether this process speaks for the job. */
bool sp_score_ranks_speaks(const struct sp_score_ranks *job);
/* "warning: .." on standard error, with rank and node where there are any. */
void sp_score_ranks_warn(const struct sp_score_ranks *job, const char *message);
/* The job's status, from what every rank comes with; `err` holds and gets its message. */
SP_MUST_CHECK enum sp_status sp_score_ranks_agree(const struct sp_score_ranks *job,
                                                  enum sp_status status, struct sp_error *err);
/* Says the failure, as rank 0 or as the one rank that knows of it; no process ends before rank 0 is here.
 * `err` is emptied, so that it is said once. */
void sp_score_ranks_close(struct sp_score_ranks *job, enum sp_status status, struct sp_error *err);

#endif
