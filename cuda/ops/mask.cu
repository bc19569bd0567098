/* mask.cu - the words of a mask policy: bit j of row i says that i sees j.      twin: cpu/mask.c
 *
 * Maths     row i sees a prefix: full len, causal i + 1, layerwise i + 1 + reach, chunked to its
 *           chunk's end, none beyond len; dynamic besides i + r where gate[i][r - 1] >= 0
 * Layout    a warp a sequence, four to a block; a lane makes one word of one row after the other
 * Numerics  gates are f32 and open at 0 and above; NaN keeps one shut
 * Bound     memory: a word written for 64 keys, and the gates read once */
#include "ops.h"
#include "wide.cuh"

namespace {

enum { kWarps = 4 };

/* Keys that row i < len sees from the first on without a gap. */
SP_DEVICE size_t prefix_of(const sp_mask_args &args, size_t i, size_t len) {
  size_t seen = i + 1;
  if (args.policy == SP_MASK_FULL) {
    return len;
  }
  if (args.policy == SP_MASK_LAYERWISE) {
    return args.reach < len - seen ? seen + args.reach : len;
  }
  if (args.policy == SP_MASK_CHUNKED) {
    size_t first = i / args.reach * args.reach;
    return args.reach < len - first ? first + args.reach : len;
  }
  return seen;
}

/* Bits [first, first + 64) of [0, n). */
SP_DEVICE uint64_t prefix_word(size_t first, size_t n) {
  if (n <= first) {
    return 0;
  }
  return n - first >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << (n - first)) - 1;
}

/* The keys of [first, first + 64) whose gates are open, beyond row i. */
SP_DEVICE uint64_t gated_word(const sp_mask_args &args, size_t token, size_t i, size_t len,
                              size_t first) {
  const float *gate = args.gate + token * args.reach;
  size_t low = first > i ? first : i + 1;
  size_t end = first + 64 < len ? first + 64 : len;
  if (low >= end) {
    return 0;
  }
  end = args.reach < end - i - 1 ? i + 1 + args.reach : end;
  uint64_t word = 0;
  for (size_t j = low; j < end; j++) {
    word |= (uint64_t)(gate[j - i - 1] >= 0.0f) << (j - first);
  }
  return word;
}

__global__ void __launch_bounds__(kWarps * 32) mask(sp_mask_args args) {
  size_t s = (size_t)blockIdx.x * kWarps + (size_t)sp_warp();
  if (s >= args.sequences) {
    return;
  }
  size_t len = args.key_len[s], words = (len + 63) / 64;
  uint64_t *out = args.mask + args.mask_start[s];
  for (size_t at = (size_t)sp_lane(); at < len * words; at += 32) {
    size_t i = at / words, first = at % words * 64;
    uint64_t word = prefix_word(first, prefix_of(args, i, len));
    if (args.policy == SP_MASK_DYNAMIC) {
      word |= gated_word(args, args.key_start[s] + i, i, len, first);
    }
    out[at] = word;
  }
}

}  // namespace

cudaError_t sp_cuda_mask(cudaStream_t stream, const sp_mask_args *args) {
  bool reaches = args->policy == SP_MASK_CHUNKED || args->policy == SP_MASK_DYNAMIC;
  if (reaches && args->reach == 0) {
    return cudaErrorInvalidValue;
  }
  if (args->sequences == 0) {
    return cudaSuccess;
  }
  return SP_LAUNCH(mask, sp_blocks(args->sequences, kWarps), kWarps * 32, 0, stream, *args);
}
