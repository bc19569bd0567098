#include "id_set.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "checked.h"
#include "file.h"

/* The table is ordered: an entry's home slot is given by the upper bits of its hash, and there is
 * no wrap-around (a few spare slots follow instead). So the entries in slot order are all but
 * sorted, and a run is written after a cheap insertion sort. */

struct entry {
  uint64_t high, low; /* of the id's hash */
  uint64_t ordinal;   /* counted from 1; 0 in an empty slot */
};

struct run {
  uint64_t first, count; /* entries in the file */
};

struct sp_id_set {
  struct entry *slots; /* ((1 << log2) + spare_slots) */
  unsigned log2;
  size_t used;
  size_t memory_bytes;
  uint64_t ids;
  uint64_t pair[2]; /* ordinals of an equal pair; both 0: none known */
  char *directory;
  int fd;              /* the runs, -1 before the first */
  struct sp_buf runs;  /* (n) struct run */
  uint64_t file_count; /* entries in the file */
};

enum { spare_slots = 1024, first_log2 = 10, least_merge_entries = 16, most_merge_entries = 8192 };

static size_t slot_count(unsigned log2) {
  return ((size_t)1 << log2) + spare_slots;
}

/* Entries that a table takes before it grows or spills. */
static size_t crowd(unsigned log2) {
  return ((size_t)1 << log2) / 4 * 3;
}

/* Bytes of a table and of the next larger one, which are there together while it grows. */
static size_t growing_bytes(unsigned log2) {
  return (slot_count(log2 + 1) + slot_count(log2)) * sizeof(struct entry);
}

static size_t entries_of_run(size_t memory_bytes, size_t runs) {
  size_t fair = memory_bytes / runs / sizeof(struct entry);
  return sp_max_size(least_merge_entries, sp_min_size(fair, most_merge_entries));
}

static struct entry *new_slots(unsigned log2) {
  return calloc(slot_count(log2), sizeof(struct entry));
}

static int compare(const struct entry *a, const struct entry *b) {
  if (a->high != b->high) {
    return a->high < b->high ? -1 : 1;
  }
  return a->low == b->low ? 0 : a->low < b->low ? -1 : 1;
}

/* The slot that holds an equal entry or is free for it; NULL when the slots end before that. */
static struct entry *find_slot(struct entry *slots, unsigned log2, const struct entry *wanted) {
  struct entry *slot = slots + (wanted->high >> (64 - log2));
  struct entry *end = slots + slot_count(log2);
  while (slot < end && slot->ordinal != 0 && compare(slot, wanted) != 0) {
    slot++;
  }
  return slot < end ? slot : NULL;
}

enum sp_status sp_id_set_create(size_t memory_bytes, const char *directory, struct sp_id_set **out,
                                struct sp_error *err) {
  struct sp_id_set *set = calloc(1, sizeof *set);
  if (!set) {
    return sp_fail_memory(err, sizeof *set);
  }
  const char *base = directory ? directory : getenv("TMPDIR");
  set->fd = -1;
  set->log2 = first_log2;
  set->memory_bytes = memory_bytes;
  set->directory = strdup(base && *base ? base : "/tmp");
  set->slots = new_slots(first_log2);
  if (!set->directory || !set->slots) {
    sp_id_set_destroy(set);
    return sp_fail_memory(err, slot_count(first_log2) * sizeof(struct entry));
  }
  *out = set;
  return SP_OK;
}

void sp_id_set_destroy(struct sp_id_set *set) {
  if (!set) {
    return;
  }
  if (set->fd >= 0) {
    close(set->fd);
  }
  free(set->slots);
  free(set->directory);
  sp_buf_release(&set->runs);
  free(set);
}

/* Doubles the table. False when that would take more than the memory given, both tables being there
 * for a moment, or when there is no memory. */
static bool grow(struct sp_id_set *set) {
  unsigned log2 = set->log2 + 1;
  struct entry *slots = growing_bytes(set->log2) <= set->memory_bytes ? new_slots(log2) : NULL;
  if (!slots) {
    return false;
  }
  for (size_t k = 0; k < slot_count(set->log2); k++) {
    const struct entry *old = &set->slots[k];
    struct entry *slot = old->ordinal ? find_slot(slots, log2, old) : NULL;
    if (old->ordinal && !slot) {
      free(slots);
      return false;
    }
    if (slot) {
      *slot = *old;
    }
  }
  free(set->slots);
  set->slots = slots;
  set->log2 = log2;
  return true;
}

/* Moves the entries to the front of the slots, sorted. */
static void sort_slots(struct sp_id_set *set) {
  size_t count = 0;
  for (size_t k = 0; k < slot_count(set->log2); k++) {
    struct entry entry = set->slots[k];
    if (entry.ordinal == 0) {
      continue;
    }
    size_t to = count++;
    for (; to > 0 && compare(&set->slots[to - 1], &entry) > 0; to--) {
      set->slots[to] = set->slots[to - 1];
    }
    set->slots[to] = entry;
  }
}

/* Writes the table as a sorted run and empties it. */
static enum sp_status spill(struct sp_id_set *set, struct sp_error *err) {
  if (set->fd < 0) {
    SP_TRY(sp_file_temporary(set->directory, "secondpass-ids", &set->fd, err));
  }
  sort_slots(set);
  struct run run = {set->file_count, set->used};
  SP_TRY(sp_file_write_all(set->fd, set->slots, set->used * sizeof(struct entry), set->directory,
                           err));
  SP_TRY(sp_buf_append(&set->runs, &run, sizeof run, err));
  set->file_count += set->used;
  set->used = 0;
  memset(set->slots, 0, slot_count(set->log2) * sizeof(struct entry));
  return SP_OK;
}

enum sp_status sp_id_set_add(struct sp_id_set *set, struct sp_text id, bool *duplicate,
                             struct sp_error *err) {
  XXH128_hash_t hash = XXH3_128bits(id.data, id.len);
  struct entry entry = {hash.high64, hash.low64, ++set->ids};
  *duplicate = false;
  bool crowded = set->used >= crowd(set->log2);
  struct entry *slot = find_slot(set->slots, set->log2, &entry);
  if (slot && slot->ordinal != 0) {
    *duplicate = true;
    set->pair[0] = slot->ordinal;
    set->pair[1] = entry.ordinal;
    return SP_OK;
  }
  while (crowded || !slot) {
    if (!grow(set)) {
      SP_TRY(spill(set, err));
    }
    crowded = false;
    slot = find_slot(set->slots, set->log2, &entry);
  }
  *slot = entry;
  set->used++;
  return SP_OK;
}

/* One run while runs are merged: entries [at, filled) of its own piece of memory come next. */
struct cursor {
  struct entry *entries;
  size_t at, filled;
  struct run rest; /* what is still in the file only */
};

struct merge {
  struct cursor **heap; /* (n), the least head at 0 */
  size_t n;
  struct cursor *cursors;
  struct entry *entries;
  size_t per_run;
};

static enum sp_status read_entries(const struct sp_id_set *set, struct entry *to, struct run what,
                                   struct sp_error *err) {
  char *into = (char *)to;
  size_t left = (size_t)what.count * sizeof *to;
  off_t from = (off_t)(what.first * sizeof *to);
  while (left > 0) {
    ssize_t got = pread(set->fd, into, left, from);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      errno = got == 0 ? EIO : errno;
      return sp_fail_errno(err, SP_EIO, "cannot read back a temporary file in %s", set->directory);
    }
    into += got;
    from += got;
    left -= (size_t)got;
  }
  return SP_OK;
}

static enum sp_status refill(const struct sp_id_set *set, struct cursor *cursor, size_t per_run,
                             struct sp_error *err) {
  struct run piece = {cursor->rest.first, cursor->rest.count};
  if (piece.count > per_run) {
    piece.count = per_run;
  }
  SP_TRY(read_entries(set, cursor->entries, piece, err));
  cursor->rest.first += piece.count;
  cursor->rest.count -= piece.count;
  cursor->at = 0;
  cursor->filled = (size_t)piece.count;
  return SP_OK;
}

static const struct entry *head(const struct cursor *cursor) {
  return &cursor->entries[cursor->at];
}

static void sift_down(struct merge *merge, size_t at) {
  for (;;) {
    size_t least = at;
    for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < merge->n; child++) {
      if (compare(head(merge->heap[child]), head(merge->heap[least])) < 0) {
        least = child;
      }
    }
    if (least == at) {
      return;
    }
    struct cursor *moved = merge->heap[at];
    merge->heap[at] = merge->heap[least];
    merge->heap[least] = moved;
    at = least;
  }
}

static enum sp_status open_merge(struct sp_id_set *set, struct merge *merge, struct sp_error *err) {
  const struct run *runs = (const struct run *)(const void *)set->runs.data;
  merge->n = set->runs.len / sizeof *runs;
  merge->per_run = entries_of_run(set->memory_bytes, merge->n);
  merge->cursors = calloc(merge->n, sizeof *merge->cursors);
  merge->heap = calloc(merge->n, sizeof(struct cursor *));
  merge->entries = calloc(merge->n, sp_mul_sat(merge->per_run, sizeof(struct entry)));
  if (!merge->cursors || !merge->heap || !merge->entries) {
    return sp_fail_memory(err, sp_mul_sat(merge->n, merge->per_run * sizeof(struct entry)));
  }
  for (size_t k = 0; k < merge->n; k++) {
    struct cursor *cursor = &merge->cursors[k];
    cursor->entries = merge->entries + k * merge->per_run;
    cursor->rest = runs[k];
    merge->heap[k] = cursor;
    SP_TRY(refill(set, cursor, merge->per_run, err));
  }
  for (size_t k = merge->n; k > 0; k--) {
    sift_down(merge, k - 1);
  }
  return SP_OK;
}

static enum sp_status advance(const struct sp_id_set *set, struct merge *merge,
                              struct sp_error *err) {
  struct cursor *least = merge->heap[0];
  least->at++;
  if (least->at == least->filled && least->rest.count > 0) {
    SP_TRY(refill(set, least, merge->per_run, err));
  }
  if (least->at == least->filled) {
    merge->heap[0] = merge->heap[--merge->n];
  }
  sift_down(merge, 0);
  return SP_OK;
}

static enum sp_status find_pair(struct sp_id_set *set, struct merge *merge, struct sp_error *err) {
  struct entry last = {0};
  while (merge->n > 0) {
    const struct entry *next = head(merge->heap[0]);
    if (last.ordinal != 0 && compare(&last, next) == 0) {
      bool in_order = last.ordinal < next->ordinal;
      set->pair[0] = in_order ? last.ordinal : next->ordinal;
      set->pair[1] = in_order ? next->ordinal : last.ordinal;
      return SP_OK;
    }
    last = *next;
    SP_TRY(advance(set, merge, err));
  }
  return SP_OK;
}

enum sp_status sp_id_set_finish(struct sp_id_set *set, uint64_t *first, uint64_t *second,
                                struct sp_error *err) {
  enum sp_status status = SP_OK;
  if (set->pair[1] == 0 && set->fd >= 0) {
    struct merge merge = {0};
    SP_TRY_GOTO(set->used > 0 ? spill(set, err) : SP_OK, release);
    free(set->slots); /* the merge takes its place */
    set->slots = NULL;
    SP_TRY_GOTO(open_merge(set, &merge, err), release);
    status = find_pair(set, &merge, err);
  release:
    free(merge.cursors);
    free(merge.heap);
    free(merge.entries);
  }
  *first = set->pair[0] ? set->pair[0] - 1 : 0;
  *second = set->pair[1] ? set->pair[1] - 1 : 0;
  return status;
}

uint64_t sp_id_set_bytes(uint64_t ids, size_t memory_bytes, uint64_t *spilled) {
  unsigned log2 = first_log2;
  uint64_t peak = slot_count(log2) * sizeof(struct entry);
  *spilled = 0;
  while (ids > crowd(log2) && growing_bytes(log2) <= memory_bytes) {
    peak = growing_bytes(log2++);
  }
  if (ids <= crowd(log2)) {
    return peak;
  }
  uint64_t runs = (ids + crowd(log2) - 1) / crowd(log2);
  uint64_t merge = runs * entries_of_run(memory_bytes, runs) * sizeof(struct entry);
  *spilled = ids * sizeof(struct entry);
  return merge > peak ? merge : peak;
}
