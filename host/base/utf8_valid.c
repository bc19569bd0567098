#include "utf8_valid.h"

#include <stdint.h>
#include <string.h>

/* Length of the character at s, 0 when it is not valid; `left` > 0 bytes are readable. */
static size_t character(const unsigned char *s, size_t left) {
  static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3
               : s[0] < 0xf5 ? 4 : 0;
  if (len < 2 || len > left) {
    return len == 1 ? 1 : 0;
  }
  uint32_t code = s[0] & (0x7fu >> len);
  for (size_t i = 1; i < len; i++) {
    if ((s[i] & 0xc0) != 0x80) {
      return 0;
    }
    code = code << 6 | (s[i] & 0x3fu);
  }
  bool surrogate = code >= 0xd800 && code <= 0xdfff;
  return code >= smallest[len] && code <= 0x10ffff && !surrogate ? len : 0;
}

size_t sp_utf8_valid_prefix(struct sp_text text) {
  const unsigned char *s = (const unsigned char *)text.data;
  size_t at = 0;
  while (at < text.len) {
    uint64_t eight;
    if (text.len - at >= 8) {
      memcpy(&eight, s + at, 8);
      if ((eight & 0x8080808080808080u) == 0) {
        at += 8;
        continue;
      }
    }
    size_t len = character(s + at, text.len - at);
    if (len == 0) {
      break;
    }
    at += len;
  }
  return at;
}
