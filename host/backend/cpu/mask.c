/* mask.c - the words of a mask policy: bit j of row i says that i sees j.
 *
 * Shapes    mask, a sequence: its rows of ceil(key_len / 64) words; bits (rows) u32
 * Bound     memory: a word written for 64 keys */
#include <string.h>

#include "device.h"

/* Sets bits [first, end) of the row, which are clear. */
static void set_range(uint64_t *row, size_t first, size_t end) {
  for (size_t w = first / 64; w * 64 < end; w++) {
    size_t low = first > w * 64 ? first - w * 64 : 0;
    size_t high = end - w * 64 < 64 ? end - w * 64 : 64;
    if (low < high) {
      row[w] |= (high == 64 ? ~UINT64_C(0) : (UINT64_C(1) << high) - 1) & ~UINT64_C(0) << low;
    }
  }
}

/* The end of the keys that row i sees without a gap. */
static size_t end_of(const struct sp_mask_args *args, size_t i, size_t len) {
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

/* The row of position i in a sequence of `len`, as far as its `keys` first keys. */
static void write_row(const struct sp_mask_args *args, size_t i, size_t len, size_t keys,
                      uint32_t bits, uint64_t *row) {
  size_t exempt = args->exempt_last ? len - 1 : 0;
  memset(row, 0, (keys + 63) / 64 * sizeof *row);
  if (args->exempt != SP_EXEMPT_NONE && i == exempt) {
    set_range(row, 0, keys);
    return;
  }
  size_t end = end_of(args, i, len);
  size_t first = args->policy != SP_MASK_FULL && i > args->left ? i - args->left : 0;
  set_range(row, first, end < keys ? end : keys);
  for (size_t j = i + 1; args->policy == SP_MASK_DYNAMIC && bits != 0 && j < keys; j++) {
    row[j / 64] |= (uint64_t)(bits & 1) << j % 64;
    bits >>= 1;
  }
  if (args->exempt == SP_EXEMPT_HIDDEN && exempt < keys) {
    row[exempt / 64] &= ~(UINT64_C(1) << exempt % 64);
  }
}

enum sp_status sp_cpu_mask(struct sp_stream *stream, const struct sp_mask_args *args,
                           struct sp_error *err) {
  (void)stream;
  (void)err;
  for (size_t s = 0; s < args->sequences; s++) {
    size_t keys = args->key_len[s], words = (keys + 63) / 64;
    uint64_t *row = args->mask + args->mask_start[s];
    for (size_t r = args->row_start[s]; r < args->row_start[s + 1]; r++, row += words) {
      uint32_t bits = 0;
      if (args->policy == SP_MASK_DYNAMIC) {
        bits = args->bits[args->bits_row ? args->bits_row[r] : r];
      }
      write_row(args, args->row_position[r], args->len[s], keys, bits, row);
    }
  }
  return SP_OK;
}
