#include "wordpiece.h"

#include <stdlib.h>
#include <string.h>

enum {
  cache_bits = 14,
  cache_slots = 1 << cache_bits,
  cache_max_words = cache_slots / 2,
  cache_pool = 1 << 20, /* bytes of words and ids */
  cache_max_word = 255  /* bytes; longer words are not kept */
};

struct slot {
  uint64_t hash;
  uint32_t ids; /* offset in pool of the ids, the word's bytes behind them */
  uint8_t len;  /* of the word in bytes; 0: free */
  uint8_t n;
};

struct sp_word_cache {
  struct slot slots[cache_slots];
  size_t words, used;
  unsigned char pool[cache_pool];
};

enum sp_status sp_word_cache_create(struct sp_word_cache **out, struct sp_error *err) {
  *out = calloc(1, sizeof **out);
  return *out ? SP_OK : sp_fail_memory(err, sizeof **out);
}

void sp_word_cache_destroy(struct sp_word_cache *cache) {
  free(cache);
}

/* The slot that has the word, or the free one where it belongs. */
static struct slot *find_slot(struct sp_word_cache *cache, struct sp_word word) {
  size_t at = (size_t)(sp_vocab_hash_end(word.hash) >> (64 - cache_bits));
  for (;; at = (at + 1) % cache_slots) {
    struct slot *slot = &cache->slots[at];
    if (slot->len == 0 || (slot->hash == word.hash && slot->len == word.text.len &&
                           memcmp(cache->pool + slot->ids + slot->n * sizeof(int32_t),
                                  word.text.data, word.text.len) == 0)) {
      return slot;
    }
  }
}

static void keep(struct sp_word_cache *cache, struct sp_word word, const int32_t *ids, size_t n) {
  size_t bytes = n * sizeof *ids + word.text.len;
  bytes = (bytes + 3) / 4 * 4;
  if (cache->words == cache_max_words || bytes > cache_pool - cache->used) {
    memset(cache->slots, 0, sizeof cache->slots);
    cache->words = cache->used = 0;
  }
  struct slot *slot = find_slot(cache, word);
  *slot = (struct slot){word.hash, (uint32_t)cache->used, (uint8_t)word.text.len, (uint8_t)n};
  memcpy(cache->pool + cache->used, ids, n * sizeof *ids);
  memcpy(cache->pool + cache->used + n * sizeof *ids, word.text.data, word.text.len);
  cache->used += bytes;
  cache->words++;
}

static bool too_long(const struct sp_wordpiece *wordpiece, struct sp_text word) {
  if (word.len <= wordpiece->max_chars) {
    return false;
  }
  size_t chars = 0;
  for (size_t i = 0; i < word.len && chars <= wordpiece->max_chars; i++) {
    chars += ((unsigned char)word.data[i] & 0xc0) != 0x80;
  }
  return chars > wordpiece->max_chars;
}

/* The longest piece at the start of `rest`: its id, or -1. Tries every end between characters. */
static int32_t longest_piece(const struct sp_vocab *vocab, unsigned continuation,
                             struct sp_text rest, size_t *len) {
  uint64_t hash = vocab->seed[continuation];
  size_t most = rest.len < vocab->longest[continuation] ? rest.len : vocab->longest[continuation];
  int32_t best = -1;
  for (size_t i = 0; i < most; i++) {
    hash = sp_vocab_hash_byte(hash, (unsigned char)rest.data[i]);
    bool whole = i + 1 == rest.len || ((unsigned char)rest.data[i + 1] & 0xc0) != 0x80;
    int32_t id = whole ? sp_vocab_lookup(vocab, continuation, rest.data, i + 1, hash) : -1;
    if (id >= 0) {
      best = id;
      *len = i + 1;
    }
  }
  return best;
}

static size_t spell(const struct sp_wordpiece *wordpiece, struct sp_text rest, int32_t *ids) {
  size_t n = 0;
  bool fails = too_long(wordpiece, rest);
  while (!fails && rest.len > 0) {
    size_t len = 0;
    int32_t id = longest_piece(wordpiece->vocab, n > 0, rest, &len);
    fails = id < 0;
    if (!fails) {
      ids[n++] = id;
      rest.data += len;
      rest.len -= len;
    }
  }
  if (fails) {
    ids[0] = wordpiece->unk;
    n = wordpiece->unk >= 0;
  }
  return n;
}

size_t sp_wordpiece_spell(const struct sp_wordpiece *wordpiece, struct sp_word_cache *cache,
                          struct sp_word word, int32_t *ids) {
  if (word.text.len <= wordpiece->max_chars) {
    int32_t id = sp_vocab_lookup(wordpiece->vocab, 0, word.text.data, word.text.len, word.hash);
    if (id >= 0) {
      ids[0] = id;
      return 1;
    }
  }
  if (!cache || word.text.len > cache_max_word) {
    return spell(wordpiece, word.text, ids);
  }
  const struct slot *slot = find_slot(cache, word);
  if (slot->len) {
    memcpy(ids, cache->pool + slot->ids, slot->n * sizeof *ids);
    return slot->n;
  }
  size_t n = spell(wordpiece, word.text, ids);
  keep(cache, word, ids, n);
  return n;
}
