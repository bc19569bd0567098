/* intern.h - a hash table of numbered things that the caller keeps: number by equality, not by hash. */
#ifndef SP_PLAN_INTERN_H
#define SP_PLAN_INTERN_H

#include "arena.h"

#include <stdint.h>

struct sp_intern {
  struct sp_intern_slot {
    uint32_t number; /* UINT32_MAX: free */
    uint32_t hash;   /* upper half, so that most unequal things are told without the callback */
  } *slots;
  size_t mask;
};

/* Room for `count` things from the arena; false when out of memory. */
bool sp_intern_init(struct sp_intern *table, struct sp_arena *arena, size_t count);

/* Is the thing looked for equal to thing `number`? */
typedef bool (*sp_intern_equal_fn)(void *context, uint32_t number);

/* The number of the equal thing, or `next`, which is thereby put in: the caller then adds it. */
uint32_t sp_intern_find(struct sp_intern *table, uint64_t hash, uint32_t next,
                        sp_intern_equal_fn equal, void *context);

uint64_t sp_intern_hash(const void *data, size_t bytes);

/* Spreads a weak hash over all bits. */
static inline uint64_t sp_intern_mix(uint64_t hash) {
  hash ^= hash >> 32;
  hash *= 0xd6e8feb86659fd93u;
  hash ^= hash >> 32;
  return hash;
}

#endif
