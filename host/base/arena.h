/* arena.h - many small objects, one free.
 *
 * Allocations live until sp_arena_clear or sp_arena_release.  Chunks grow geometrically; clear keeps
 * one chunk that holds as much, so that a loop over equal work allocates nothing after its second
 * round and does not grow.
 * A size beyond the ceiling (0: none) fails. */
#ifndef SP_BASE_ARENA_H
#define SP_BASE_ARENA_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_arena_chunk;

struct sp_arena {
  struct sp_arena_chunk *chunk; /* newest, the one being filled */
  size_t total_bytes;           /* sum of chunk capacities */
  size_t ceiling;
};

void sp_arena_clear(struct sp_arena *arena);
void sp_arena_release(struct sp_arena *arena);

/* `count` elements of `size` bytes, aligned to 64 bytes from 64 bytes up and to 16 below, not
 * initialised; NULL when out of memory, beyond the ceiling, or on overflow.  count 0 gives a valid
 * pointer. */
void *sp_arena_alloc(struct sp_arena *arena, size_t count, size_t size);
/* As above, zeroed. */
void *sp_arena_calloc(struct sp_arena *arena, size_t count, size_t size);
/* A NUL-terminated copy. */
char *sp_arena_copy(struct sp_arena *arena, const char *data, size_t len);

#ifdef __cplusplus
}
#endif
#endif
