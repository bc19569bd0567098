/* launcher.c - what the environment says of a launcher. */
#include <stdlib.h>

#include "mpi_ranks.h"

static size_t number(const char *name) {
  const char *text = getenv(name);
  char *end = NULL;
  unsigned long value = text && *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : 0;
  return end && *end == '\0' && value <= 1u << 24 ? value : 0;
}

/* Steps are numbered from 0; scripts and shells of a job count as steps with numbers near 2^32. */
static bool is_step(const char *id) {
  char *end = NULL;
  unsigned long value = id && *id >= '0' && *id <= '9' ? strtoul(id, &end, 10) : 0;
  return end && *end == '\0' && value < 0xfffffff0u;
}

bool sp_ranks_plain_step(size_t *task, size_t *tasks) {
  const char *id = getenv("SLURM_STEP_ID");
  const char *own = getenv("SLURM_PROCID");
  *task = number("SLURM_PROCID");
  *tasks = number("SLURM_STEP_NUM_TASKS");
  return sp_ranks_launched() == 0 && is_step(id ? id : getenv("SLURM_STEPID")) && own && *own &&
         *tasks > 1 && *task < *tasks;
}

size_t sp_ranks_launched(void) {
  static const char *const sizes[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    size_t size = number(sizes[i]);
    if (size > 0) {
      return size;
    }
  }
  /* srun: PMIx gives the process a rank, Slurm tells the tasks of the step. Neither alone is a launch:
   * SLURM_NTASKS stands in every batch script. */
  return getenv("PMIX_RANK") ? number("SLURM_STEP_NUM_TASKS") : 0;
}
