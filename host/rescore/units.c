#include "units.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "arena.h"
#include "text_words.h"

enum { first_slots = 256 };

struct slot {
  uint32_t epoch; /* in use when it is that of the table */
  uint32_t id;
  uint64_t hash;
};

/* Where the bytes of a unit are in the store. */
struct span {
  size_t at, len;
};

struct sp_units {
  enum sp_unit unit;
  struct sp_arena arena; /* the ids handed out */
  struct slot *slots;    /* (mask + 1) */
  size_t mask;
  uint32_t epoch;
  struct span *spans; /* (n) by id */
  size_t n, capacity;
  struct sp_buf store; /* copies of the units' bytes */
};

enum sp_status sp_units_create(enum sp_unit unit, struct sp_units **out, struct sp_error *err) {
  struct sp_units *units = calloc(1, sizeof *units);
  struct slot *slots = calloc(first_slots, sizeof *slots);
  if (!units || !slots) {
    free(units);
    free(slots);
    return sp_fail_memory(err, first_slots * sizeof *slots);
  }
  *units = (struct sp_units){.unit = unit, .slots = slots, .mask = first_slots - 1, .epoch = 1};
  *out = units;
  return SP_OK;
}

void sp_units_destroy(struct sp_units *units) {
  if (units) {
    sp_arena_release(&units->arena);
    sp_buf_release(&units->store);
    free(units->slots);
    free(units->spans);
    free(units);
  }
}

void sp_units_clear(struct sp_units *units) {
  sp_arena_clear(&units->arena);
  sp_buf_clear(&units->store);
  units->n = 0;
  if (++units->epoch == 0) { /* every 2^32 clears: old slots would look new */
    memset(units->slots, 0, (units->mask + 1) * sizeof *units->slots);
    units->epoch = 1;
  }
}

struct sp_text sp_units_text(struct sp_units *units, uint32_t id) {
  if (units->unit == SP_UNIT_CHAR) {
    sp_buf_clear(&units->store);
    size_t wide =
        sp_buf_reserve(&units->store, 4, NULL) == SP_OK ? sp_utf8_encode(id, units->store.data) : 0;
    return (struct sp_text){units->store.data, wide};
  }
  return (struct sp_text){units->store.data + units->spans[id].at, units->spans[id].len};
}

static enum sp_status grow_slots(struct sp_units *units, struct sp_error *err) {
  size_t count = (units->mask + 1) * 2;
  struct slot *slots = calloc(count, sizeof *slots);
  if (!slots) {
    return sp_fail_memory(err, count * sizeof *slots);
  }
  for (size_t i = 0; i <= units->mask; i++) {
    if (units->slots[i].epoch == units->epoch) {
      size_t at = units->slots[i].hash & (count - 1);
      while (slots[at].epoch) {
        at = (at + 1) & (count - 1);
      }
      slots[at] = units->slots[i];
    }
  }
  free(units->slots);
  units->slots = slots;
  units->mask = count - 1;
  return SP_OK;
}

static enum sp_status grow_spans(struct sp_units *units, struct sp_error *err) {
  size_t capacity = units->capacity ? units->capacity * 2 : first_slots;
  struct span *spans = realloc(units->spans, capacity * sizeof *spans);
  if (!spans) {
    return sp_fail_memory(err, capacity * sizeof *spans);
  }
  units->spans = spans;
  units->capacity = capacity;
  return SP_OK;
}

/* A unit not seen since the last clear; `slot` is free for it. */
static enum sp_status add_unit(struct sp_units *units, struct slot *slot, uint64_t hash,
                               struct sp_text text, struct sp_error *err) {
  if (units->n == units->capacity) {
    SP_TRY(grow_spans(units, err));
  }
  size_t at = units->store.len;
  SP_TRY(sp_buf_append(&units->store, text.data, text.len, err));
  units->spans[units->n] = (struct span){at, text.len};
  *slot = (struct slot){units->epoch, (uint32_t)units->n++, hash};
  return 2 * units->n > units->mask ? grow_slots(units, err) : SP_OK;
}

static inline enum sp_status intern(struct sp_units *units, struct sp_text text, uint32_t *id,
                                    struct sp_error *err) {
  uint64_t hash = XXH3_64bits(text.data, text.len);
  size_t at = hash & units->mask;
  for (; units->slots[at].epoch == units->epoch; at = (at + 1) & units->mask) {
    const struct slot *slot = &units->slots[at];
    const struct span *span = &units->spans[slot->id];
    if (slot->hash == hash && span->len == text.len &&
        memcmp(units->store.data + span->at, text.data, text.len) == 0) {
      *id = slot->id;
      return SP_OK;
    }
  }
  *id = (uint32_t)units->n;
  return add_unit(units, &units->slots[at], hash, text, err);
}

static enum sp_status split_words(struct sp_units *units, struct sp_text text, bool mixed,
                                  uint32_t *ids, size_t *n, struct sp_error *err) {
  size_t at = 0;
  for (;;) {
    struct sp_text word = sp_next_word(text, mixed, &at);
    if (word.len == 0) {
      return SP_OK;
    }
    SP_TRY(intern(units, word, &ids[*n], err));
    ++*n;
  }
}

/* A code point is its own id. */
static void split_chars(struct sp_text text, uint32_t *ids, size_t *n) {
  for (size_t i = 0; i < text.len;) {
    uint32_t code;
    i += sp_utf8_decode((const unsigned char *)text.data + i, text.len - i, &code);
    if (!sp_is_space(code)) {
      ids[(*n)++] = code;
    }
  }
}

enum sp_status sp_units_split(struct sp_units *units, struct sp_text text, const uint32_t **ids,
                              size_t *n, struct sp_error *err) {
  size_t most = units->unit == SP_UNIT_WORD ? text.len / 2 + 1 : text.len;
  uint32_t *out = sp_arena_alloc(&units->arena, most, sizeof *out);
  if (!out) {
    return sp_fail_memory(err, most * sizeof *out);
  }
  *ids = out;
  *n = 0;
  if (units->unit == SP_UNIT_CHAR) {
    split_chars(text, out, n);
    return SP_OK;
  }
  return split_words(units, text, units->unit == SP_UNIT_MIXED, out, n, err);
}

const char *sp_unit_rate_name(enum sp_unit unit) {
  static const char *const names[] = {
#define X(name, option, rate) [name] = rate,
      SP_UNIT_MAP(X)
#undef X
  };
  return names[unit];
}
