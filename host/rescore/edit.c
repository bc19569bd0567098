#include "edit.h"

#include <stdlib.h>

#include "checked.h"

struct sp_edit {
  const uint32_t *ref; /* (n_ref) */
  size_t n_ref;
  size_t *row; /* (capacity), n_ref + 1 used: distances of the prefixes of the reference */
  size_t capacity;
};

enum sp_status sp_edit_create(struct sp_edit **out, struct sp_error *err) {
  *out = calloc(1, sizeof **out);
  return *out ? SP_OK : sp_fail_memory(err, sizeof **out);
}

void sp_edit_destroy(struct sp_edit *edit) {
  if (edit) {
    free(edit->row);
    free(edit);
  }
}

enum sp_status sp_edit_set_reference(struct sp_edit *edit, const uint32_t *ref, size_t n,
                                     struct sp_error *err) {
  if (n + 1 > edit->capacity) {
    size_t *row = realloc(edit->row, sp_mul_sat(n + 1, sizeof *row));
    if (!row) {
      return sp_fail_memory(err, sp_mul_sat(n + 1, sizeof *row));
    }
    edit->row = row;
    edit->capacity = n + 1;
  }
  edit->ref = ref;
  edit->n_ref = n;
  return SP_OK;
}

enum sp_status sp_edit_distance(struct sp_edit *edit, const uint32_t *hyp, size_t n, size_t *errors,
                                struct sp_error *err) {
  (void)err;
  size_t *row = edit->row;
  for (size_t r = 0; r <= edit->n_ref; r++) {
    row[r] = r;
  }
  for (size_t h = 0; h < n; h++) {
    size_t diagonal = row[0];
    row[0] = h + 1;
    for (size_t r = 0; r < edit->n_ref; r++) {
      size_t substituted = diagonal + (edit->ref[r] != hyp[h]);
      diagonal = row[r + 1];
      row[r + 1] = sp_min_size(substituted, sp_min_size(row[r], diagonal) + 1);
    }
  }
  *errors = row[edit->n_ref];
  return SP_OK;
}
