/* train_gather.c - to[r] = from[index[r]].
 *
 * Shapes    from (any, row_bytes), to (R, row_bytes)
 * Parallel  tasks of SP_CPU_TRAIN_ROWS rows
 * Bound     memory: row_bytes read and written a row */
#include <string.h>

#include "checked.h"
#include "train_kernels.h"

enum { ROWS = SP_CPU_TRAIN_ROWS };

struct job {
  const char *from;
  char *to;
  const uint32_t *index;
  size_t row_bytes, rows;
};

static void gather_rows(void *arg, size_t task, size_t thread) {
  (void)thread;
  const struct job *job = arg;
  size_t end = sp_min_size(job->rows, (task + 1) * ROWS);
  for (size_t r = task * ROWS; r < end; r++) {
    memcpy(job->to + r * job->row_bytes, job->from + job->index[r] * job->row_bytes,
           job->row_bytes);
  }
}

enum sp_status sp_cpu_train_gather(struct sp_trainer *trainer, const void *from, size_t row_bytes,
                                   const uint32_t *index, size_t rows, void *to,
                                   struct sp_error *err) {
  (void)err;
  struct job job = {from, to, index, row_bytes, rows};
  sp_team_run(trainer->team, (rows + ROWS - 1) / ROWS, gather_rows, &job);
  return SP_OK;
}
