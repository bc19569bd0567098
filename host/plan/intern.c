#include "intern.h"

#include <string.h>
#include <xxhash.h>

#include "checked.h"

bool sp_intern_init(struct sp_intern *table, struct sp_arena *arena, size_t count) {
  size_t slots = 16;
  while (slots < count + count / 2) {
    slots *= 2;
  }
  table->mask = slots - 1;
  table->slots = sp_arena_alloc(arena, slots, sizeof *table->slots);
  if (table->slots) {
    memset(table->slots, 0xff, slots * sizeof *table->slots);
  }
  return table->slots != NULL;
}

uint32_t sp_intern_find(struct sp_intern *table, uint64_t hash, uint32_t next,
                        sp_intern_equal_fn equal, void *context) {
  uint32_t upper = (uint32_t)(hash >> 32);
  for (size_t i = hash & table->mask;; i = (i + 1) & table->mask) {
    struct sp_intern_slot *slot = &table->slots[i];
    if (slot->number == UINT32_MAX) {
      *slot = (struct sp_intern_slot){next, upper};
      return next;
    }
    if (slot->hash == upper && equal(context, slot->number)) {
      return slot->number;
    }
  }
}

uint64_t sp_intern_hash(const void *data, size_t bytes) { return XXH3_64bits(data, bytes); }
