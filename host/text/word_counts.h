/* word_counts.h - how often each word comes, in bounded memory.
 *
 * Exact up to SP_WORD_COUNTS_MAX different words (about 0.5 GiB).  Beyond it words seen once are forgotten,
 * then words seen twice and so on, until half the room is free: rare words that come again later are
 * undercounted by what was forgotten of them, at most `floor` each time. */
#ifndef SP_TEXT_WORD_COUNTS_H
#define SP_TEXT_WORD_COUNTS_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_WORD_COUNTS_MAX ((size_t)1 << 23)

struct sp_word_count {
  size_t start; /* of its bytes */
  uint32_t len;
  uint32_t hash;
  uint64_t count;
};

struct sp_word_counts {
  size_t max;            /* SP_WORD_COUNTS_MAX, or less for tests */
  struct sp_buf bytes;   /* of all words */
  struct sp_buf entries; /* struct sp_word_count, by first appearance */
  size_t n;
  uint32_t *slots; /* (capacity) 1 + index of an entry; 0: free */
  size_t capacity; /* a power of two */
  uint64_t words;  /* all that were added */
  uint64_t floor;  /* counts up to this were forgotten at least once; 0: none were */
};

void sp_word_counts_init(struct sp_word_counts *counts, size_t max);
void sp_word_counts_release(struct sp_word_counts *counts);
/* Counts the word `times` times; `hash` is any function of its bytes.  *index, where it is not NULL, is its
 * entry, which moves when words are forgotten. */
SP_MUST_CHECK enum sp_status sp_word_counts_add(struct sp_word_counts *counts, struct sp_text word,
                                                uint64_t hash, uint64_t times, size_t *index,
                                                struct sp_error *err);

static inline const struct sp_word_count *sp_word_count_at(const struct sp_word_counts *counts,
                                                           size_t i) {
  return (const struct sp_word_count *)counts->entries.data + i;
}
static inline struct sp_text sp_word_counts_text(const struct sp_word_counts *counts, size_t i) {
  const struct sp_word_count *entry = sp_word_count_at(counts, i);
  struct sp_text text = {counts->bytes.data + entry->start, entry->len};
  return text;
}

#ifdef __cplusplus
}
#endif
#endif
