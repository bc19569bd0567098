/* soften.c - a scheduler's logits to the logarithms of a soft or rounded mask, and the gradient.
 *
 *   log a_r = log sigmoid(tau g_r), of a span the sum of those of m <= r
 *   d_g_m = tau sigmoid(-tau g_m) d_m,  d_m = d_log_a_m, of a span the sum of those of r >= m
 *
 * Shapes    g, log_a and gradients (R, J) f32; room (R)
 * Parallel  tasks of SP_CPU_TRAIN_ROWS rows
 * Numerics  f32; log sigmoid(x) = min(x, 0) - log1p(e^-|x|), finite for every finite x; the gradient
 *           divides by no a.  The rounded mask is schedule.c's (rounded_key.h).  Cells beyond room
 *           are -inf, and take and give no gradient
 * Bound     two calls of libm a cell, small beside the layer */
#include <math.h>

#include "checked.h"
#include "rounded_key.h"
#include "train_kernels.h"

enum { ROWS = SP_CPU_TRAIN_ROWS };

static float log_sigmoid(float x) {
  return (x < 0.0f ? x : 0.0f) - log1pf(expf(-fabsf(x)));
}

/* 1 - sigmoid(x), to its last digits for large x. */
static float sigmoid_rest(float x) {
  float e = expf(-fabsf(x));
  return (x > 0.0f ? e : 1.0f) / (1.0f + e);
}

static void soften_row(const struct sp_train_soften_args *a, size_t r) {
  const float *g = a->g + r * a->reach;
  float *log_a = a->log_a + r * a->reach;
  size_t inside = sp_min_size(a->room[r], a->reach);
  float product = 1.0f, sum = 0.0f;
  for (size_t c = 0; c < inside; c++) {
    if (a->hard) {
      log_a[c] = sp_rounded_key(a->span, a->tau, g[c], &product) ? 0.0f : -INFINITY;
    } else {
      float one = log_sigmoid(a->tau * g[c]);
      sum += one;
      log_a[c] = a->span ? sum : one;
    }
  }
  for (size_t c = inside; c < a->reach; c++) {
    log_a[c] = -INFINITY;
  }
}

static void soften_row_backward(const struct sp_train_soften_backward_args *b, size_t r) {
  const struct sp_train_soften_args *a = &b->forward;
  const float *g = a->g + r * a->reach, *d_log_a = b->d_log_a + r * a->reach;
  float *d_g = b->d_g + r * a->reach;
  size_t inside = sp_min_size(a->room[r], a->reach);
  float sum = 0.0f;
  for (size_t c = inside; c < a->reach; c++) {
    d_g[c] = 0.0f;
  }
  for (size_t c = inside; c-- > 0;) {
    sum += d_log_a[c];
    d_g[c] = a->tau * sigmoid_rest(a->tau * g[c]) * (a->span ? sum : d_log_a[c]);
  }
}

static void soften_rows(void *arg, size_t task, size_t thread) {
  (void)thread;
  const struct sp_train_soften_args *a = arg;
  size_t end = sp_min_size(a->rows, (task + 1) * ROWS);
  for (size_t r = task * ROWS; r < end; r++) {
    soften_row(a, r);
  }
}

static void soften_rows_backward(void *arg, size_t task, size_t thread) {
  (void)thread;
  const struct sp_train_soften_backward_args *b = arg;
  size_t end = sp_min_size(b->forward.rows, (task + 1) * ROWS);
  for (size_t r = task * ROWS; r < end; r++) {
    soften_row_backward(b, r);
  }
}

enum sp_status sp_cpu_train_soften(struct sp_trainer *trainer,
                                   const struct sp_train_soften_args *args, struct sp_error *err) {
  (void)err;
  struct sp_train_soften_args copy = *args;
  sp_team_run(trainer->team, (args->rows + ROWS - 1) / ROWS, soften_rows, &copy);
  return SP_OK;
}

enum sp_status sp_cpu_train_soften_backward(struct sp_trainer *trainer,
                                            const struct sp_train_soften_backward_args *args,
                                            struct sp_error *err) {
  (void)err;
  struct sp_train_soften_backward_args copy = *args;
  sp_team_run(trainer->team, (args->forward.rows + ROWS - 1) / ROWS, soften_rows_backward, &copy);
  return SP_OK;
}
