#include "edit.h"

#include <stdlib.h>
#include <string.h>

#include "checked.h"

enum { cost_substitution = 4, cost_gap = 3, no_cost = INT32_MAX / 2 };

#define TABLE_CEILING ((size_t)1 << 30)

/* The differences down one column of the table, 64 rows a word: up by one, down by one. */
struct block {
  uint64_t plus, minus;
};

struct sp_edit {
  const uint32_t *ref; /* (n) */
  size_t n, blocks;
  uint32_t *row_of; /* (row_of_len) by id: row of its bits, 0 for an id that ref lacks */
  size_t row_of_len;
  uint32_t *row_id; /* (n_rows) its inverse; row 0 is all zeros */
  size_t n_rows, row_id_capacity;
  uint64_t *bits; /* (n_rows, blocks) bit i: ref[i] is the row's id */
  size_t bits_capacity;
  struct block *column; /* (blocks) */
  size_t column_capacity;
  int32_t *cost; /* one row of the band */
  size_t cost_capacity;
  char *ops; /* the table of the band, then the path */
  size_t ops_capacity;
};

/* Makes room for `count` elements; grows by doubling, contents are kept. */
static enum sp_status reserve(void **array, size_t *capacity, size_t count, size_t size,
                              struct sp_error *err) {
  if (count <= *capacity) {
    return SP_OK;
  }
  size_t wanted = sp_max_size(sp_max_size(count, 64), *capacity * 2);
  void *grown = realloc(*array, sp_mul_sat(wanted, size));
  if (!grown) {
    return sp_fail_memory(err, sp_mul_sat(wanted, size));
  }
  *array = grown;
  *capacity = wanted;
  return SP_OK;
}
#define RESERVE(edit, array, count, err) \
  reserve((void **)&(edit)->array, &(edit)->array##_capacity, count, sizeof *(edit)->array, err)

enum sp_status sp_edit_create(struct sp_edit **out, struct sp_error *err) {
  *out = calloc(1, sizeof **out);
  return *out ? SP_OK : sp_fail_memory(err, sizeof **out);
}

void sp_edit_destroy(struct sp_edit *edit) {
  if (edit) {
    free(edit->row_of);
    free(edit->row_id);
    free(edit->bits);
    free(edit->column);
    free(edit->cost);
    free(edit->ops);
    free(edit);
  }
}

static enum sp_status grow_row_of(struct sp_edit *edit, uint32_t id, struct sp_error *err) {
  size_t before = edit->row_of_len;
  SP_TRY(reserve((void **)&edit->row_of, &edit->row_of_len, (size_t)id + 1, sizeof *edit->row_of,
                 err));
  memset(edit->row_of + before, 0, (edit->row_of_len - before) * sizeof *edit->row_of);
  return SP_OK;
}

static void forget_rows(struct sp_edit *edit) {
  for (size_t row = 1; row < edit->n_rows; row++) {
    edit->row_of[edit->row_id[row]] = 0;
  }
  edit->n_rows = 0;
}

static enum sp_status number_rows(struct sp_edit *edit, struct sp_error *err) {
  SP_TRY(RESERVE(edit, row_id, edit->n + 1, err));
  edit->n_rows = 1;
  for (size_t i = 0; i < edit->n; i++) {
    uint32_t id = edit->ref[i];
    if (id >= edit->row_of_len) {
      SP_TRY(grow_row_of(edit, id, err));
    }
    if (edit->row_of[id] == 0) {
      edit->row_id[edit->n_rows] = id;
      edit->row_of[id] = (uint32_t)edit->n_rows++;
    }
  }
  return SP_OK;
}

enum sp_status sp_edit_set_reference(struct sp_edit *edit, const uint32_t *ref, size_t n,
                                     struct sp_error *err) {
  forget_rows(edit);
  edit->ref = ref;
  edit->n = n;
  edit->blocks = (n + 63) / 64;
  SP_TRY(number_rows(edit, err));
  size_t words = sp_mul_sat(edit->n_rows, edit->blocks);
  SP_TRY(RESERVE(edit, bits, words, err));
  SP_TRY(RESERVE(edit, column, edit->blocks, err));
  if (words > 0) {
    memset(edit->bits, 0, words * sizeof *edit->bits);
  }
  for (size_t i = 0; i < n; i++) {
    edit->bits[edit->row_of[ref[i]] * edit->blocks + i / 64] |= (uint64_t)1 << i % 64;
  }
  return SP_OK;
}

static inline const uint64_t *row(const struct sp_edit *edit, uint32_t id) {
  size_t number = id < edit->row_of_len ? edit->row_of[id] : 0;
  return edit->bits + number * edit->blocks;
}

/* One step to the right of 64 rows; `in` is what the row above them does, the result what the row
 * `last` of them does: -1, 0 or 1. */
static inline int step(struct block *block, uint64_t equal, int in, unsigned last) {
  uint64_t minus = block->minus, plus = block->plus;
  uint64_t vertical = equal | minus;
  equal |= in < 0;
  uint64_t diagonal = (((equal & plus) + plus) ^ plus) | equal;
  uint64_t up = minus | ~(diagonal | plus), down = plus & diagonal;
  int out = (int)(up >> last & 1) - (int)(down >> last & 1);
  up = up << 1 | (in > 0);
  down = down << 1 | (in < 0);
  block->plus = down | ~(vertical | up);
  block->minus = up & vertical;
  return out;
}

static size_t distance_one_block(const struct sp_edit *edit, const uint32_t *hyp, size_t n) {
  struct block block = {.plus = ~(uint64_t)0};
  unsigned last = (unsigned)edit->n - 1;
  size_t errors = edit->n;
  for (size_t j = 0; j < n; j++) {
    errors += (size_t)step(&block, *row(edit, hyp[j]), 1, last);
  }
  return errors;
}

static size_t distance_blocks(struct sp_edit *edit, const uint32_t *hyp, size_t n) {
  unsigned last = (unsigned)((edit->n - 1) % 64);
  size_t errors = edit->n;
  for (size_t b = 0; b < edit->blocks; b++) {
    edit->column[b] = (struct block){.plus = ~(uint64_t)0};
  }
  for (size_t j = 0; j < n; j++) {
    const uint64_t *bits = row(edit, hyp[j]);
    int carry = 1;
    for (size_t b = 0; b + 1 < edit->blocks; b++) {
      carry = step(&edit->column[b], bits[b], carry, 63);
    }
    errors += (size_t)step(&edit->column[edit->blocks - 1], bits[edit->blocks - 1], carry, last);
  }
  return errors;
}

enum sp_status sp_edit_distance(struct sp_edit *edit, const uint32_t *hyp, size_t n, size_t *errors,
                                struct sp_error *err) {
  (void)err;
  *errors = edit->n == 0        ? n
            : edit->blocks == 1 ? distance_one_block(edit, hyp, n)
                                : distance_blocks(edit, hyp, n);
  return SP_OK;
}

/* What is left to align, and the band: cell (i, j) is kept when low <= j - i <= high. */
struct band {
  const uint32_t *ref, *hyp;
  size_t n, m;
  ptrdiff_t low;
  size_t wide;
  char *back; /* (n + 1, wide) the operation that leads to each cell */
};

static size_t common_prefix(const uint32_t *a, size_t n, const uint32_t *b, size_t m) {
  size_t i = 0;
  while (i < n && i < m && a[i] == b[i]) {
    i++;
  }
  return i;
}

static size_t common_suffix(const uint32_t *a, size_t n, const uint32_t *b, size_t m) {
  size_t i = 0;
  while (i < n && i < m && a[n - 1 - i] == b[m - 1 - i]) {
    i++;
  }
  return i;
}

/* To reach j - i = d and come back to m - n takes |d| + |d - (m - n)| gaps of cost 3, and all of it
 * at most 4 * distance. */
static enum sp_status set_band(struct sp_edit *edit, struct band *band, size_t distance,
                               struct sp_error *err) {
  ptrdiff_t shift = (ptrdiff_t)band->m - (ptrdiff_t)band->n;
  ptrdiff_t gaps = (ptrdiff_t)(distance * cost_substitution / cost_gap);
  ptrdiff_t high = (gaps + shift) / 2;
  band->low = -((gaps - shift) / 2);
  band->low = band->low < -(ptrdiff_t)band->n ? -(ptrdiff_t)band->n : band->low;
  high = high > (ptrdiff_t)band->m ? (ptrdiff_t)band->m : high;
  band->wide = (size_t)(high - band->low) + 1;
  size_t cells = sp_mul_sat(band->n + 1, band->wide), total;
  if (!sp_add_size(cells, band->n + band->m + edit->n + 1, &total) || total > TABLE_CEILING) {
    return sp_fail(err, SP_EINPUT, "%zu units against %zu are too many to align", band->m, band->n);
  }
  SP_TRY(RESERVE(edit, cost, band->wide + 1, err));
  SP_TRY(RESERVE(edit, ops, total, err));
  band->back = edit->ops;
  return SP_OK;
}

/* One row of the table in place: cost[b] is that of (i - 1, j - 1), cost[b + 1] of (i - 1, j),
 * cost[b - 1] already of (i, j - 1). */
static void fill_row(const struct band *band, size_t i, int32_t *cost) {
  char *back = band->back + i * band->wide;
  for (size_t b = 0; b < band->wide; b++) {
    ptrdiff_t j = (ptrdiff_t)(i + b) + band->low;
    if (j < 0 || j > (ptrdiff_t)band->m) {
      cost[b] = no_cost;
      continue;
    }
    if (i == 0 || j == 0) {
      cost[b] = cost_gap * (int32_t)(i == 0 ? (size_t)j : i);
      back[b] = i == 0 ? SP_INSERTION : SP_DELETION;
      continue;
    }
    bool equal = band->ref[i - 1] == band->hyp[j - 1];
    int32_t diagonal = cost[b] + (equal ? 0 : cost_substitution);
    int32_t deletion = cost[b + 1] + cost_gap;
    int32_t insertion = (b > 0 ? cost[b - 1] : no_cost) + cost_gap;
    if (diagonal <= deletion && diagonal <= insertion) {
      cost[b] = diagonal;
      back[b] = equal ? SP_CORRECT : SP_SUBSTITUTION;
    } else {
      cost[b] = deletion < insertion ? deletion : insertion;
      back[b] = deletion < insertion ? SP_DELETION : SP_INSERTION;
    }
  }
}

/* Writes the path to the bytes before `end`, from the last operation back; returns its length. */
static size_t trace(const struct band *band, char *end) {
  size_t i = band->n, j = band->m, length = 0;
  while (i > 0 || j > 0) {
    size_t b = (size_t)((ptrdiff_t)j - (ptrdiff_t)i - band->low);
    char op = band->back[i * band->wide + b];
    *--end = op;
    length++;
    i -= op != SP_INSERTION;
    j -= op != SP_DELETION;
  }
  return length;
}

/* The path of the band at the end of edit->ops, `suffix` correct ones behind it. */
static enum sp_status align_band(struct sp_edit *edit, struct band *band, size_t distance,
                                 size_t suffix, const char **ops, size_t *n_ops,
                                 struct sp_error *err) {
  SP_TRY(set_band(edit, band, distance, err));
  edit->cost[band->wide] = no_cost;
  for (size_t i = 0; i <= band->n; i++) {
    fill_row(band, i, edit->cost);
  }
  char *end = edit->ops + (band->n + 1) * band->wide + band->n + band->m;
  *n_ops = trace(band, end) + suffix;
  *ops = end + suffix - *n_ops;
  memset(end, SP_CORRECT, suffix);
  return SP_OK;
}

/* A common end is aligned with itself whatever stands before it: with equal last units the diagonal
 * costs no more than a gap, and goes first. */
enum sp_status sp_edit_align(struct sp_edit *edit, const uint32_t *hyp, size_t n, const char **ops,
                             size_t *n_ops, struct sp_error *err) {
  size_t distance;
  SP_TRY(sp_edit_distance(edit, hyp, n, &distance, err));
  size_t suffix = common_suffix(edit->ref, edit->n, hyp, n);
  struct band band = {.ref = edit->ref, .hyp = hyp, .n = edit->n - suffix, .m = n - suffix};
  return align_band(edit, &band, distance, suffix, ops, n_ops, err);
}

struct sp_edit_counts sp_edit_tally(const char *ops, size_t n_ops) {
  struct sp_edit_counts counts = {0};
  for (size_t i = 0; i < n_ops; i++) {
    counts.correct += ops[i] == SP_CORRECT;
    counts.substitutions += ops[i] == SP_SUBSTITUTION;
    counts.deletions += ops[i] == SP_DELETION;
    counts.insertions += ops[i] == SP_INSERTION;
  }
  return counts;
}

/* Without a common beginning the counts are the same, if not the places of gaps: inside, costs and
 * so decisions are equal, and from its edge on only gaps of one kind are as cheap. */
enum sp_status sp_edit_count(struct sp_edit *edit, const uint32_t *hyp, size_t n,
                             struct sp_edit_counts *counts, struct sp_error *err) {
  size_t distance, n_ops;
  const char *ops;
  SP_TRY(sp_edit_distance(edit, hyp, n, &distance, err));
  *counts = (struct sp_edit_counts){.correct = (uint32_t)edit->n};
  if (distance == 0) {
    return SP_OK;
  }
  size_t suffix = common_suffix(edit->ref, edit->n, hyp, n);
  size_t prefix = common_prefix(edit->ref, edit->n - suffix, hyp, n - suffix);
  struct band band = {.ref = edit->ref + prefix,
                      .hyp = hyp + prefix,
                      .n = edit->n - suffix - prefix,
                      .m = n - suffix - prefix};
  SP_TRY(align_band(edit, &band, distance, 0, &ops, &n_ops, err));
  *counts = sp_edit_tally(ops, n_ops);
  counts->correct += (uint32_t)(prefix + suffix);
  return SP_OK;
}
