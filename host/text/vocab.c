#include "vocab.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "checked.h"

/* At half load a run of occupied slots is a few dozen long: this many means a made-up vocabulary. */
enum { max_probes = 1 << 12 };

void sp_vocab_release(struct sp_vocab *vocab) {
  sp_buf_release(&vocab->bytes);
  free(vocab->offsets);
  free(vocab->slots);
  memset(vocab, 0, sizeof *vocab);
}

static enum sp_status grow(struct sp_vocab *vocab, struct sp_error *err) {
  size_t capacity = vocab->capacity ? vocab->capacity * 2 : 1024;
  uint32_t *offsets = realloc(vocab->offsets, sp_mul_sat(capacity + 1, sizeof *offsets));
  if (!offsets) {
    return sp_fail_memory(err, capacity * sizeof *offsets);
  }
  offsets[0] = 0;
  vocab->offsets = offsets;
  vocab->capacity = capacity;
  return SP_OK;
}

enum sp_status sp_vocab_add(struct sp_vocab *vocab, struct sp_text piece, struct sp_error *err) {
  if (vocab->n == SP_VOCAB_MAX_PIECES) {
    return sp_fail(err, SP_EMODEL, "a vocabulary of more than %zu pieces", SP_VOCAB_MAX_PIECES);
  }
  if (piece.len > SP_VOCAB_MAX_BYTES - vocab->bytes.len) {
    return sp_fail(err, SP_EMODEL, "a vocabulary of more than %zu bytes", SP_VOCAB_MAX_BYTES);
  }
  if (vocab->n == vocab->capacity) {
    SP_TRY(grow(vocab, err));
  }
  SP_TRY(sp_buf_append(&vocab->bytes, piece.data, piece.len, err));
  vocab->offsets[++vocab->n] = (uint32_t)vocab->bytes.len;
  return SP_OK;
}

struct sp_text sp_vocab_piece(const struct sp_vocab *vocab, size_t id) {
  if (id >= vocab->n) {
    return (struct sp_text){"", 0};
  }
  uint32_t start = vocab->offsets[id];
  return (struct sp_text){vocab->bytes.data + start, vocab->offsets[id + 1] - start};
}

static bool is_continuation(struct sp_text piece) {
  return piece.len > 2 && piece.data[0] == '#' && piece.data[1] == '#';
}

static uint64_t hash_key(const struct sp_vocab *vocab, unsigned continuation, struct sp_text key) {
  uint64_t hash = vocab->seed[continuation];
  for (size_t i = 0; i < key.len; i++) {
    hash = sp_vocab_hash_byte(hash, (unsigned char)key.data[i]);
  }
  return hash;
}

static enum sp_status insert(struct sp_vocab *vocab, size_t id, struct sp_error *err) {
  struct sp_text key = sp_vocab_piece(vocab, id);
  unsigned continuation = is_continuation(key);
  key.data += 2 * continuation;
  key.len -= 2 * continuation;
  uint64_t hash = hash_key(vocab, continuation, key);
  uint64_t end = sp_vocab_hash_end(hash);
  size_t mask = ((size_t)1 << (64 - vocab->shift)) - 1, at = (size_t)(end >> vocab->shift);
  int32_t same = sp_vocab_lookup(vocab, continuation, key.data, key.len, hash);
  uint32_t same_entry = same < 0 ? 0 : (uint32_t)same * 2 + continuation + 1;
  for (size_t probes = 0; vocab->slots[at].entry != same_entry; at = (at + 1) & mask) {
    if (++probes == max_probes) {
      return sp_fail(err, SP_EMODEL, "piece %zu: too many pieces hash alike", id);
    }
  }
  vocab->slots[at].tag = (uint32_t)end;
  vocab->slots[at].entry = (uint32_t)id * 2 + continuation + 1;
  vocab->longest[continuation] = sp_max_size(vocab->longest[continuation], key.len);
  return SP_OK;
}

enum sp_status sp_vocab_index(struct sp_vocab *vocab, struct sp_error *err) {
  unsigned bits = 6;
  while (((size_t)1 << bits) < 2 * vocab->n) {
    bits++;
  }
  vocab->slots = calloc((size_t)1 << bits, sizeof *vocab->slots);
  if (!vocab->slots) {
    return sp_fail_memory(err, sizeof *vocab->slots << bits);
  }
  vocab->shift = 64 - bits;
  /* Seeds that depend on every byte: collisions cannot be made up without knowing them. */
  vocab->seed[0] = XXH3_64bits(vocab->bytes.data, vocab->bytes.len) | 1;
  vocab->seed[1] = ~vocab->seed[0] * 0xd6e8feb86659fd93u;
  for (size_t id = 0; id < vocab->n; id++) {
    if (sp_vocab_piece(vocab, id).len > 0) { /* an empty piece never matches */
      SP_TRY(insert(vocab, id, err));
    }
  }
  return SP_OK;
}

int32_t sp_vocab_find(const struct sp_vocab *vocab, struct sp_text piece) {
  if (piece.len == 0) {
    return -1;
  }
  unsigned continuation = is_continuation(piece);
  piece.data += 2 * continuation;
  piece.len -= 2 * continuation;
  return sp_vocab_lookup(vocab, continuation, piece.data, piece.len,
                         hash_key(vocab, continuation, piece));
}
