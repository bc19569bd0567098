/* text_words.h - the words of a text: what Unicode's white space parts. The same for error rates, for
 * the insertion bonus and for length norms. Texts are valid UTF-8. */
#ifndef SP_RESCORE_TEXT_WORDS_H
#define SP_RESCORE_TEXT_WORDS_H

#include <string.h>

#include "buf.h"
#include "unicode_class.h"
#include "utf8.h"

/* The first byte from `at` on that may end a word: up to a space, or not ASCII. */
static inline size_t sp_skip_plain(const char *data, size_t n, size_t at) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
  for (; at + 8 <= n; at += 8) {
    uint64_t eight;
    memcpy(&eight, data + at, 8);
    uint64_t stop = ((eight - ones * 0x21) | eight) & tops; /* the lowest one set is right */
    if (stop) {
      return at + (size_t)__builtin_ctzll(stop) / 8;
    }
  }
#endif
  while (at < n && (unsigned char)data[at] > ' ' && (unsigned char)data[at] < 0x80) {
    at++;
  }
  return at;
}

enum sp_look { SP_LOOK_PLAIN, SP_LOOK_SPACE, SP_LOOK_CJK };

static inline enum sp_look sp_look(const char *data, size_t n, bool mixed, size_t *wide) {
  unsigned char c = (unsigned char)data[0];
  *wide = 1;
  if (c < 0x80) {
    return sp_is_ascii_space(c) ? SP_LOOK_SPACE : SP_LOOK_PLAIN;
  }
  uint32_t code;
  *wide = sp_utf8_decode((const unsigned char *)data, n, &code);
  return sp_is_space(code) ? SP_LOOK_SPACE : mixed && sp_is_cjk(code) ? SP_LOOK_CJK : SP_LOOK_PLAIN;
}

/* The next word from *at on, or CJK character when `mixed`; empty at the end. */
static inline struct sp_text sp_next_word(struct sp_text text, bool mixed, size_t *at) {
  size_t i = *at, wide = 0;
  enum sp_look kind = SP_LOOK_SPACE;
  while (i < text.len &&
         (kind = sp_look(text.data + i, text.len - i, mixed, &wide)) == SP_LOOK_SPACE) {
    i += wide;
  }
  size_t start = i;
  if (i < text.len && kind == SP_LOOK_CJK) {
    i += wide;
  } else {
    while ((i = sp_skip_plain(text.data, text.len, i)) < text.len &&
           sp_look(text.data + i, text.len - i, mixed, &wide) == SP_LOOK_PLAIN) {
      i += wide;
    }
  }
  *at = i;
  return (struct sp_text){text.data + start, i - start};
}

static inline size_t sp_count_words(struct sp_text text) {
  size_t n = 0, at = 0;
  while (sp_next_word(text, false, &at).len > 0) {
    n++;
  }
  return n;
}

#endif
