/* gather.cu - to[r] = from[index[r]].                            twin: host/backend/cpu/gather.c
 *
 * Maths     none
 * Layout    from (any, row_bytes), to (R, row_bytes); one warp a row, four to a block; 16 bytes a
 *           lane where rows keep that alignment, else 4, 2 or 1
 * Numerics  none
 * Bound     memory: row_bytes read and written a row */
#include "ops.h"
#include "wide.cuh"

namespace {

enum { kWarps = 4 };

template <typename Unit>
__global__ void __launch_bounds__(kWarps * 32)
    gather(const Unit *from, size_t units, const uint32_t *index, size_t rows, Unit *to) {
  size_t row = (size_t)blockIdx.x * kWarps + (size_t)sp_warp();
  if (row >= rows) {
    return;
  }
  const Unit *source = from + (size_t)index[row] * units;
  for (size_t i = (size_t)sp_lane(); i < units; i += 32) {
    to[row * units + i] = source[i];
  }
}

template <typename Unit>
cudaError_t launch(cudaStream_t stream, const void *from, size_t row_bytes, const uint32_t *index,
                   size_t rows, void *to) {
  return SP_LAUNCH(gather<Unit>, sp_blocks(rows, kWarps), kWarps * 32, 0, stream,
                   static_cast<const Unit *>(from), row_bytes / sizeof(Unit), index, rows,
                   static_cast<Unit *>(to));
}

}  // namespace

cudaError_t sp_cuda_gather(cudaStream_t stream, const void *from, size_t row_bytes,
                           const uint32_t *index, size_t rows, void *to) {
  if (!sp_is_aligned(from) || !sp_is_aligned(to)) {
    return cudaErrorInvalidValue;
  }
  if (rows == 0 || row_bytes == 0) {
    return cudaSuccess;
  }
  if (row_bytes % 16 == 0) {
    return launch<uint4>(stream, from, row_bytes, index, rows, to);
  }
  return row_bytes % 4 == 0   ? launch<uint32_t>(stream, from, row_bytes, index, rows, to)
         : row_bytes % 2 == 0 ? launch<uint16_t>(stream, from, row_bytes, index, rows, to)
                              : launch<uint8_t>(stream, from, row_bytes, index, rows, to);
}
