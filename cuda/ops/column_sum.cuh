/* column_sum.cuh - sums over rows, column by column, in an order that depends on the shape alone.
 *
 * Rows are cut into parts of SP_COLUMN_ROWS.  A block takes a part and 32 lanes' columns; its warps
 * take every SP_COLUMN_WARPS-th row each, and are joined in order.  Then the parts are, in order, and
 * what was there is added to their sum. */
#ifndef SP_CUDA_COLUMN_SUM_CUH
#define SP_CUDA_COLUMN_SUM_CUH

#include "simt.cuh"
#include "wide.cuh"

enum : uint32_t {
  SP_COLUMN_WARPS = 8,
  SP_COLUMN_ROWS = 128, /* of a part */
  SP_COLUMN_JOIN = 128  /* threads that join parts, a column each */
};

static inline size_t sp_column_parts(size_t rows) {
  return (rows + SP_COLUMN_ROWS - 1) / SP_COLUMN_ROWS;
}
/* Of kSums sums at once. */
static inline size_t sp_column_scratch_floats(size_t rows, size_t n, size_t sums) {
  return sp_column_parts(rows) * n * sums;
}

/* `source.load<kCount>(row, column, v)` gives the kSums numbers of each of kCount columns; parts (P,
 * kSums, n). */
template <int kSums, int kCount, typename Source>
__global__ void __launch_bounds__(32 * SP_COLUMN_WARPS)
    sp_column_sum_parts(const Source source, size_t rows, size_t n, float *parts) {
  constexpr uint32_t kHeld = kSums * kCount;
  SharedPtr<float> joint = sp_shared<float>(0, SP_COLUMN_WARPS * 32 * kHeld);
  const size_t column = ((size_t)blockIdx.y * 32 + (size_t)sp_lane()) * kCount;
  const size_t first = (size_t)blockIdx.x * SP_COLUMN_ROWS, left = rows - first;
  const size_t end = first + (left < SP_COLUMN_ROWS ? left : (size_t)SP_COLUMN_ROWS);
  float sum[kSums][kCount] = {{0.0f}};
  if (column < n) {
    SP_UNROLL_BY(4)
    for (size_t r = first + (size_t)sp_warp(); r < end; r += SP_COLUMN_WARPS) {
      float v[kSums][kCount];
      source.template load<kCount>(r, column, v);
      SP_UNROLL
      for (int i = 0; i < kSums * kCount; i++) {
        sum[i / kCount][i % kCount] += v[i / kCount][i % kCount];
      }
    }
  }
  SP_UNROLL
  for (uint32_t i = 0; i < kHeld; i++) { /* a bank a lane */
    joint[((uint32_t)sp_warp() * kHeld + i) * 32 + (uint32_t)sp_lane()] =
        sum[i / kCount][i % kCount];
  }
  sp_sync_threads();
  for (uint32_t i = threadIdx.x; i < 32 * kHeld; i += 32 * SP_COLUMN_WARPS) {
    const uint32_t held = i / 32;
    const size_t at = ((size_t)blockIdx.y * 32 + i % 32) * kCount + held % kCount;
    if (at < n) {
      float total = joint[i];
      for (uint32_t w = 1; w < SP_COLUMN_WARPS; w++) {
        total += joint[w * 32 * kHeld + i];
      }
      parts[((size_t)blockIdx.x * kSums + held / kCount) * n + at] = total;
    }
  }
}

/* Where the kSums sums of a column go. */
template <int kSums>
struct sp_column_targets {
  float *to[kSums]; /* (n) */
};

template <int kSums>
__global__ void __launch_bounds__(SP_COLUMN_JOIN)
    sp_column_sum_join(const float *parts, size_t count, size_t n, sp_column_targets<kSums> out) {
  const size_t column = (size_t)blockIdx.x * SP_COLUMN_JOIN + threadIdx.x;
  if (column >= n) {
    return;
  }
  SP_UNROLL
  for (int s = 0; s < kSums; s++) {
    float total = 0.0f;
    SP_UNROLL_BY(8)
    for (size_t p = 0; p < count; p++) {
      total += parts[(p * kSums + (size_t)s) * n + column];
    }
    out.to[s][column] += total;
  }
}

/* kCount columns of every row are where source.load<kCount> reads them wide. */
template <int kSums, int kCount, typename Source>
cudaError_t sp_column_sum(cudaStream_t stream, const Source &source, size_t rows, size_t n,
                          float *parts, const sp_column_targets<kSums> &out) {
  const dim3 grid((unsigned)sp_column_parts(rows), sp_blocks(n, 32 * kCount));
  const size_t shared = SP_COLUMN_WARPS * 32 * kSums * kCount * sizeof(float);
  cudaError_t error = SP_LAUNCH((sp_column_sum_parts<kSums, kCount, Source>), grid,
                                dim3(32 * SP_COLUMN_WARPS), shared, stream, source, rows, n, parts);
  if (error != cudaSuccess) {
    return error;
  }
  return SP_LAUNCH(sp_column_sum_join<kSums>, dim3(sp_blocks(n, SP_COLUMN_JOIN)),
                   dim3(SP_COLUMN_JOIN), 0, stream, parts, sp_column_parts(rows), n, out);
}

#endif
