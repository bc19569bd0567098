/* expand.c - writes every sequence's ids with [mask] over its range, and its positions.
 *
 * Shapes    base_ids any; ids, positions (T)
 * Bound     memory: 4 bytes read and 8 written a token */
#include "device.h"

enum sp_status sp_cpu_expand(struct sp_stream *stream, const struct sp_expand_args *args,
                             struct sp_error *err) {
  (void)stream;
  (void)err;
  for (size_t s = 0; s < args->sequences; s++) {
    const int32_t *base = args->base_ids + args->base_start[s];
    uint32_t start = args->token_start[s];
    uint32_t room = args->token_start[s + 1] - start;
    for (uint32_t i = 0; i < room; i++) {
      bool inside = i < args->len[s];
      bool masked = i >= args->mask_lo[s] && i < args->mask_hi[s];
      args->ids[start + i] = !inside ? args->pad_id : masked ? args->mask_id : base[i];
      args->positions[start + i] = inside ? i : 0;
    }
  }
  return SP_OK;
}
