/* suggest.h - what a user may have meant by a mistyped word. */
#ifndef SP_CLI_SUGGEST_H
#define SP_CLI_SUGGEST_H

#include "buf.h"

/* The best of a series of candidates, kept by pointer: start with {word}, offer each, read `best`
 * (len 0: none is near). A candidate is near when inserted, lost, wrong and swapped neighbouring
 * letters are at most a third of its own, or when the word is its beginning; words over 63 letters
 * are never near. */
struct sp_suggestion {
  struct sp_text word;
  struct sp_text best;
  size_t distance;
};
void sp_suggestion_offer(struct sp_suggestion *suggestion, struct sp_text candidate);

static inline struct sp_text sp_word(const char *word) {
  return (struct sp_text){word, __builtin_strlen(word)};
}

#endif
