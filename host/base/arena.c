#include "arena.h"

#include <stdlib.h>
#include <string.h>

#include "checked.h"

struct sp_arena_chunk {
  struct sp_arena_chunk *older;
  size_t used; /* offset into this struct's memory */
  size_t capacity;
};

enum { chunk_header = 64, first_chunk = 64 * 1024 };

void sp_arena_release(struct sp_arena *arena) {
  while (arena->chunk) {
    struct sp_arena_chunk *older = arena->chunk->older;
    free(arena->chunk);
    arena->chunk = older;
  }
  arena->total_bytes = 0;
}

static bool add_chunk(struct sp_arena *arena, size_t bytes) {
  size_t want;
  size_t grown = arena->chunk ? arena->chunk->capacity * 2 : first_chunk;
  if (!sp_add_size(bytes, chunk_header + 64, &want)) {
    return false;
  }
  want = sp_round_up(sp_max_size(want, grown), 64);
  if (arena->ceiling && arena->total_bytes + want > arena->ceiling) {
    want = sp_round_up(bytes + chunk_header + 64, 64);
    if (arena->total_bytes + want > arena->ceiling) {
      return false;
    }
  }
  struct sp_arena_chunk *chunk = aligned_alloc(64, want);
  if (!chunk) {
    return false;
  }
  *chunk = (struct sp_arena_chunk){arena->chunk, chunk_header, want};
  arena->chunk = chunk;
  arena->total_bytes += want;
  return true;
}

/* One chunk for what several held, an eighth more: equal work after it fits without growing. */
void sp_arena_clear(struct sp_arena *arena) {
  struct sp_arena_chunk *chunk = arena->chunk;
  if (!chunk) {
    return;
  }
  if (!chunk->older) {
    chunk->used = chunk_header;
    return;
  }
  size_t used = 0;
  for (; chunk; chunk = chunk->older) {
    used += chunk->used;
  }
  sp_arena_release(arena);
  add_chunk(arena, used + used / 8); /* when it fails the arena is empty, as after release */
}

void *sp_arena_alloc(struct sp_arena *arena, size_t count, size_t size) {
  size_t bytes;
  if (!sp_mul_size(count, size, &bytes)) {
    return NULL;
  }
  size_t align = bytes >= 64 ? 64 : 16;
  struct sp_arena_chunk *chunk = arena->chunk;
  if (!chunk || bytes > chunk->capacity ||
      sp_round_up(chunk->used, align) > chunk->capacity - bytes) {
    if (!add_chunk(arena, bytes)) {
      return NULL;
    }
    chunk = arena->chunk;
  }
  size_t at = sp_round_up(chunk->used, align);
  chunk->used = at + bytes;
  return (char *)chunk + at;
}

void *sp_arena_calloc(struct sp_arena *arena, size_t count, size_t size) {
  void *data = sp_arena_alloc(arena, count, size);
  if (data) {
    memset(data, 0, count * size);
  }
  return data;
}

char *sp_arena_copy(struct sp_arena *arena, const char *data, size_t len) {
  size_t bytes;
  char *copy = sp_add_size(len, 1, &bytes) ? sp_arena_alloc(arena, bytes, 1) : NULL;
  if (copy) {
    if (len > 0) {
      memcpy(copy, data, len);
    }
    copy[len] = '\0';
  }
  return copy;
}
