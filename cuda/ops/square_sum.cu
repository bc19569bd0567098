/* square_sum.cu - the sum of x_i^2, for the norm of a gradient.  twin: host/backend/cpu/square_sum.c
 *
 * Layout    x (count) f32.  A block takes kPart elements, a thread 4 of them at a time; one block sums
 *           what the blocks left
 * Numerics  f64: a thread in order, lanes by a butterfly, warps in order, blocks by one more round of the
 *           same.  The order depends on the count alone; NaN and inf go on
 * Bound     memory: x read once */
#include "train_ops.h"
#include "wide.cuh"

namespace {

enum : uint32_t { THREADS = 256, WARPS = THREADS / 32, PART = 16384 };

/* The block's sum, in every thread. */
SP_DEVICE double block_sum(double x) {
  SharedPtr<double> joint = sp_shared<double>(0, WARPS);
  for (int step = 16; step > 0; step /= 2) {
    x += sp_shfl_xor(x, step);
  }
  if (sp_lane() == 0) {
    joint[sp_warp()] = x;
  }
  sp_sync_threads();
  double total = joint[0];
  for (uint32_t w = 1; w < WARPS; w++) {
    total += joint[w];
  }
  return total;
}

/* Four elements from i on; those past the end count nothing. */
template <bool kAligned>
SP_DEVICE double squares(const float *x, size_t i, size_t count) {
  float v[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  if (kAligned && i + 4 <= count) {
    sp_load_some<4>(x + i, v);
  } else {
    for (size_t j = 0; j < 4 && i + j < count; j++) {
      v[j] = x[i + j];
    }
  }
  double sum = 0.0;
  SP_UNROLL
  for (int j = 0; j < 4; j++) {
    sum += (double)v[j] * (double)v[j];
  }
  return sum;
}

template <bool kAligned>
__global__ void __launch_bounds__(THREADS)
    square_parts(const float *x, size_t count, double *parts) {
  const size_t first = (size_t)blockIdx.x * PART;
  const size_t end = count - first < PART ? count : first + PART;
  double sum = 0.0;
  SP_UNROLL_BY(4)
  for (size_t i = first + threadIdx.x * 4; i < end; i += THREADS * 4) {
    sum += squares<kAligned>(x, i, count);
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) {
    parts[blockIdx.x] = sum;
  }
}

__global__ void __launch_bounds__(THREADS)
    join_parts(const double *parts, size_t count, double *out) {
  double sum = 0.0;
  SP_UNROLL_BY(4)
  for (size_t i = threadIdx.x; i < count; i += THREADS) {
    sum += parts[i];
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) {
    *out = sum;
  }
}

size_t parts_of(size_t count) {
  return (count + PART - 1) / PART;
}

}  // namespace

size_t sp_cuda_train_square_sum_scratch_bytes(size_t count) {
  return parts_of(count) * sizeof(double);
}

cudaError_t sp_cuda_train_square_sum(cudaStream_t stream, const float *x, size_t count, double *out,
                                     void *scratch) {
  double *parts = static_cast<double *>(scratch);
  const size_t n = parts_of(count), shared = WARPS * sizeof(double);
  if (n > 0) {
    auto kernel = sp_is_aligned(x) ? square_parts<true> : square_parts<false>;
    cudaError_t error =
        SP_LAUNCH(kernel, dim3((unsigned)n), dim3(THREADS), shared, stream, x, count, parts);
    if (error != cudaSuccess) {
      return error;
    }
  }
  return SP_LAUNCH(join_parts, dim3(1), dim3(THREADS), shared, stream, parts, n, out);
}
