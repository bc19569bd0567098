/* data_part.h - the training part or the held-out part of the data, as token ids; private to data*.c.
 *
 * Sequence  a sentence, a piece of one that was cut, or a hypothesis: ids without [CLS] and [SEP]
 * Item      mlm: a sequence; else an utterance's list, consecutive sequences
 * Place     file in the upper 24 bits, line (mlm) or utterance in it, from 1, in the lower 40 */
#ifndef SP_TRAIN_DATA_PART_H
#define SP_TRAIN_DATA_PART_H

#include "buf.h"
#include "spill.h"

#define SP_PLACE_LINE_BITS 40

static inline uint64_t sp_place_make(size_t file, uint64_t line) {
  return (uint64_t)file << SP_PLACE_LINE_BITS | line;
}
static inline size_t sp_place_file(uint64_t place) {
  return (size_t)(place >> SP_PLACE_LINE_BITS);
}
static inline uint64_t sp_place_line(uint64_t place) {
  return place & (((uint64_t)1 << SP_PLACE_LINE_BITS) - 1);
}

enum sp_data_array {
  SP_DATA_IDS,        /* (tokens) uint16_t or int32_t */
  SP_DATA_START,      /* (sequences + 1) uint64_t, first token */
  SP_DATA_PLACE,      /* (items) uint64_t; mlm alone has it, and nothing below */
  SP_DATA_FIRST,      /* (items + 1) uint64_t, first sequence */
  SP_DATA_NAME,       /* bytes of utterance ids */
  SP_DATA_NAME_START, /* (items + 1) uint64_t */
  SP_DATA_REF_WORDS,  /* (items) float */
  SP_DATA_FIRST_PASS, /* (sequences) float, as the next two; NaN: has none */
  SP_DATA_ERRORS,
  SP_DATA_TEACHER,
  SP_DATA_ARRAYS
};

struct sp_data_part {
  bool narrow; /* ids are uint16_t */
  bool lists;
  uint64_t items, sequences, tokens;
  uint64_t list_first; /* first sequence of the list that is being added */
  struct sp_spill array[SP_DATA_ARRAYS];
  size_t shortest, longest; /* tokens with [CLS] and [SEP]: of a sequence; of an item */
  size_t most;              /* sequences of an item */
};

void sp_data_part_init(struct sp_data_part *part, const char *directory, bool lists, bool narrow);
void sp_data_part_release(struct sp_data_part *part);

struct sp_data_sequence {
  const int32_t *ids; /* (n), n > 0 */
  size_t n;
  float first_pass, errors, teacher;
};
SP_MUST_CHECK enum sp_status sp_data_part_add(struct sp_data_part *part,
                                              const struct sp_data_sequence *sequence,
                                              struct sp_error *err);
/* Ends an item: all sequences since the last. mlm: called after each sequence. */
SP_MUST_CHECK enum sp_status sp_data_part_end_sentence(struct sp_data_part *part, uint64_t place,
                                                       struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_data_part_end_list(struct sp_data_part *part, struct sp_text name,
                                                   float ref_words, struct sp_error *err);
/* After the last item. */
SP_MUST_CHECK enum sp_status sp_data_part_finish(struct sp_data_part *part, struct sp_error *err);

/* ---- reading, after finish ---- */

static inline uint64_t sp_data_number(const struct sp_data_part *part, enum sp_data_array array,
                                      uint64_t i) {
  return ((const uint64_t *)part->array[array].data)[i];
}
static inline float sp_data_float(const struct sp_data_part *part, enum sp_data_array array,
                                  uint64_t i) {
  return ((const float *)part->array[array].data)[i];
}
static inline size_t sp_data_part_length(const struct sp_data_part *part, uint64_t sequence) {
  const uint64_t *start = part->array[SP_DATA_START].data;
  return (size_t)(start[sequence + 1] - start[sequence]);
}
void sp_data_part_ids(const struct sp_data_part *part, uint64_t sequence, int32_t *out);
static inline uint64_t sp_data_part_first(const struct sp_data_part *part, uint64_t item) {
  return part->lists ? sp_data_number(part, SP_DATA_FIRST, item) : item;
}
/* Tokens of an item with [CLS] and [SEP] of each sequence. */
size_t sp_data_part_item_tokens(const struct sp_data_part *part, uint64_t item);
struct sp_text sp_data_part_name(const struct sp_data_part *part, uint64_t item);

#endif
