/* square_sum.c - the sum of x_i^2.
 *
 * Shapes    x (count) f32
 * Parallel  tasks of SP_CPU_TRAIN_BLOCK elements, whose sums are added in order
 * Numerics  f64; LANES partial sums a block, the same for every instruction set
 * Bound     memory: 4 bytes read an element */
#include "checked.h"
#include "train_kernels.h"

enum { BLOCK = SP_CPU_TRAIN_BLOCK, LANES = 16, BLOCKS = 256 };

struct job {
  const float *x;
  size_t count;
  double sum[BLOCKS];
};

static void sum_block(void *arg, size_t task, size_t thread) {
  (void)thread;
  struct job *job = arg;
  const float *x = job->x + task * BLOCK;
  size_t n = sp_min_size(job->count - task * BLOCK, BLOCK);
  double lane[LANES] = {0};
  size_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    for (size_t l = 0; l < LANES; l++) {
      lane[l] += (double)x[i + l] * x[i + l];
    }
  }
  for (size_t l = 0; i < n; i++, l++) {
    lane[l] += (double)x[i] * x[i];
  }
  double sum = 0;
  for (size_t l = 0; l < LANES; l++) {
    sum += lane[l];
  }
  job->sum[task] = sum;
}

enum sp_status SP_ISA_NAME(sp_cpu_train_square_sum)(struct sp_trainer *trainer, const float *x,
                                                    size_t count, double *out,
                                                    struct sp_error *err) {
  (void)err;
  struct job job;
  double sum = 0;
  for (size_t first = 0; first < count; first += (size_t)BLOCKS * BLOCK) {
    job.x = x + first;
    job.count = sp_min_size(count - first, (size_t)BLOCKS * BLOCK);
    size_t blocks = (job.count + BLOCK - 1) / BLOCK;
    sp_team_run(trainer->team, blocks, sum_block, &job);
    for (size_t b = 0; b < blocks; b++) {
      sum += job.sum[b];
    }
  }
  *out = sum;
  return SP_OK;
}
