/* suggest.h - what a user may have meant by a mistyped word. */
#ifndef SP_CLI_SUGGEST_H
#define SP_CLI_SUGGEST_H

#include <stdbool.h>
#include <stddef.h>

/* Inserted, lost, wrong and swapped neighbouring letters between two words; words over 63 letters
 * are as far apart as can be. */
size_t sp_letter_distance(const char *a, const char *b);

/* The best of a series of candidates: start with {word}, offer each, read `best` (NULL: none is
 * near). A candidate is near within a third of its length, or when the word is its beginning. */
struct sp_suggestion {
  const char *word;
  const char *best;
  size_t distance;
};
void sp_suggestion_offer(struct sp_suggestion *suggestion, const char *candidate);

#endif
