/* unicode_class.h - the few facts about code points that error rates need. */
#ifndef SP_RESCORE_UNICODE_CLASS_H
#define SP_RESCORE_UNICODE_CLASS_H

#include <stdbool.h>
#include <stdint.h>

static inline bool sp_is_ascii_space(unsigned char c) {
  return c == ' ' || (c >= 9 && c <= 13);
}

/* Unicode's White_Space property. */
static inline bool sp_is_space(uint32_t code) {
  if (code < 0x80) {
    return sp_is_ascii_space((unsigned char)code);
  }
  return code == 0x85 || code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) ||
         code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

/* CJK ideographs (unified, compatibility, radicals, numerals) and kana with their marks. */
bool sp_is_cjk(uint32_t code);

/* Punctuation and symbols: ASCII, Latin-1, general punctuation, CJK and full-width forms. */
bool sp_is_punctuation(uint32_t code);

/* Simple case mapping of Latin, Greek, Cyrillic, Armenian and full-width letters that have one code
 * point in each case; any other code point maps to itself. */
uint32_t sp_to_lower(uint32_t code);
uint32_t sp_to_upper(uint32_t code);

#endif
