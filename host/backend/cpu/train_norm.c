/* train_norm.c - y = (s - mean(s)) rstd gamma + beta, s = x + residual, rstd = 1 / sqrt(var(s) + eps),
 * and its gradient:
 *
 *   n = (s - mean) rstd,  g = d_y gamma,  d_s = rstd (g - mean(g) - n mean(g n)),
 *   d_gamma = sum over rows of d_y n,  d_beta = sum over rows of d_y
 *
 * Shapes    x, residual, sum, res, d_y (R, D) f32; act (R, D) of the compute type; mean, rstd (R);
 *           gamma, beta and their gradients (D)
 * Parallel  tasks of SP_CPU_TRAIN_ROWS rows; forward stages a row in the thread's scratch, so sum may
 *           be x.  Backward's sums over rows are one pair of rows (d_gamma, d_beta) a task, added
 *           in the tasks' order by tasks of COLUMNS columns
 * Numerics  two-pass variance in f32, eps inside the root (norm_row.h)
 * Bound     memory: forward 8 to 12 bytes read and 8 to 14 written an element, backward 8 and 4 */
#include "checked.h"
#include "norm_row.h"
#include "train_kernels.h"

enum { ROWS = SP_CPU_TRAIN_ROWS, COLUMNS = 64 };

struct forward {
  struct sp_trainer *trainer;
  const struct sp_train_norm_args *args;
};

/* Row r, whose sum lies in the padded row, to res and act. */
SP_VEC_INLINE void write_row(const struct sp_train_norm_args *a, const float *row, size_t r,
                             size_t i, size_t n, bool bf16) {
  vf s = vf_load(row + i);
  vf x = (s - a->mean[r]) * a->rstd[r];
  vf y = vf_fma(x, vf_load_some(a->gamma + i, n), vf_load_some(a->beta + i, n));
  vf_store_some(a->sum + r * a->d + i, n, s);
  if (a->res) {
    vf_store_some(a->res + r * a->d + i, n, y);
  }
  if (a->act) {
    vf_store_act(a->act, r * a->d + i, bf16, n, y);
  }
}

static void norm_rows(void *arg, size_t task, size_t thread) {
  const struct forward *f = arg;
  const struct sp_train_norm_args *a = f->args;
  bool bf16 = f->trainer->device->base.compute == SP_COMPUTE_BF16;
  float *row = sp_cpu_train_scratch(f->trainer, thread);
  size_t end = sp_min_size(a->rows, (task + 1) * ROWS);
  for (size_t r = task * ROWS; r < end; r++) {
    sp_norm_stage(a->x + r * a->d, a->residual ? a->residual + r * a->d : NULL, a->d, row);
    a->mean[r] = sp_norm_mean(row, a->d);
    a->rstd[r] = 1.0f / sqrtf(sp_norm_variance(row, a->d, a->mean[r]) + a->eps);
    size_t i = 0;
    for (; i + SP_LANES <= a->d; i += SP_LANES) {
      write_row(a, row, r, i, SP_LANES, bf16);
    }
    if (i < a->d) {
      write_row(a, row, r, i, a->d - i, bf16);
    }
  }
}

static enum sp_status check_width(const struct sp_trainer *trainer, size_t rows, size_t d,
                                  struct sp_error *err) {
  if (d > trainer->limits.width || rows > trainer->limits.rows) {
    return sp_fail(err, SP_EMODEL, "a norm of %zu rows of %zu; the trainer has room for %zu of %zu",
                   rows, d, trainer->limits.rows, trainer->limits.width);
  }
  return SP_OK;
}

enum sp_status SP_ISA_NAME(sp_cpu_train_add_norm)(struct sp_trainer *trainer,
                                                  const struct sp_train_norm_args *args,
                                                  struct sp_error *err) {
  SP_TRY(check_width(trainer, args->rows, args->d, err));
  struct forward f = {trainer, args};
  sp_team_run(trainer->team, (args->rows + ROWS - 1) / ROWS, norm_rows, &f);
  return SP_OK;
}

/* ---- backward ---- */

struct backward {
  const struct sp_train_norm_backward_args *args;
  float *partial; /* (tasks, 2, width): d_gamma and d_beta of a task's rows */
  size_t width;   /* D padded */
  size_t tasks;
};

/* One row on its way. */
struct row {
  const float *sum, *gamma;
  float *d_y, *d_gamma, *d_beta;
  vf mean, rstd;
  vf g_sum, gn_sum; /* lanes */
};

/* The first pass: sums of the row, and the row into the sums over rows. */
SP_VEC_INLINE void sum_part(struct row *w, size_t i, size_t n) {
  vf x = (vf_load_some(w->sum + i, n) - w->mean) * w->rstd;
  vf d_y = vf_load_some(w->d_y + i, n);
  vf g = d_y * vf_load_some(w->gamma + i, n);
  w->g_sum += g;
  w->gn_sum = vf_fma(g, x, w->gn_sum); /* g is 0 behind the row's end */
  vf_store(w->d_gamma + i, vf_fma(d_y, x, vf_load(w->d_gamma + i)));
  vf_store(w->d_beta + i, vf_load(w->d_beta + i) + d_y);
}

SP_VEC_INLINE void write_part(const struct row *w, size_t i, size_t n, vf g_mean, vf gn_mean) {
  vf x = (vf_load_some(w->sum + i, n) - w->mean) * w->rstd;
  vf g = vf_load_some(w->d_y + i, n) * vf_load_some(w->gamma + i, n);
  vf_store_some(w->d_y + i, n, w->rstd * (g - g_mean - x * gn_mean));
}

SP_VEC_INLINE void run_row(struct row *w, size_t d) {
  size_t whole = d / SP_LANES * SP_LANES;
  for (size_t i = 0; i < whole; i += SP_LANES) {
    sum_part(w, i, SP_LANES);
  }
  if (whole < d) {
    sum_part(w, whole, d - whole);
  }
  vf g_mean = vf_splat(vf_sum(w->g_sum) / (float)d);
  vf gn_mean = vf_splat(vf_sum(w->gn_sum) / (float)d);
  for (size_t i = 0; i < whole; i += SP_LANES) {
    write_part(w, i, SP_LANES, g_mean, gn_mean);
  }
  if (whole < d) {
    write_part(w, whole, d - whole, g_mean, gn_mean);
  }
}

static void back_rows(void *arg, size_t task, size_t thread) {
  (void)thread;
  const struct backward *b = arg;
  const struct sp_train_norm_backward_args *a = b->args;
  float *partial = b->partial + task * 2 * b->width;
  memset(partial, 0, 2 * b->width * sizeof *partial);
  size_t end = sp_min_size(a->rows, (task + 1) * ROWS);
  for (size_t r = task * ROWS; r < end; r++) {
    struct row w = {.sum = a->sum + r * a->d,
                    .gamma = a->gamma,
                    .d_y = a->d_y + r * a->d,
                    .d_gamma = partial,
                    .d_beta = partial + b->width,
                    .mean = vf_splat(a->mean[r]),
                    .rstd = vf_splat(a->rstd[r])};
    run_row(&w, a->d);
  }
}

/* Columns [task * COLUMNS, ..) of all partial sums. */
static void add_columns(void *arg, size_t task, size_t thread) {
  (void)thread;
  const struct backward *b = arg;
  float *to[2] = {b->args->d_gamma, b->args->d_beta};
  size_t end = sp_min_size(b->args->d, (task + 1) * COLUMNS);
  for (size_t which = 0; which < 2; which++) {
    for (size_t i = task * COLUMNS; i < end; i += SP_LANES) {
      const float *from = b->partial + which * b->width + i;
      vf sum = {0};
      for (size_t t = 0; t < b->tasks; t++) {
        sum += vf_load(from + t * 2 * b->width);
      }
      size_t n = sp_min_size(end - i, SP_LANES);
      vf_store_some(to[which] + i, n, vf_load_some(to[which] + i, n) + sum);
    }
  }
}

enum sp_status SP_ISA_NAME(sp_cpu_train_add_norm_backward)(
    struct sp_trainer *trainer, const struct sp_train_norm_backward_args *args,
    struct sp_error *err) {
  SP_TRY(check_width(trainer, args->rows, args->d, err));
  struct backward b = {.args = args,
                       .partial = trainer->shared,
                       .width = sp_round_up(args->d, SP_CPU_PAD),
                       .tasks = (args->rows + ROWS - 1) / ROWS};
  sp_team_run(trainer->team, b.tasks, back_rows, &b);
  sp_team_run(trainer->team, (args->d + COLUMNS - 1) / COLUMNS, add_columns, &b);
  return SP_OK;
}
