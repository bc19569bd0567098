/* no_ranks.c - a build without MPI. */
#include "mpi_ranks.h"

enum sp_status sp_ranks_open(struct sp_ranks **out, struct sp_error *err) {
  *out = NULL;
  return sp_fail(
      err, SP_EUSAGE,
      "this is one of %zu processes of an MPI launcher, but the program was built without "
      "MPI: install one (Debian: libopenmpi-dev), run cmake again and build; or start "
      "every process by itself with --part i/n",
      sp_ranks_launched());
}

void sp_ranks_close(struct sp_ranks *ranks) {
  (void)ranks;
}

enum sp_status sp_ranks_group(struct sp_ranks *ranks, uint64_t key, size_t *rank, size_t *count,
                              struct sp_error *err) {
  (void)ranks, (void)key;
  *rank = 0;
  *count = 1;
  (void)err;
  return SP_OK;
}

enum sp_ranks_state sp_ranks_get_state(const struct sp_ranks *ranks) {
  (void)ranks;
  return SP_RANKS_GOING;
}

const char *sp_ranks_library(void) {
  return NULL;
}
