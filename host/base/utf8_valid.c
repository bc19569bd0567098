#include "utf8_valid.h"

#include <string.h>

#include "utf8.h"

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
    uint32_t code;
    size_t len = sp_utf8_sequence(s + at, text.len - at, &code);
    if (len == 0) {
      break;
    }
    at += len;
  }
  return at;
}
