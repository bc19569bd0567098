/* soften.cu - a soft mask from a scheduler's logits, and back (methods.md 2.4).
 *                                                                  twin: host/backend/cpu/soften.c
 *
 * Maths     log a_r = log sigmoid(tau g_r), summed over m <= r for a span;
 *           d_g_m = tau sigmoid(-tau g_m) d_m, d_m = d_log_a_m, or its sum over r >= m for a span
 * Layout    g, log_a, d_log_a, d_g (R, J) f32, room (R); a thread a row
 * Numerics  f32.  log sigmoid(x) = min(x, 0) - log1p(e^-|x|), never -inf for a finite x; hard masks
 *           round as schedule.cu does
 * Bound     memory, at best: rows are short and their lines are shared by neighbours in L1 */
#include "train_ops.h"
#include "wide.cuh"

namespace {

enum { kThreads = 128 };

SP_DEVICE float log_sigmoid(float x) {
  return fminf(x, 0.0f) - log1pf(sp_exp(-fabsf(x)));
}

/* sigmoid(-x), in a form that does not cancel or overflow. */
SP_DEVICE float sigmoid_of_minus(float x) {
  const float e = sp_exp(-fabsf(x));
  return (x > 0.0f ? e : 1.0f) / (1.0f + e);
}

/* Cells of a row that lie within its sequence. */
SP_DEVICE size_t cells_of(const sp_train_soften_args &a, size_t row) {
  return a.room[row] < a.reach ? a.room[row] : a.reach;
}

__global__ void __launch_bounds__(kThreads) soften(const sp_train_soften_args a) {
  const size_t row = (size_t)blockIdx.x * kThreads + threadIdx.x;
  if (row >= a.rows) {
    return;
  }
  const size_t cells = cells_of(a, row);
  const float *g = a.g + row * a.reach;
  float *log_a = a.log_a + row * a.reach;
  float sum = 0.0f, product = 1.0f;
  for (size_t r = 0; r < cells; r++) {
    const float x = a.tau * g[r], one = log_sigmoid(x);
    sum = a.span ? sum + one : one;
    product *= 1.0f / (1.0f + sp_exp(-x));
    const bool seen = a.span ? product >= 0.5f : g[r] >= 0.0f;
    log_a[r] = !a.hard ? sum : seen ? 0.0f : -INFINITY;
  }
  for (size_t r = cells; r < a.reach; r++) {
    log_a[r] = -INFINITY;
  }
}

__global__ void __launch_bounds__(kThreads) soften_backward(const sp_train_soften_backward_args b) {
  const sp_train_soften_args &a = b.forward;
  const size_t row = (size_t)blockIdx.x * kThreads + threadIdx.x;
  if (row >= a.rows) {
    return;
  }
  const size_t cells = cells_of(a, row), at = row * a.reach;
  float sum = 0.0f;
  for (size_t r = a.reach; r-- > 0;) {
    if (r >= cells) {
      b.d_g[at + r] = 0.0f;
      continue;
    }
    sum = a.span ? sum + b.d_log_a[at + r] : b.d_log_a[at + r];
    b.d_g[at + r] = a.tau * sigmoid_of_minus(a.tau * a.g[at + r]) * sum;
  }
}

}  // namespace

cudaError_t sp_cuda_train_soften(cudaStream_t stream, const sp_train_soften_args *args) {
  if (args->rows == 0 || args->reach == 0) {
    return cudaSuccess;
  }
  return SP_LAUNCH(soften, sp_blocks(args->rows, kThreads), kThreads, 0, stream, *args);
}

cudaError_t sp_cuda_train_soften_backward(cudaStream_t stream,
                                          const sp_train_soften_backward_args *args) {
  if (args->forward.hard) {
    return cudaErrorInvalidValue;
  }
  if (args->forward.rows == 0 || args->forward.reach == 0) {
    return cudaSuccess;
  }
  return SP_LAUNCH(soften_backward, sp_blocks(args->forward.rows, kThreads), kThreads, 0, stream,
                   *args);
}
