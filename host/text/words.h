/* words.h - BertPreTokenizer: white space parts words, each punctuation character is one. */
#ifndef SP_TEXT_WORDS_H
#define SP_TEXT_WORDS_H

#include "buf.h"
#include "unicode_bert.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_word_cursor {
  const struct sp_unicode *unicode;
  const char *at, *end;
  uint64_t seed; /* hash of an empty word, see vocab.h */
};

struct sp_word {
  struct sp_text text; /* a part of the cursor's text */
  uint64_t hash;       /* sp_vocab_hash_byte over it */
};

/* The next word of normalised, well-formed text; false at the end. */
bool sp_next_word(struct sp_word_cursor *cursor, struct sp_word *word);

#ifdef __cplusplus
}
#endif
#endif
