/* mask_row.h - which keys one row sees, on the host: the policies of backend.h word by word.
 *
 * What the CPU's mask op writes and what a mask graph holds (host/model/mask_graph.h) is this. */
#ifndef SP_BACKEND_MASK_ROW_H
#define SP_BACKEND_MASK_ROW_H

#include <string.h>

#include "backend.h"

/* Sets bits [first, end) of the row, which are clear. */
static inline void sp_mask_set_range(uint64_t *row, size_t first, size_t end) {
  for (size_t w = first / 64; w * 64 < end; w++) {
    size_t low = first > w * 64 ? first - w * 64 : 0;
    size_t high = end - w * 64 < 64 ? end - w * 64 : 64;
    if (low < high) {
      row[w] |= (high == 64 ? ~UINT64_C(0) : (UINT64_C(1) << high) - 1) & ~UINT64_C(0) << low;
    }
  }
}

/* The end of the keys that row i sees without a gap. */
static inline size_t sp_mask_end(const struct sp_mask_args *args, size_t i, size_t len) {
  size_t seen = i + 1;
  if (args->policy == SP_MASK_FULL) {
    return len;
  }
  if (args->policy == SP_MASK_LAYERWISE) {
    seen = args->reach < len - seen ? seen + args->reach : len;
  } else if (args->policy == SP_MASK_CHUNKED) {
    size_t first = i / args->reach * args->reach;
    seen = args->reach < len - first ? first + args->reach : len;
  }
  return seen;
}

/* The row of position i in a sequence of `len`, as far as its `keys` first keys: ceil(keys / 64)
 * words. Of args only policy, reach, left and the exemption are read; `bits` are a dynamic row's. */
static inline void sp_mask_row(const struct sp_mask_args *args, size_t i, size_t len, size_t keys,
                               uint32_t bits, uint64_t *row) {
  size_t exempt = args->exempt_last ? len - 1 : 0;
  memset(row, 0, (keys + 63) / 64 * sizeof *row);
  if (args->exempt != SP_EXEMPT_NONE && i == exempt) {
    sp_mask_set_range(row, 0, keys);
    return;
  }
  size_t end = sp_mask_end(args, i, len);
  size_t first = args->policy != SP_MASK_FULL && i > args->left ? i - args->left : 0;
  sp_mask_set_range(row, first, end < keys ? end : keys);
  for (size_t j = i + 1; args->policy == SP_MASK_DYNAMIC && bits != 0 && j < keys; j++) {
    row[j / 64] |= (uint64_t)(bits & 1) << j % 64;
    bits >>= 1;
  }
  if (args->exempt == SP_EXEMPT_HIDDEN && exempt < keys) {
    row[exempt / 64] &= ~(UINT64_C(1) << exempt % 64);
  }
}

#endif
