/* mask.c - the words of a mask policy: bit j of row i says that i sees j.
 *
 * Shapes    mask, a sequence: its rows of ceil(key_len / 64) words; bits (rows) u32
 * Bound     memory: a word written for 64 keys */
#include "device.h"
#include "mask_row.h"

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
      sp_mask_row(args, args->row_position[r], args->len[s], keys, bits, row);
    }
  }
  return SP_OK;
}
