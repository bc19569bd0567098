#include "words.h"

#include "utf8.h"
#include "vocab.h"

enum kind { WORD, SPACE, PUNCT, MANY }; /* MANY: first byte of a longer sequence */

/* The ASCII part of unicode_bert.inc as a table; a test holds the two together. */
static enum kind kind_of(unsigned char c) {
  static const unsigned char kinds[256] = {
      ['\t'] = SPACE,        ['\n'] = SPACE,        ['\v'] = SPACE,         ['\f'] = SPACE,
      ['\r'] = SPACE,        [' '] = SPACE,         ['!' ... '/'] = PUNCT,  [':' ... '@'] = PUNCT,
      ['[' ... '`'] = PUNCT, ['{' ... '~'] = PUNCT, [0x80 ... 0xff] = MANY,
  };
  return (enum kind)kinds[c];
}

/* Kind and width in bytes of the character at `at`. */
static inline enum kind look(const struct sp_word_cursor *cursor, const char *at, size_t *wide) {
  enum kind kind = kind_of((unsigned char)*at);
  *wide = 1;
  if (kind == MANY) {
    uint32_t code;
    *wide = sp_utf8_decode((const unsigned char *)at, (size_t)(cursor->end - at), &code);
    unsigned flags = sp_unicode_flags(cursor->unicode, code);
    kind = flags & SP_CHAR_SPACE ? SPACE : flags & SP_CHAR_PUNCT ? PUNCT : WORD;
  }
  return kind;
}

static inline uint64_t hash_bytes(uint64_t hash, const char *at, size_t n) {
  for (size_t i = 0; i < n; i++) {
    hash = sp_vocab_hash_byte(hash, (unsigned char)at[i]);
  }
  return hash;
}

bool sp_next_word(struct sp_word_cursor *cursor, struct sp_word *word) {
  const char *at = cursor->at, *end = cursor->end;
  uint64_t hash = cursor->seed;
  size_t wide = 0;
  enum kind kind = SPACE;
  while (at < end && (kind = look(cursor, at, &wide)) == SPACE) {
    at += wide;
  }
  const char *start = at;
  while (at < end && (kind = look(cursor, at, &wide)) == WORD) {
    hash = hash_bytes(hash, at, wide);
    at += wide;
  }
  if (at == start && at < end && kind == PUNCT) {
    hash = hash_bytes(hash, at, wide);
    at += wide;
  }
  cursor->at = at;
  word->text = (struct sp_text){start, (size_t)(at - start)};
  word->hash = hash;
  return at > start;
}
