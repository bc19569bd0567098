/* mask.c - the words of a mask policy: bit j of row i says that i sees j.
 *
 * Shapes    mask, a sequence: key_len rows of ceil(key_len / 64) words; gate (T, reach) f32
 * Numerics  a gate opens where g >= 0, on f32 logits, never on a rounded sigmoid; NaN keeps it shut
 * Bound     memory: a word written for 64 keys */
#include <string.h>

#include "device.h"

/* Sets bits [0, n) of the row. */
static void set_first(uint64_t *row, size_t n) {
  memset(row, 0xff, n / 64 * sizeof *row);
  if (n % 64 != 0) {
    row[n / 64] = (UINT64_C(1) << n % 64) - 1;
  }
}

/* Keys that row i sees from the first on without a gap. */
static size_t prefix_of(const struct sp_mask_args *args, size_t i, size_t len) {
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

static void write_row(const struct sp_mask_args *args, size_t token, size_t i, size_t len,
                      uint64_t *row) {
  set_first(row, prefix_of(args, i, len));
  if (args->policy == SP_MASK_DYNAMIC) {
    const float *gate = args->gate + token * args->reach;
    for (size_t r = 1; r <= args->reach && i + r < len; r++) {
      row[(i + r) / 64] |= (uint64_t)(gate[r - 1] >= 0.0f) << (i + r) % 64;
    }
  }
}

enum sp_status sp_cpu_mask(struct sp_stream *stream, const struct sp_mask_args *args,
                           struct sp_error *err) {
  (void)stream;
  (void)err;
  for (size_t s = 0; s < args->sequences; s++) {
    size_t len = args->key_len[s], words = (len + 63) / 64;
    for (size_t i = 0; i < len; i++) {
      uint64_t *row = args->mask + args->mask_start[s] + i * words;
      memset(row, 0, words * sizeof *row);
      write_row(args, args->key_start[s] + i, i, len, row);
    }
  }
  return SP_OK;
}
