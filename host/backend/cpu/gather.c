/* gather.c - to[r] = from[index[r]].
 *
 * Shapes    from (any, row_bytes), to (R, row_bytes)
 * Bound     memory: row_bytes read and written a row */
#include <string.h>

#include "device.h"

enum sp_status sp_cpu_gather(struct sp_stream *stream, const void *from, size_t row_bytes,
                             const uint32_t *index, size_t rows, void *to, struct sp_error *err) {
  (void)stream;
  (void)err;
  for (size_t r = 0; r < rows; r++) {
    memcpy((char *)to + r * row_bytes, (const char *)from + index[r] * row_bytes, row_bytes);
  }
  return SP_OK;
}
