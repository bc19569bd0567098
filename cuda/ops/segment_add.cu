/* segment_add.cu - to[target[g]] += sum over the members of group g of from[row[m]]: what embed and any
 * gather are backwards.                                       twin: host/backend/cpu/segment_add.c
 *
 * Layout    from, to (.., D) f32.  A block takes a group and 32 lanes' columns; warp w of W takes
 *           members w, w + W, .. and the warps are joined in order.  W grows with the mean length of a
 *           group, from 4 to 16: few long groups (positions, the type) are what takes time
 * Numerics  f32, in an order that depends on groups, members and the group's length alone
 * Bound     memory: a row of `from` a member; a group of all the batch's rows is bound by what one
 *           multiprocessor keeps under way (some 50 us for 8192 rows).  Unconfirmed: no GPU has run it */
#include "train_ops.h"
#include "wide.cuh"

namespace {

enum : uint32_t { MAX_WARPS = 16, MIN_WARPS = 4 };

template <int kCount>
__global__ void __launch_bounds__(32 * MAX_WARPS) segment_add(const sp_train_segment_args a) {
  const uint32_t lane = (uint32_t)sp_lane(), warp = (uint32_t)sp_warp(), warps = blockDim.x / 32;
  const uint32_t first = a.start[blockIdx.x], end = a.start[blockIdx.x + 1];
  const size_t column = ((size_t)blockIdx.y * 32 + lane) * kCount;
  SharedPtr<float> joint = sp_shared<float>(0, (size_t)warps * 32 * kCount);
  float sum[kCount] = {0.0f};
  if (column < a.d) {
    SP_UNROLL_BY(8)
    for (uint32_t m = first + warp; m < end; m += warps) {
      float v[kCount];
      sp_load_some<kCount>(a.from + (size_t)a.row[m] * a.d + column, v);
      SP_UNROLL
      for (int j = 0; j < kCount; j++) {
        sum[j] += v[j];
      }
    }
  }
  SP_UNROLL
  for (int j = 0; j < kCount; j++) { /* a bank a lane */
    joint[(warp * kCount + (uint32_t)j) * 32 + lane] = sum[j];
  }
  sp_sync_threads();
  for (uint32_t i = threadIdx.x; i < 32 * kCount; i += blockDim.x) {
    const size_t at = ((size_t)blockIdx.y * 32 + i % 32) * kCount + i / 32;
    if (at < a.d && first < end) {
      float total = joint[i];
      for (uint32_t w = 1; w < warps; w++) {
        total += joint[w * 32 * kCount + i];
      }
      a.to[(size_t)a.target[blockIdx.x] * a.d + at] += total;
    }
  }
}

uint32_t warps_of(const sp_train_segment_args &args) {
  uint32_t warps = MIN_WARPS;
  while (warps < MAX_WARPS && warps * args.groups < args.members) {
    warps *= 2;
  }
  return warps;
}

}  // namespace

cudaError_t sp_cuda_train_segment_add(cudaStream_t stream, const sp_train_segment_args *args) {
  if (args->members > UINT32_MAX - MAX_WARPS || args->groups > INT32_MAX) {
    return cudaErrorInvalidValue;
  }
  if (args->groups == 0 || args->members == 0 || args->d == 0) {
    return cudaSuccess;
  }
  const bool wide = sp_is_wide(args->d * sizeof(float)) && sp_is_aligned(args->from);
  const uint32_t warps = warps_of(*args);
  const int count = wide ? kWide<float> : 1;
  auto kernel = wide ? segment_add<kWide<float>> : segment_add<1>;
  const dim3 grid((unsigned)args->groups, sp_blocks(args->d, 32 * (size_t)count));
  return SP_LAUNCH(kernel, grid, dim3(32 * warps), 32 * warps * (size_t)count * sizeof(float),
                   stream, *args);
}
