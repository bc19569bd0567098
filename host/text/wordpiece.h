/* wordpiece.h - one word to pieces: greedy, longest first, all or [UNK]; and a cache of words. */
#ifndef SP_TEXT_WORDPIECE_H
#define SP_TEXT_WORDPIECE_H

#include "vocab.h"
#include "words.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_wordpiece {
  const struct sp_vocab *vocab;
  int32_t unk;      /* -1: none */
  size_t max_chars; /* longer words are [UNK] */
};

/* Words that took more than one look-up, with their ids. Bounded: it starts anew when full. */
struct sp_word_cache;
SP_MUST_CHECK enum sp_status sp_word_cache_create(struct sp_word_cache **out, struct sp_error *err);
void sp_word_cache_destroy(struct sp_word_cache *cache);

/* Writes the ids of `word` to `ids`, which has room for one a byte, and returns how many; 0 when it
 * cannot be spelled and there is no [UNK]. `cache` may be NULL. */
size_t sp_wordpiece_spell(const struct sp_wordpiece *wordpiece, struct sp_word_cache *cache,
                          struct sp_word word, int32_t *ids);

#ifdef __cplusplus
}
#endif
#endif
