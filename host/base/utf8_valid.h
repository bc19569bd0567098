/* utf8_valid.h - validation of UTF-8 (RFC 3629: no overlong forms, no surrogates, up to U+10FFFF). */
#ifndef SP_BASE_UTF8_VALID_H
#define SP_BASE_UTF8_VALID_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of the valid prefix; text.len when all of it is valid. */
size_t sp_utf8_valid_prefix(struct sp_text text);

static inline bool sp_utf8_valid(struct sp_text text) {
  return sp_utf8_valid_prefix(text) == text.len;
}

#ifdef __cplusplus
}
#endif
#endif
