/* buf.h - a growing byte buffer with a ceiling, and a text view.
 *
 * struct sp_buf owns its memory; sp_buf_release frees it and makes the struct reusable.  A buffer
 * never grows beyond `ceiling`; 0 stands for SP_BUF_CEILING.  data is always followed by
 * SP_BUF_PADDING readable bytes, so that SIMD parsers may read past the end. */
#ifndef SP_BASE_BUF_H
#define SP_BASE_BUF_H

#include "status.h"

#define SP_BUF_CEILING ((size_t)1 << 32)
#define SP_BUF_PADDING 64

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes owned by somebody else; not terminated by NUL. */
struct sp_text {
  const char *data;
  size_t len;
};

struct sp_buf {
  char *data;
  size_t len;
  size_t capacity;
  size_t ceiling;
};

void sp_buf_release(struct sp_buf *buf);
static inline void sp_buf_clear(struct sp_buf *buf) { buf->len = 0; }

/* Makes room for `extra` bytes beyond len. */
SP_MUST_CHECK enum sp_status sp_buf_reserve(struct sp_buf *buf, size_t extra, struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_buf_append(struct sp_buf *buf, const void *data, size_t len,
                                           struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_buf_printf(struct sp_buf *buf, struct sp_error *err,
                                           const char *format, ...) SP_PRINTF(3, 4);
/* Appends a NUL that len does not count and returns data, or NULL when out of memory. */
const char *sp_buf_cstr(struct sp_buf *buf);

static inline bool sp_text_equal(struct sp_text a, struct sp_text b) {
  return a.len == b.len && (a.len == 0 || __builtin_memcmp(a.data, b.data, a.len) == 0);
}

#define SP_TEXT_LITERAL(s) ((struct sp_text){s, sizeof(s) - 1})

#ifdef __cplusplus
}
#endif
#endif
