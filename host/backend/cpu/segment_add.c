/* segment_add.c - to[target[g]] += sum over the group's members m, in order, of from[row[m]].
 *
 * Shapes    from, to (any, D) f32; row (members), start (groups + 1), target (groups)
 * Parallel  a task is COLUMNS columns of GROUPS groups: one group of all rows, like the token type's,
 *           still is as many tasks as there are strips of columns
 * Numerics  f32, every element summed in the members' order from 0, then added once
 * Bound     memory: 4 bytes read a member's element */
#include "checked.h"
#include "train_kernels.h"
#include "vec.h"

enum { GROUPS = 32, REGISTERS = 4, COLUMNS = 64 };

struct job {
  const struct sp_train_segment_args *args;
  size_t strips;
};

/* n columns from `column` on, as many as fill REGISTERS registers but for the last, of `lanes`. */
SP_VEC_INLINE void add_group(const struct sp_train_segment_args *a, size_t g, size_t column,
                             const size_t registers, size_t lanes) {
  vf sum[REGISTERS];
  for (size_t i = 0; i < registers; i++) {
    sum[i] = (vf){0};
  }
  for (size_t m = a->start[g]; m < a->start[g + 1]; m++) {
    const float *from = a->from + (size_t)a->row[m] * a->d + column;
    for (size_t i = 0; i + 1 < registers; i++) {
      sum[i] += vf_load(from + i * SP_LANES);
    }
    sum[registers - 1] += vf_load_some(from + (registers - 1) * SP_LANES, lanes);
  }
  float *to = a->to + (size_t)a->target[g] * a->d + column;
  for (size_t i = 0; i < registers; i++) {
    size_t n = i + 1 < registers ? SP_LANES : lanes;
    vf_store_some(to + i * SP_LANES, n, vf_load_some(to + i * SP_LANES, n) + sum[i]);
  }
}

static void add_groups(void *arg, size_t task, size_t thread) {
  (void)thread;
  const struct job *job = arg;
  const struct sp_train_segment_args *a = job->args;
  size_t first = task / job->strips * GROUPS, column = task % job->strips * COLUMNS;
  size_t end = sp_min_size(a->groups, first + GROUPS);
  size_t column_end = sp_min_size(a->d, column + COLUMNS);
  for (size_t g = first; g < end; g++) {
    size_t c = column;
    for (; c + REGISTERS * SP_LANES <= column_end; c += REGISTERS * SP_LANES) {
      add_group(a, g, c, REGISTERS, SP_LANES);
    }
    for (; c < column_end; c += SP_LANES) {
      add_group(a, g, c, 1, sp_min_size(column_end - c, SP_LANES));
    }
  }
}

enum sp_status SP_ISA_NAME(sp_cpu_train_segment_add)(struct sp_trainer *trainer,
                                                     const struct sp_train_segment_args *args,
                                                     struct sp_error *err) {
  (void)err;
  struct job job = {args, (args->d + COLUMNS - 1) / COLUMNS};
  size_t blocks = (args->groups + GROUPS - 1) / GROUPS;
  sp_team_run(trainer->team, blocks * job.strips, add_groups, &job);
  return SP_OK;
}
