/* expand.cu - masked copies from one copy of the tokens, and positions.  twin: cpu/expand.c
 *
 * Maths     ids[start + i] = pad beyond len, [mask] in [mask_lo, mask_hi), else base_ids[base + i]
 * Layout    a warp a sequence, four to a block; its lanes walk the sequence's room
 * Numerics  none
 * Bound     memory: 4 bytes read, from L2 where copies share their base, and 8 written a token */
#include "ops.h"
#include "wide.cuh"

namespace {

enum { kWarps = 4 };

__global__ void __launch_bounds__(kWarps * 32) expand(sp_expand_args args) {
  size_t s = (size_t)blockIdx.x * kWarps + (size_t)sp_warp();
  if (s >= args.sequences) {
    return;
  }
  const int32_t *base = args.base_ids + args.base_start[s];
  uint32_t start = args.token_start[s], room = args.token_start[s + 1] - start;
  uint32_t len = args.len[s], low = args.mask_lo[s], high = args.mask_hi[s];
  for (uint32_t i = (uint32_t)sp_lane(); i < room; i += 32) {
    int32_t id = args.pad_id;
    if (i < len) {
      id = i >= low && i < high ? args.mask_id : base[i];
    }
    args.ids[start + i] = id;
    args.positions[start + i] = i < len ? i : 0;
  }
}

}  // namespace

cudaError_t sp_cuda_expand(cudaStream_t stream, const sp_expand_args *args) {
  if (args->sequences == 0) {
    return cudaSuccess;
  }
  return SP_LAUNCH(expand, sp_blocks(args->sequences, kWarps), kWarps * 32, 0, stream, *args);
}
