#include "word_counts.h"

#include <stdlib.h>
#include <string.h>

#include "checked.h"

void sp_word_counts_init(struct sp_word_counts *counts, size_t max) {
  *counts = (struct sp_word_counts){.max = max};
}

void sp_word_counts_release(struct sp_word_counts *counts) {
  sp_buf_release(&counts->bytes);
  sp_buf_release(&counts->entries);
  free(counts->slots);
  sp_word_counts_init(counts, counts->max);
}

static struct sp_word_count *entry_at(struct sp_word_counts *counts, size_t i) {
  return (struct sp_word_count *)counts->entries.data + i;
}

/* Where the word is, or the free slot where it belongs. */
static size_t find_slot(struct sp_word_counts *counts, struct sp_text word, uint32_t hash) {
  size_t mask = counts->capacity - 1, at = hash & mask;
  for (; counts->slots[at]; at = (at + 1) & mask) {
    size_t i = counts->slots[at] - 1;
    if (entry_at(counts, i)->hash == hash && sp_text_equal(sp_word_counts_text(counts, i), word)) {
      break;
    }
  }
  return at;
}

static enum sp_status rebuild(struct sp_word_counts *counts, size_t capacity,
                              struct sp_error *err) {
  if (capacity > counts->capacity) {
    uint32_t *slots = realloc(counts->slots, sp_mul_sat(capacity, sizeof *slots));
    if (!slots) {
      return sp_fail_memory(err, sp_mul_sat(capacity, sizeof *slots));
    }
    counts->slots = slots;
    counts->capacity = capacity;
  }
  memset(counts->slots, 0, counts->capacity * sizeof *counts->slots);
  for (size_t i = 0; i < counts->n; i++) {
    size_t at = entry_at(counts, i)->hash & (counts->capacity - 1);
    while (counts->slots[at]) {
      at = (at + 1) & (counts->capacity - 1);
    }
    counts->slots[at] = (uint32_t)i + 1;
  }
  return SP_OK;
}

/* Drops words of at most `floor`, the others move up. */
static void drop(struct sp_word_counts *counts, uint64_t floor) {
  size_t kept = 0, bytes = 0;
  for (size_t i = 0; i < counts->n; i++) {
    struct sp_word_count entry = *entry_at(counts, i);
    if (entry.count > floor) {
      memmove(counts->bytes.data + bytes, counts->bytes.data + entry.start, entry.len);
      entry.start = bytes;
      bytes += entry.len;
      *entry_at(counts, kept++) = entry;
    }
  }
  counts->n = kept;
  counts->entries.len = kept * sizeof(struct sp_word_count);
  counts->bytes.len = bytes;
}

static enum sp_status make_room(struct sp_word_counts *counts, struct sp_error *err) {
  if (counts->n < counts->max) {
    return rebuild(counts, sp_max_size(1024, 2 * counts->capacity), err);
  }
  for (uint64_t floor = 1; counts->n > counts->max / 2; floor++) {
    drop(counts, floor);
    counts->floor = floor > counts->floor ? floor : counts->floor;
  }
  return rebuild(counts, counts->capacity, err);
}

enum sp_status sp_word_counts_add(struct sp_word_counts *counts, struct sp_text word, uint64_t hash,
                                  uint64_t times, size_t *index, struct sp_error *err) {
  uint32_t tag = (uint32_t)((hash ^ hash >> 32) * 0x9e3779b97f4a7c15u >> 32);
  size_t at = counts->capacity ? find_slot(counts, word, tag) : 0;
  if (!counts->capacity || !counts->slots[at]) {
    struct sp_word_count entry = {0, (uint32_t)word.len, tag, 0};
    if (counts->n == counts->max || 2 * counts->n >= counts->capacity) {
      SP_TRY(make_room(counts, err));
      at = find_slot(counts, word, tag);
    }
    entry.start = counts->bytes.len;
    SP_TRY(sp_buf_append(&counts->bytes, word.data, word.len, err));
    SP_TRY(sp_buf_append(&counts->entries, &entry, sizeof entry, err));
    counts->slots[at] = (uint32_t)++counts->n;
  }
  entry_at(counts, counts->slots[at] - 1)->count += times;
  counts->words += times;
  if (index) {
    *index = counts->slots[at] - 1;
  }
  return SP_OK;
}
