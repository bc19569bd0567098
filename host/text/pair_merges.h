/* pair_merges.h - byte-pair encoding on sequences of symbols: which pair is the most frequent, and merging
 * it everywhere (Sennrich, Haddow and Birch, ACL 2016), with counts that are kept up to date.
 *
 * Flow     init; add every word; begin; best and merge in turn; release.
 * Order    of equal counts the pair with the smaller first, then the smaller second symbol is best.
 * Merging  is from left to right: a a a becomes aa a.
 * Memory   about 4 bytes a symbol, 8 a place where a pair stands, 40 a different pair. */
#ifndef SP_TEXT_PAIR_MERGES_H
#define SP_TEXT_PAIR_MERGES_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_pair {
  uint32_t a, b;
  uint64_t count; /* weighted by the words' counts */
  uint32_t place; /* 1 + its last place in `places`; 0: none */
  bool touched;   /* by the merge that goes on */
};

struct sp_pair_merges {
  struct sp_buf symbols; /* uint32_t, of all words */
  struct sp_buf words;   /* struct word of pair_merges.c */
  struct sp_buf pairs;   /* struct sp_pair */
  struct sp_buf places;  /* struct place: word, place before */
  struct sp_buf heap;    /* struct entry, the best first */
  struct sp_buf touched; /* uint32_t: pairs that the merge made or made more frequent */
  uint32_t *slots;       /* (capacity) 1 + index of a pair */
  size_t capacity;
};

void sp_pair_merges_init(struct sp_pair_merges *merges);
void sp_pair_merges_release(struct sp_pair_merges *merges);
SP_MUST_CHECK enum sp_status sp_pair_merges_add(struct sp_pair_merges *merges,
                                                const uint32_t *symbols, size_t n, uint64_t count,
                                                struct sp_error *err);
/* After the last word. */
SP_MUST_CHECK enum sp_status sp_pair_merges_begin(struct sp_pair_merges *merges,
                                                  struct sp_error *err);
/* The most frequent pair; false when there is none left. */
bool sp_pair_merges_best(struct sp_pair_merges *merges, struct sp_pair *best);
/* Puts `symbol` wherever the best pair stands. */
SP_MUST_CHECK enum sp_status sp_pair_merges_apply(struct sp_pair_merges *merges,
                                                  const struct sp_pair *best, uint32_t symbol,
                                                  struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
