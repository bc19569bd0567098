/* mpi_ranks.h - the processes that mpirun or srun started, as the engine's table (engine/ranks.h).
 *
 * MPI is used for little: to know the ranks, for one counter, and for a few collectives.
 *
 * Counter    a number in a window of rank 0; a ticket is one MPI_Fetch_and_op under passive target.
 *            Where the network has no atomics of its own (TCP), rank 0 serves it only while it is
 *            inside the library, and its engine computes for minutes.  So a thread of rank 0 enters
 *            the library every millisecond; who computes need not know.
 * Threads    the calls of a process are made one at a time, under a mutex, for which
 *            MPI_THREAD_SERIALIZED is enough.  With MPI_THREAD_MULTIPLE Open MPI 4 has no windows over
 *            TCP.
 * Meetings   before a collective moves data, the ranks tell each other what they came for, and wait
 *            for that without keeping a processor busy.  A rank that failed comes with its status:
 *            whatever the others came for then ends with its message, and so does every later call.
 *            So a failure anywhere needs one call of agree to reach all, and nobody is left waiting.
 * Errors     MPI returns them (MPI_ERRORS_RETURN); the message names call, rank and node.  After one
 *            no more is communicated: the process shall end, without MPI_Finalize, whereupon the
 *            launcher ends the others.  Nothing here calls MPI_Abort.
 * Without MPI in the build, open says how to get it. */
#ifndef SP_RANKS_MPI_RANKS_H
#define SP_RANKS_MPI_RANKS_H

#include "ranks.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Processes that the environment says were started together with this one: by mpirun (Open MPI; MPICH,
 * Intel MPI and others with Hydra) or by srun with PMIx or PMI-2.  0 without such a launcher: a plain
 * shell, also inside sbatch or salloc, a task of an array, a step without PMI. */
size_t sp_ranks_launched(void);

/* Of a step that srun started without such a manager: which of its tasks this is. False for a batch script, an
 * interactive shell, a step of one task, and inside a process of mpirun. */
bool sp_ranks_plain_step(size_t *task, size_t *tasks);

/* Initialises MPI, unless the program has done so (with MPI_THREAD_SERIALIZED at least). All processes
 * of the launcher call it. SP_EUSAGE where the build has no MPI, SP_EDEVICE. */
SP_MUST_CHECK enum sp_status sp_ranks_open(struct sp_ranks **out, struct sp_error *err);
/* Waits for all ranks; NULL is fine.  After an error of MPI it neither waits nor finalizes MPI: the
 * process shall end. */
void sp_ranks_close(struct sp_ranks *ranks);

/* Of the ranks of this node that came with the same key: how many there are, and which this one is. All ranks
 * call it. */
SP_MUST_CHECK enum sp_status sp_ranks_group(struct sp_ranks *ranks, uint64_t key, size_t *rank,
                                            size_t *count, struct sp_error *err);

enum sp_ranks_state {
  SP_RANKS_GOING,
  SP_RANKS_ENDED, /* all agreed on a failure */
  SP_RANKS_BROKEN /* a call of MPI failed here; the others may not know */
};
enum sp_ranks_state sp_ranks_get_state(const struct sp_ranks *ranks);

/* "Open MPI v4.1.4"; NULL in a build without MPI. The text is static. */
const char *sp_ranks_library(void);

#ifdef __cplusplus
}
#endif
#endif
