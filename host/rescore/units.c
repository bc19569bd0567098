#include "units.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "arena.h"
#include "whitespace.h"

struct slot {
  const char *word; /* a copy in the arena; NULL: free */
  size_t len;
  uint32_t id;
};

struct sp_units {
  struct slot *slots; /* (capacity), a power of two, at most half full */
  size_t capacity, used;
  struct sp_arena arena; /* words and lists of ids */
};

enum sp_status sp_units_create(enum sp_unit unit, struct sp_units **out, struct sp_error *err) {
  enum { first_capacity = 256 };
  *out = NULL;
  if (unit != SP_UNIT_WORD) {
    return sp_fail(err, SP_EUSAGE, "only words are counted yet");
  }
  struct sp_units *units = calloc(1, sizeof *units);
  struct slot *slots = calloc(first_capacity, sizeof *slots);
  if (!units || !slots) {
    free(units);
    free(slots);
    return sp_fail_memory(err, first_capacity * sizeof *slots);
  }
  units->slots = slots;
  units->capacity = first_capacity;
  *out = units;
  return SP_OK;
}

void sp_units_destroy(struct sp_units *units) {
  if (units) {
    sp_arena_release(&units->arena);
    free(units->slots);
    free(units);
  }
}

void sp_units_clear(struct sp_units *units) {
  memset(units->slots, 0, units->capacity * sizeof *units->slots);
  units->used = 0;
  sp_arena_clear(&units->arena);
}

/* The slot that holds the word, or the free one where it belongs. */
static struct slot *find_slot(struct slot *slots, size_t capacity, struct sp_text word) {
  size_t at = XXH3_64bits(word.data, word.len) & (capacity - 1);
  while (slots[at].word && !sp_text_equal((struct sp_text){slots[at].word, slots[at].len}, word)) {
    at = (at + 1) & (capacity - 1);
  }
  return &slots[at];
}

static enum sp_status grow(struct sp_units *units, struct sp_error *err) {
  size_t capacity = 2 * units->capacity;
  struct slot *slots = calloc(capacity, sizeof *slots);
  if (!slots) {
    return sp_fail_memory(err, capacity * sizeof *slots);
  }
  for (size_t i = 0; i < units->capacity; i++) {
    const struct slot *old = &units->slots[i];
    if (old->word) {
      *find_slot(slots, capacity, (struct sp_text){old->word, old->len}) = *old;
    }
  }
  free(units->slots);
  units->slots = slots;
  units->capacity = capacity;
  return SP_OK;
}

static enum sp_status intern(struct sp_units *units, struct sp_text word, uint32_t *id,
                             struct sp_error *err) {
  if (2 * units->used >= units->capacity) {
    SP_TRY(grow(units, err));
  }
  struct slot *slot = find_slot(units->slots, units->capacity, word);
  if (!slot->word) {
    const char *copy = sp_arena_copy(&units->arena, word.data, word.len);
    if (!copy) {
      return sp_fail_memory(err, word.len);
    }
    *slot = (struct slot){copy, word.len, (uint32_t)units->used++};
  }
  *id = slot->id;
  return SP_OK;
}

enum sp_status sp_units_split(struct sp_units *units, struct sp_text text, const uint32_t **ids,
                              size_t *n, struct sp_error *err) {
  size_t words = sp_count_words(text);
  uint32_t *list = sp_arena_alloc(&units->arena, words, sizeof *list);
  if (!list) {
    return sp_fail_memory(err, words * sizeof *list);
  }
  struct sp_text word;
  *n = 0;
  while (sp_cut_word(&text, &word)) {
    SP_TRY(intern(units, word, &list[(*n)++], err));
  }
  *ids = list;
  return SP_OK;
}
