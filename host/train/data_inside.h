/* data_inside.h - what an open struct sp_train_data is; private to data*.c. */
#ifndef SP_TRAIN_DATA_INSIDE_H
#define SP_TRAIN_DATA_INSIDE_H

#include "data.h"
#include "data_part.h"
#include "draws.h"

/* One batch's arrays (batch_train.h), which grow as batches need them. */
struct sp_data_arrays {
  size_t tokens, sequences; /* room */
  uint32_t *row_start, *positions, *target_row, *list_start;
  int32_t *ids, *target_id;
  uint64_t *item;
  float *first_pass, *errors, *teacher, *ref_words;
  uint32_t *able; /* (tokens) scratch: positions that may become targets */
};

enum { SP_TRAINING_PART, SP_HOLDOUT_PART };

struct sp_train_data {
  enum sp_objective objective;
  size_t max_tokens;
  double join_share, mask_rate, mask_as_mask, mask_as_random;
  uint64_t seed;
  size_t vocab_size;
  int32_t cls, sep, mask;
  int32_t special[5]; /* (n_special) ascending: what no random token is */
  size_t n_special;
  int32_t untouched[4]; /* [CLS], [SEP], [MASK], [PAD]: what is never a target; -1: there is none */
  struct sp_train_data_counts counts;
  struct sp_data_part part[2];
  bool has_teacher[2];
  char **files; /* (n_files) mlm: those that places name, training files first */
  size_t n_files;
  struct sp_order order; /* of `epoch` */
  uint64_t epoch;
  bool has_order;
  struct sp_data_arrays arrays;
  struct sp_buf name;
};

/* Whether a token may be a target. */
static inline bool sp_data_may_mask(const struct sp_train_data *data, int32_t id) {
  return id != data->untouched[0] && id != data->untouched[1] && id != data->untouched[2] &&
         id != data->untouched[3];
}

/* data_read.c: reads every input into the parts and the counts. */
SP_MUST_CHECK enum sp_status sp_data_read(struct sp_train_data *data,
                                          const struct sp_tokenizer *tokenizer,
                                          const struct sp_train_data_settings *settings,
                                          struct sp_error *err);

/* data_batch.c */
void sp_data_arrays_release(struct sp_data_arrays *arrays);

#endif
