#include "data_part.h"

#include "checked.h"

void sp_data_part_init(struct sp_data_part *part, const char *directory, bool lists, bool narrow) {
  *part = (struct sp_data_part){.lists = lists, .narrow = narrow, .shortest = SIZE_MAX};
  for (int i = 0; i < SP_DATA_ARRAYS; i++) {
    sp_spill_init(&part->array[i], directory);
  }
}

void sp_data_part_release(struct sp_data_part *part) {
  for (int i = 0; i < SP_DATA_ARRAYS; i++) {
    sp_spill_release(&part->array[i]);
  }
}

static enum sp_status add_number(struct sp_data_part *part, enum sp_data_array array,
                                 uint64_t number, struct sp_error *err) {
  return sp_spill_append(&part->array[array], &number, sizeof number, err);
}

static enum sp_status add_float(struct sp_data_part *part, enum sp_data_array array, float number,
                                struct sp_error *err) {
  return sp_spill_append(&part->array[array], &number, sizeof number, err);
}

static enum sp_status add_ids(struct sp_data_part *part, const int32_t *ids, size_t n,
                              struct sp_error *err) {
  if (!part->narrow) {
    return sp_spill_append(&part->array[SP_DATA_IDS], ids, n * sizeof *ids, err);
  }
  uint16_t some[256];
  for (size_t at = 0; at < n; at += 256) {
    size_t count = sp_min_size(n - at, 256);
    for (size_t i = 0; i < count; i++) {
      some[i] = (uint16_t)ids[at + i];
    }
    SP_TRY(sp_spill_append(&part->array[SP_DATA_IDS], some, count * sizeof *some, err));
  }
  return SP_OK;
}

enum sp_status sp_data_part_add(struct sp_data_part *part, const struct sp_data_sequence *sequence,
                                struct sp_error *err) {
  SP_TRY(add_number(part, SP_DATA_START, part->tokens, err));
  SP_TRY(add_ids(part, sequence->ids, sequence->n, err));
  if (part->lists) {
    SP_TRY(add_float(part, SP_DATA_FIRST_PASS, sequence->first_pass, err));
    SP_TRY(add_float(part, SP_DATA_ERRORS, sequence->errors, err));
    SP_TRY(add_float(part, SP_DATA_TEACHER, sequence->teacher, err));
  }
  part->tokens += sequence->n;
  part->sequences++;
  part->shortest = sp_min_size(part->shortest, sequence->n + 2);
  if (!part->lists) {
    part->longest = sp_max_size(part->longest, sequence->n + 2);
    part->most = 1;
  }
  return SP_OK;
}

enum sp_status sp_data_part_end_sentence(struct sp_data_part *part, uint64_t place,
                                         struct sp_error *err) {
  part->items++;
  return add_number(part, SP_DATA_PLACE, place, err);
}

enum sp_status sp_data_part_end_list(struct sp_data_part *part, struct sp_text name,
                                     float ref_words, struct sp_error *err) {
  SP_TRY(add_number(part, SP_DATA_NAME_START, part->array[SP_DATA_NAME].bytes, err));
  SP_TRY(sp_spill_append(&part->array[SP_DATA_NAME], name.data, name.len, err));
  SP_TRY(add_float(part, SP_DATA_REF_WORDS, ref_words, err));
  SP_TRY(add_number(part, SP_DATA_FIRST, part->list_first, err));
  part->list_first = part->sequences;
  part->items++;
  return SP_OK;
}

/* What can only be told of whole lists. */
static void measure_lists(struct sp_data_part *part) {
  for (uint64_t item = 0; item < part->items; item++) {
    uint64_t first = sp_data_part_first(part, item), end = sp_data_part_first(part, item + 1);
    part->most = sp_max_size(part->most, (size_t)(end - first));
    part->longest = sp_max_size(part->longest, sp_data_part_item_tokens(part, item));
  }
}

enum sp_status sp_data_part_finish(struct sp_data_part *part, struct sp_error *err) {
  SP_TRY(add_number(part, SP_DATA_START, part->tokens, err));
  if (part->lists) {
    SP_TRY(add_number(part, SP_DATA_FIRST, part->sequences, err));
    SP_TRY(add_number(part, SP_DATA_NAME_START, part->array[SP_DATA_NAME].bytes, err));
  }
  for (int i = 0; i < SP_DATA_ARRAYS; i++) {
    SP_TRY(sp_spill_map(&part->array[i], err));
  }
  if (part->lists) {
    measure_lists(part);
  }
  return SP_OK;
}

void sp_data_part_ids(const struct sp_data_part *part, uint64_t sequence, int32_t *out) {
  uint64_t start = sp_data_number(part, SP_DATA_START, sequence);
  size_t n = sp_data_part_length(part, sequence);
  const uint16_t *narrow = part->array[SP_DATA_IDS].data;
  const int32_t *wide = part->array[SP_DATA_IDS].data;
  for (size_t i = 0; i < n; i++) {
    out[i] = part->narrow ? (int32_t)narrow[start + i] : wide[start + i];
  }
}

size_t sp_data_part_item_tokens(const struct sp_data_part *part, uint64_t item) {
  const uint64_t *start = part->array[SP_DATA_START].data;
  uint64_t first = sp_data_part_first(part, item), end = sp_data_part_first(part, item + 1);
  return (size_t)(start[end] - start[first] + 2 * (end - first));
}

struct sp_text sp_data_part_name(const struct sp_data_part *part, uint64_t item) {
  const uint64_t *start = part->array[SP_DATA_NAME_START].data;
  const char *bytes = part->array[SP_DATA_NAME].data;
  return (struct sp_text){bytes + start[item], (size_t)(start[item + 1] - start[item])};
}
