/* vocab.h - the pieces of a vocabulary, found by their bytes.
 *
 * One hash table serves two name spaces: pieces that may start a word, and what follows "##" in
 * pieces that continue one. The hash grows by one byte at a time, so that looking for the longest
 * piece at a place hashes each byte once. */
#ifndef SP_TEXT_VOCAB_H
#define SP_TEXT_VOCAB_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_VOCAB_MAX_PIECES ((size_t)1 << 24)
#define SP_VOCAB_MAX_BYTES ((size_t)1 << 30)

struct sp_vocab_slot {
  uint32_t tag;   /* lower half of the finished hash */
  uint32_t entry; /* 2 * id + continuation + 1; 0: free */
};

struct sp_vocab {
  struct sp_buf bytes; /* all pieces, one after the other */
  uint32_t *offsets;   /* (n + 1) where each piece starts in `bytes` */
  size_t n, capacity;
  size_t longest[2];           /* longest key in bytes: starts, continuations */
  struct sp_vocab_slot *slots; /* (1 << (64 - shift)) */
  unsigned shift;
  uint64_t seed[2];
};

void sp_vocab_release(struct sp_vocab *vocab);

/* Appends a piece, whose id is its rank. SP_EMODEL beyond the limits above. */
SP_MUST_CHECK enum sp_status sp_vocab_add(struct sp_vocab *vocab, struct sp_text piece,
                                          struct sp_error *err);
/* Builds the table, once. Of equal pieces the last one is found, as in the oracle. What is added
 * later has an id and can be shown, but words are not spelled with it. */
SP_MUST_CHECK enum sp_status sp_vocab_index(struct sp_vocab *vocab, struct sp_error *err);

struct sp_text sp_vocab_piece(const struct sp_vocab *vocab, size_t id);
/* The id of a whole piece ("##ing" included), or -1. */
int32_t sp_vocab_find(const struct sp_vocab *vocab, struct sp_text piece);

static inline uint64_t sp_vocab_hash_byte(uint64_t hash, unsigned char byte) {
  return (hash ^ byte) * 0x9fb21c651e98df25u;
}

static inline uint64_t sp_vocab_hash_end(uint64_t hash) {
  return (hash ^ hash >> 32) * 0x9e3779b97f4a7c15u;
}

/* Id of the key of `len` bytes whose hash, before sp_vocab_hash_end, is `hash`; or -1. */
static inline int32_t sp_vocab_lookup(const struct sp_vocab *vocab, unsigned continuation,
                                      const char *key, size_t len, uint64_t hash) {
  uint64_t end = sp_vocab_hash_end(hash);
  size_t mask = ((size_t)1 << (64 - vocab->shift)) - 1;
  for (size_t at = (size_t)(end >> vocab->shift);; at = (at + 1) & mask) {
    struct sp_vocab_slot slot = vocab->slots[at];
    if (slot.entry == 0) {
      return -1;
    }
    if (slot.tag == (uint32_t)end && ((slot.entry - 1) & 1) == continuation) {
      size_t id = (slot.entry - 1) >> 1;
      size_t start = vocab->offsets[id] + 2 * continuation;
      if (vocab->offsets[id + 1] - start == len &&
          __builtin_memcmp(vocab->bytes.data + start, key, len) == 0) {
        return (int32_t)id;
      }
    }
  }
}

#ifdef __cplusplus
}
#endif
#endif
