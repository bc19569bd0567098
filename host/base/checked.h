/* checked.h - size arithmetic that reports overflow; used for every size that comes from a file. */
#ifndef SP_BASE_CHECKED_H
#define SP_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>

/* Return true and store the result, or return false on overflow and leave *out alone. */
static inline bool sp_add_size(size_t a, size_t b, size_t *out) {
  size_t sum;
  if (__builtin_add_overflow(a, b, &sum)) {
    return false;
  }
  *out = sum;
  return true;
}

static inline bool sp_mul_size(size_t a, size_t b, size_t *out) {
  size_t product;
  if (__builtin_mul_overflow(a, b, &product)) {
    return false;
  }
  *out = product;
  return true;
}

/* a * b, or SIZE_MAX on overflow: for allocation calls, which then fail as out of memory. */
static inline size_t sp_mul_sat(size_t a, size_t b) {
  size_t product;
  return __builtin_mul_overflow(a, b, &product) ? (size_t)-1 : product;
}

static inline size_t sp_round_up(size_t value, size_t step) {
  return (value + step - 1) / step * step;
}

static inline size_t sp_min_size(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t sp_max_size(size_t a, size_t b) { return a > b ? a : b; }

#endif
