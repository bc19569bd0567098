#include "pair_merges.h"

#include <stdlib.h>
#include <string.h>

#include "checked.h"

struct word {
  uint64_t count;
  size_t start; /* first symbol */
  uint32_t n;   /* symbols that are left */
};

struct place {
  uint32_t word;
  uint32_t before; /* 1 + the pair's place before this one; 0: none */
};

/* A pair as it was counted when it was put on the heap: it may be less frequent by now. */
struct entry {
  uint64_t count;
  uint32_t a, b, pair;
};

void sp_pair_merges_init(struct sp_pair_merges *merges) {
  *merges = (struct sp_pair_merges){.places.ceiling = (size_t)1 << 35,
                                    .symbols.ceiling = (size_t)1 << 35};
}

void sp_pair_merges_release(struct sp_pair_merges *merges) {
  sp_buf_release(&merges->symbols);
  sp_buf_release(&merges->words);
  sp_buf_release(&merges->pairs);
  sp_buf_release(&merges->places);
  sp_buf_release(&merges->heap);
  sp_buf_release(&merges->touched);
  free(merges->slots);
  sp_pair_merges_init(merges);
}

static struct word *word_at(struct sp_pair_merges *m, size_t i) {
  return (struct word *)m->words.data + i;
}
static uint32_t *symbols_of(struct sp_pair_merges *m, const struct word *word) {
  return (uint32_t *)m->symbols.data + word->start;
}
static struct sp_pair *pair_at(struct sp_pair_merges *m, size_t i) {
  return (struct sp_pair *)m->pairs.data + i;
}

enum sp_status sp_pair_merges_add(struct sp_pair_merges *merges, const uint32_t *symbols, size_t n,
                                  uint64_t count, struct sp_error *err) {
  if (n < 2) {
    return SP_OK; /* no pair, now or later */
  }
  struct word word = {count, merges->symbols.len / sizeof *symbols, (uint32_t)n};
  SP_TRY(sp_buf_append(&merges->symbols, symbols, n * sizeof *symbols, err));
  return sp_buf_append(&merges->words, &word, sizeof word, err);
}

/* ---- pairs ---- */

static size_t find_slot(struct sp_pair_merges *m, uint32_t a, uint32_t b) {
  uint64_t hash = ((uint64_t)a << 32 | b) * 0x9e3779b97f4a7c15u;
  size_t mask = m->capacity - 1, at = (size_t)(hash ^ hash >> 32) & mask;
  for (; m->slots[at]; at = (at + 1) & mask) {
    const struct sp_pair *pair = pair_at(m, m->slots[at] - 1);
    if (pair->a == a && pair->b == b) {
      break;
    }
  }
  return at;
}

static enum sp_status grow_table(struct sp_pair_merges *m, struct sp_error *err) {
  size_t n = m->pairs.len / sizeof(struct sp_pair), capacity = sp_max_size(1024, 2 * m->capacity);
  uint32_t *slots = calloc(capacity, sizeof *slots);
  if (!slots) {
    return sp_fail_memory(err, capacity * sizeof *slots);
  }
  free(m->slots);
  m->slots = slots;
  m->capacity = capacity;
  for (size_t i = 0; i < n; i++) {
    m->slots[find_slot(m, pair_at(m, i)->a, pair_at(m, i)->b)] = (uint32_t)i + 1;
  }
  return SP_OK;
}

/* The pair's index; it is made when there is none. */
static enum sp_status intern(struct sp_pair_merges *m, uint32_t a, uint32_t b, uint32_t *index,
                             struct sp_error *err) {
  size_t n = m->pairs.len / sizeof(struct sp_pair);
  if (2 * n >= m->capacity) {
    SP_TRY(grow_table(m, err));
  }
  size_t at = find_slot(m, a, b);
  if (!m->slots[at]) {
    struct sp_pair pair = {.a = a, .b = b};
    SP_TRY(sp_buf_append(&m->pairs, &pair, sizeof pair, err));
    m->slots[at] = (uint32_t)n + 1;
  }
  *index = m->slots[at] - 1;
  return SP_OK;
}

/* Counts a pair that stands in `word`, and remembers where. */
static enum sp_status add_place(struct sp_pair_merges *m, uint32_t a, uint32_t b, uint32_t word,
                                struct sp_error *err) {
  uint32_t index;
  SP_TRY(intern(m, a, b, &index, err));
  struct sp_pair *pair = pair_at(m, index);
  pair->count += word_at(m, word)->count;
  if (!pair->touched) {
    pair->touched = true;
    SP_TRY(sp_buf_append(&m->touched, &index, sizeof index, err));
  }
  if (pair->place && ((const struct place *)m->places.data)[pair->place - 1].word == word) {
    return SP_OK;
  }
  struct place place = {word, pair->place};
  SP_TRY(sp_buf_append(&m->places, &place, sizeof place, err));
  size_t places = m->places.len / sizeof place;
  if (places > UINT32_MAX) {
    return sp_fail(err, SP_EINPUT, "too many different words to learn pieces from");
  }
  pair->place = (uint32_t)places;
  return SP_OK;
}

/* ---- the heap ---- */

static bool is_better(const struct entry *x, const struct entry *y) {
  if (x->count != y->count) {
    return x->count > y->count;
  }
  return x->a != y->a ? x->a < y->a : x->b < y->b;
}

static enum sp_status push(struct sp_pair_merges *m, uint32_t index, struct sp_error *err) {
  const struct sp_pair *pair = pair_at(m, index);
  struct entry entry = {pair->count, pair->a, pair->b, index};
  SP_TRY(sp_buf_append(&m->heap, &entry, sizeof entry, err));
  struct entry *heap = (struct entry *)m->heap.data;
  size_t at = m->heap.len / sizeof entry - 1;
  for (; at > 0 && is_better(&entry, &heap[(at - 1) / 2]); at = (at - 1) / 2) {
    heap[at] = heap[(at - 1) / 2];
  }
  heap[at] = entry;
  return SP_OK;
}

/* Puts `entry` where the first one was, as deep as it belongs; n > 0. */
static void replace_first(struct entry *heap, size_t n, struct entry entry) {
  size_t at = 0;
  for (size_t child = 1; child < n; child = 2 * at + 1) {
    child += child + 1 < n && is_better(&heap[child + 1], &heap[child]);
    if (!is_better(&heap[child], &entry)) {
      break;
    }
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = entry;
}

static enum sp_status push_touched(struct sp_pair_merges *m, struct sp_error *err) {
  const uint32_t *touched = (const uint32_t *)m->touched.data;
  for (size_t i = 0; i < m->touched.len / sizeof *touched; i++) {
    pair_at(m, touched[i])->touched = false;
    SP_TRY(push(m, touched[i], err));
  }
  sp_buf_clear(&m->touched);
  return SP_OK;
}

enum sp_status sp_pair_merges_begin(struct sp_pair_merges *merges, struct sp_error *err) {
  size_t n = merges->words.len / sizeof(struct word);
  if (n > UINT32_MAX) {
    return sp_fail(err, SP_EINPUT, "too many different words to learn pieces from");
  }
  for (size_t w = 0; w < n; w++) {
    const uint32_t *symbols = symbols_of(merges, word_at(merges, w));
    for (size_t i = 0; i + 1 < word_at(merges, w)->n; i++) {
      SP_TRY(add_place(merges, symbols[i], symbols[i + 1], (uint32_t)w, err));
    }
  }
  return push_touched(merges, err);
}

bool sp_pair_merges_best(struct sp_pair_merges *merges, struct sp_pair *best) {
  struct entry *heap = (struct entry *)merges->heap.data;
  for (size_t n; (n = merges->heap.len / sizeof *heap) > 0;) {
    const struct sp_pair *pair = pair_at(merges, heap[0].pair);
    if (pair->count > 0 && heap[0].count == pair->count) {
      *best = *pair;
      return true;
    }
    struct entry entry = heap[n - 1];
    if (heap[0].count > pair->count && pair->count > 0) { /* less frequent than it was */
      entry = (struct entry){pair->count, pair->a, pair->b, heap[0].pair};
    } else {
      merges->heap.len -= sizeof *heap;
      n--;
    }
    if (n > 0) {
      replace_first(heap, n, entry);
    }
  }
  return false;
}

/* ---- merging ---- */

/* The new symbol wherever a b stands; how many symbols are left. */
static size_t rewrite(uint32_t *symbols, size_t n, const struct sp_pair *best, uint32_t symbol) {
  size_t kept = 0;
  for (size_t i = 0; i < n; i++) {
    bool here = i + 1 < n && symbols[i] == best->a && symbols[i + 1] == best->b;
    symbols[kept++] = here ? symbol : symbols[i];
    i += here;
  }
  return kept;
}

static bool stands_in(const uint32_t *symbols, size_t n, const struct sp_pair *pair) {
  for (size_t i = 0; i + 1 < n; i++) {
    if (symbols[i] == pair->a && symbols[i + 1] == pair->b) {
      return true;
    }
  }
  return false;
}

static enum sp_status merge_word(struct sp_pair_merges *m, uint32_t w, const struct sp_pair *best,
                                 uint32_t symbol, struct sp_error *err) {
  struct word *word = word_at(m, w);
  uint32_t *symbols = symbols_of(m, word), index;
  if (!stands_in(symbols, word->n, best)) { /* an earlier merge took it */
    return SP_OK;
  }
  for (size_t i = 0; i + 1 < word->n; i++) {
    SP_TRY(intern(m, symbols[i], symbols[i + 1], &index, err));
    pair_at(m, index)->count -= word->count;
  }
  word->n = (uint32_t)rewrite(symbols, word->n, best, symbol);
  for (size_t i = 0; i + 1 < word->n; i++) {
    if (symbols[i] == symbol || symbols[i + 1] == symbol) {
      SP_TRY(add_place(m, symbols[i], symbols[i + 1], w, err));
    } else {
      SP_TRY(intern(m, symbols[i], symbols[i + 1], &index, err));
      pair_at(m, index)->count += word->count;
    }
  }
  return SP_OK;
}

enum sp_status sp_pair_merges_apply(struct sp_pair_merges *merges, const struct sp_pair *best,
                                    uint32_t symbol, struct sp_error *err) {
  for (uint32_t at = best->place; at;) {
    struct place place = ((const struct place *)merges->places.data)[at - 1];
    SP_TRY(merge_word(merges, place.word, best, symbol, err));
    at = place.before;
  }
  return push_touched(merges, err);
}
