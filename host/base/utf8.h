/* utf8.h - one code point at a time.
 *
 * Decoding never fails: a byte that is no part of a well-formed sequence counts as one U+FFFD, each
 * such byte by itself. Overlong forms, surrogates and values over U+10FFFF are not well formed. */
#ifndef SP_BASE_UTF8_H
#define SP_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define SP_UTF8_REPLACEMENT 0xfffdu

/* Bytes of the well-formed sequence at `s`, n > 0 bytes long; 0 when there is none. */
static inline size_t sp_utf8_sequence(const unsigned char *s, size_t n, uint32_t *code) {
  static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
  if (s[0] < 0x80) {
    *code = s[0];
    return 1;
  }
  size_t wide = s[0] >= 0xf0 && s[0] < 0xf8 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc0 ? 2 : 0;
  if (wide == 0 || s[0] >= 0xf8 || wide > n) {
    return 0;
  }
  uint32_t value = s[0] & (0x7fu >> wide);
  for (size_t i = 1; i < wide; i++) {
    if ((s[i] & 0xc0) != 0x80) {
      return 0;
    }
    value = value << 6 | (s[i] & 0x3fu);
  }
  if (value < least[wide] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) {
    return 0;
  }
  *code = value;
  return wide;
}

/* Decodes at `s`, n > 0 bytes long; returns the bytes used. */
static inline size_t sp_utf8_decode(const unsigned char *s, size_t n, uint32_t *code) {
  size_t wide = sp_utf8_sequence(s, n, code);
  if (wide == 0) {
    *code = SP_UTF8_REPLACEMENT;
    return 1;
  }
  return wide;
}

/* Writes 1 to 4 bytes and returns how many. */
static inline size_t sp_utf8_encode(uint32_t code, char *out) {
  if (code < 0x80) {
    out[0] = (char)code;
    return 1;
  }
  if (code < 0x800) {
    out[0] = (char)(0xc0 | code >> 6);
    out[1] = (char)(0x80 | (code & 0x3f));
    return 2;
  }
  if (code < 0x10000) {
    out[0] = (char)(0xe0 | code >> 12);
    out[1] = (char)(0x80 | (code >> 6 & 0x3f));
    out[2] = (char)(0x80 | (code & 0x3f));
    return 3;
  }
  out[0] = (char)(0xf0 | code >> 18);
  out[1] = (char)(0x80 | (code >> 12 & 0x3f));
  out[2] = (char)(0x80 | (code >> 6 & 0x3f));
  out[3] = (char)(0x80 | (code & 0x3f));
  return 4;
}

#endif
