/* ranks.h - what a tightly coupled job gives the engine: implemented with MPI in host/ranks, with threads
 * in tests.  The engine knows only this table.
 *
 * Errors  SP_EDEVICE naming the operation, rank and node. After one the job can only end: what is
 *         published stays, the same command resumes.
 * Threads calls come from one thread of a rank. */
#ifndef SP_ENGINE_RANKS_H
#define SP_ENGINE_RANKS_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_ranks {
  size_t rank, count;             /* of the job */
  size_t local_rank, local_count; /* of this node */
  size_t local_cpus;              /* processors that the ranks of this node may run on, together; 0: unknown */
  char node[256];
  void *context;
  /* The next number 0, 1, 2, .. of a counter that all ranks share. */
  enum sp_status (*ticket)(void *context, uint64_t *ticket, struct sp_error *err);
  /* Rank 0's bytes to all; any size. */
  enum sp_status (*broadcast)(void *context, void *data, size_t bytes, struct sp_error *err);
  /* Sums of all ranks, element by element in rank order, to all. */
  enum sp_status (*sum)(void *context, double *values, size_t n, struct sp_error *err);
  /* All ranks meet: the worst status of all (failures, then SP_EINTERRUPTED), by rank order among equals,
   * and its message with rank and node in front, becomes everybody's.  Call it with the own status, SP_OK
   * included, and its message in `err`.  A rank may come here with a failure while others are in
   * broadcast or sum: they get it there.  After a failure every call repeats it. */
  enum sp_status (*agree)(void *context, enum sp_status status, struct sp_error *err);
};

#ifdef __cplusplus
}
#endif
#endif
