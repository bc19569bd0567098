#include "read_lists.h"

#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "edit.h"
#include "units.h"

struct reader {
  const struct sp_combination *combination;
  struct sp_lists *lists;
  struct sp_units *units;
  struct sp_edit *edit;
  struct sp_units *speakers; /* whose ids number the blocks; NULL: every utterance is one */
  double *x;                 /* (capacity, n_second + 2) */
  uint32_t *errors;          /* (capacity) */
  size_t capacity;
};

static enum sp_status reserve(struct reader *reader, size_t n, struct sp_error *err) {
  if (n <= reader->capacity) {
    return SP_OK;
  }
  size_t row = (reader->combination->second.n + 2) * sizeof *reader->x;
  free(reader->x);
  free(reader->errors);
  reader->capacity = 0;
  reader->x = calloc(n, row);
  reader->errors = calloc(n, sizeof *reader->errors);
  if (!reader->x || !reader->errors) {
    return sp_fail_memory(err, sp_mul_sat(n, row));
  }
  reader->capacity = n;
  return SP_OK;
}

static enum sp_status count_errors(struct reader *reader, const struct sp_utt *utt, size_t *n_ref,
                                   struct sp_error *err) {
  const uint32_t *ref, *hyp;
  size_t n, errors;
  sp_units_clear(reader->units);
  SP_TRY(sp_units_split(reader->units, utt->ref, &ref, n_ref, err));
  SP_TRY(sp_edit_set_reference(reader->edit, ref, *n_ref, err));
  for (size_t i = 0; i < utt->n_hyps; i++) {
    SP_TRY(sp_units_split(reader->units, utt->hyps[i].text, &hyp, &n, err));
    SP_TRY(sp_edit_distance(reader->edit, hyp, n, &errors, err));
    reader->errors[i] = (uint32_t)sp_min_size(errors, UINT32_MAX);
  }
  return SP_OK;
}

static struct sp_text speaker_of(struct sp_text id) {
  size_t len = 0;
  while (len < id.len && !strchr("- ", id.data[len])) {
    len++;
  }
  return len > 0 ? (struct sp_text){id.data, len} : SP_TEXT_LITERAL("-");
}

static enum sp_status add_utt(struct reader *reader, const struct sp_utt *utt,
                              const struct sp_second *second, struct sp_error *err) {
  size_t n_ref, n_second = reader->combination->second.n;
  struct sp_lists *lists = reader->lists;
  uint32_t block = lists->n_blocks;
  SP_TRY(reserve(reader, utt->n_hyps, err));
  SP_TRY(count_errors(reader, utt, &n_ref, err));
  lists->ref_units += n_ref;
  if (reader->speakers) {
    const uint32_t *ids;
    size_t n;
    SP_TRY(sp_units_split(reader->speakers, speaker_of(utt->id), &ids, &n, err));
    block = n > 0 ? ids[0] : block;
  }
  lists->n_blocks += block == lists->n_blocks;
  if (utt->n_hyps == 0) {
    lists->fixed_errors += n_ref;
    return SP_OK;
  }
  for (size_t i = 0; i < utt->n_hyps; i++) {
    SP_TRY(sp_features(reader->combination, &utt->hyps[i], second + i * n_second,
                       reader->x + i * (n_second + 2), err));
  }
  return sp_lists_add(lists, reader->x, reader->errors, utt->n_hyps, block, err);
}

static enum sp_status read_all(struct reader *reader, struct sp_join *join,
                               struct sp_read_counts *counts, struct sp_error *err) {
  for (;;) {
    struct sp_utt utt;
    const struct sp_second *second;
    bool found;
    SP_TRY(sp_join_next(join, &utt, &second, &found, err));
    if (!found) {
      return SP_OK;
    }
    counts->utts += utt.has_ref;
    counts->without_ref += !utt.has_ref;
    if (utt.has_ref) {
      SP_TRY(add_utt(reader, &utt, second, err));
    }
  }
}

enum sp_status sp_read_lists(struct sp_join *join, const struct sp_combination *combination,
                             enum sp_block block, struct sp_lists *lists,
                             struct sp_read_counts *counts, struct sp_error *err) {
  struct reader reader = {.combination = combination, .lists = lists};
  *counts = (struct sp_read_counts){0};
  sp_lists_init(lists, combination->second.n);
  enum sp_status status = sp_units_create(SP_UNIT_WORD, &reader.units, err);
  if (status == SP_OK) {
    status = sp_edit_create(&reader.edit, err);
  }
  if (status == SP_OK && block == SP_BLOCK_SPEAKER) {
    status = sp_units_create(SP_UNIT_WORD, &reader.speakers, err);
  }
  if (status == SP_OK) {
    status = read_all(&reader, join, counts, err);
  }
  sp_units_destroy(reader.units);
  sp_edit_destroy(reader.edit);
  sp_units_destroy(reader.speakers);
  free(reader.x);
  free(reader.errors);
  return status;
}
