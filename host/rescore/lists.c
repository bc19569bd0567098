#include "lists.h"

#include <stdlib.h>
#include <string.h>

#include "checked.h"

void sp_lists_init(struct sp_lists *lists, size_t n_second) {
  *lists = (struct sp_lists){.n_second = n_second};
}

void sp_lists_release(struct sp_lists *lists) {
  free(lists->starts);
  free(lists->blocks);
  free(lists->x);
  free(lists->errors);
  sp_lists_init(lists, lists->n_second);
}

/* Grows *array, whose elements have `size` bytes, to `capacity` of them. */
static bool grow(void *array, size_t capacity, size_t size) {
  void **at = array;
  void *grown = realloc(*at, sp_mul_sat(capacity, size));
  if (grown) {
    *at = grown;
  }
  return grown != NULL;
}

static enum sp_status reserve(struct sp_lists *lists, size_t more_hyps, struct sp_error *err) {
  size_t row = (lists->n_second + 2) * sizeof *lists->x;
  if (lists->n_lists + 1 >= lists->lists_capacity) {
    size_t capacity = sp_max_size(1024, 2 * lists->lists_capacity);
    if (!grow(&lists->starts, capacity, sizeof *lists->starts) ||
        !grow(&lists->blocks, capacity, sizeof *lists->blocks)) {
      return sp_fail_memory(err, sp_mul_sat(capacity, sizeof *lists->starts));
    }
    lists->lists_capacity = capacity;
    lists->starts[0] = 0;
  }
  if (lists->hyps_capacity - lists->n_hyps < more_hyps) {
    size_t capacity = sp_max_size(lists->n_hyps + more_hyps, 2 * lists->hyps_capacity);
    if (!grow(&lists->x, capacity, row) || !grow(&lists->errors, capacity, sizeof *lists->errors)) {
      return sp_fail_memory(err, sp_mul_sat(capacity, row));
    }
    lists->hyps_capacity = capacity;
  }
  return SP_OK;
}

enum sp_status sp_lists_add(struct sp_lists *lists, const double *x, const uint32_t *errors,
                            size_t n, uint32_t block, struct sp_error *err) {
  size_t width = lists->n_second + 2;
  uint32_t most = 0;
  for (size_t i = 0; i < n; i++) {
    most = errors[i] > most ? errors[i] : most;
  }
  if (lists->worst_errors + most > INT32_MAX) {
    return sp_fail(err, SP_EINPUT, "the archive is too large to tune on: over %d errors possible",
                   (int)INT32_MAX);
  }
  lists->worst_errors += most;
  SP_TRY(reserve(lists, n, err));
  memcpy(lists->x + lists->n_hyps * width, x, n * width * sizeof *x);
  memcpy(lists->errors + lists->n_hyps, errors, n * sizeof *errors);
  lists->blocks[lists->n_lists] = block;
  lists->n_hyps += n;
  lists->starts[++lists->n_lists] = lists->n_hyps;
  return SP_OK;
}

uint64_t sp_lists_errors(const struct sp_lists *lists, const struct sp_linear *linear) {
  uint64_t errors = lists->fixed_errors;
  for (size_t list = 0; list < lists->n_lists; list++) {
    errors += sp_list_errors(lists, list, linear);
  }
  return errors;
}

uint64_t sp_lists_first_errors(const struct sp_lists *lists) {
  uint64_t errors = lists->fixed_errors;
  for (size_t list = 0; list < lists->n_lists; list++) {
    errors += lists->errors[lists->starts[list]];
  }
  return errors;
}

uint64_t sp_lists_oracle_errors(const struct sp_lists *lists) {
  uint64_t errors = lists->fixed_errors;
  for (size_t list = 0; list < lists->n_lists; list++) {
    const uint32_t *of = lists->errors + lists->starts[list];
    uint32_t least = of[0];
    for (size_t i = 1; i < sp_list_hyps(lists, list); i++) {
      least = of[i] < least ? of[i] : least;
    }
    errors += least;
  }
  return errors;
}
