/* mask_word.cuh - one word of a row of a mask policy, for the kernels that write masks. */
#ifndef SP_CUDA_MASK_WORD_CUH
#define SP_CUDA_MASK_WORD_CUH

#include "backend.h"
#include "simt.cuh"

/* Keys [low, end) as bits of the word of keys [first, first + 64). */
SP_DEVICE uint64_t sp_range_word(size_t first, size_t low, size_t end) {
  low = low > first ? low - first : 0;
  end = end > first ? end - first : 0;
  if (low >= 64 || low >= end) {
    return 0;
  }
  return (end >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << end) - 1) & ~(uint64_t)0 << low;
}

/* The end of the keys that position i sees without a gap. */
SP_DEVICE size_t sp_mask_end(const sp_mask_args &args, size_t i, size_t len) {
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

/* The keys beyond position i that its scheduler bits name. */
SP_DEVICE uint64_t sp_lookahead_word(size_t first, size_t i, uint32_t bits) {
  if (i + 1 >= first) {
    return i + 1 - first < 64 ? (uint64_t)bits << (i + 1 - first) : 0;
  }
  return first - i - 1 < 32 ? (uint64_t)bits >> (first - i - 1) : 0;
}

/* Keys [first, first + 64) of the row of position i; `bits` are looked at where the policy is
 * dynamic. */
SP_DEVICE uint64_t sp_mask_word(const sp_mask_args &args, size_t i, size_t len, size_t keys,
                                uint32_t bits, size_t first) {
  const size_t exempt = args.exempt_last ? len - 1 : 0;
  const uint64_t inside = sp_range_word(first, 0, keys);
  if (args.exempt != SP_EXEMPT_NONE && i == exempt) {
    return inside;
  }
  const size_t low = args.policy != SP_MASK_FULL && i > args.left ? i - args.left : 0;
  uint64_t word = sp_range_word(first, low, sp_mask_end(args, i, len));
  if (args.policy == SP_MASK_DYNAMIC) {
    word |= sp_lookahead_word(first, i, bits);
  }
  if (args.exempt == SP_EXEMPT_HIDDEN) {
    word &= ~sp_range_word(first, exempt, exempt + 1);
  }
  return word & inside;
}

#endif
