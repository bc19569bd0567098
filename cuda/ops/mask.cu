/* mask.cu - the words of a mask policy: bit j of row i says that i sees j.      twin: cpu/mask.c
 *
 * Maths     mask_word.cuh; see enum sp_mask_policy
 * Layout    a warp a sequence, four to a block; a lane makes one word of one row after the other
 * Numerics  none
 * Bound     memory: a word written for 64 keys */
#include "mask_word.cuh"
#include "ops.h"
#include "wide.cuh"

namespace {

enum { kWarps = 4 };

__global__ void __launch_bounds__(kWarps * 32) mask(sp_mask_args args) {
  size_t s = (size_t)blockIdx.x * kWarps + (size_t)sp_warp();
  if (s >= args.sequences) {
    return;
  }
  size_t row0 = args.row_start[s], rows = args.row_start[s + 1] - row0;
  size_t len = args.len[s], keys = args.key_len[s], words = (keys + 63) / 64;
  uint64_t *out = args.mask + args.mask_start[s];
  for (size_t at = (size_t)sp_lane(); at < rows * words; at += 32) {
    size_t row = row0 + at / words;
    uint32_t bits = 0;
    if (args.policy == SP_MASK_DYNAMIC) {
      bits = args.bits[args.bits_row ? args.bits_row[row] : row];
    }
    out[at] = sp_mask_word(args, args.row_position[row], len, keys, bits, at % words * 64);
  }
}

}  // namespace

cudaError_t sp_cuda_mask(cudaStream_t stream, const sp_mask_args *args) {
  if ((args->policy == SP_MASK_CHUNKED && args->reach == 0) ||
      (args->policy == SP_MASK_DYNAMIC && args->reach > SP_MAX_REACH)) {
    return cudaErrorInvalidValue;
  }
  if (args->sequences == 0) {
    return cudaSuccess;
  }
  return SP_LAUNCH(mask, sp_blocks(args->sequences, kWarps), kWarps * 32, 0, stream, *args);
}
