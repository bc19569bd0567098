/* batch_train.h - what one forward and backward pass works on: packed sequences, and what is asked.
 *
 * Sequence s is rows [row_start[s], row_start[s+1]): [CLS], tokens, [SEP].  Host memory of whoever fills
 * it; arrays are valid until the source's next call. */
#ifndef SP_TRAIN_BATCH_H
#define SP_TRAIN_BATCH_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_train_batch {
  size_t sequences, tokens;   /* S; T with [CLS] and [SEP] */
  const uint32_t *row_start;  /* (S + 1) */
  const int32_t *ids;         /* (T) as the encoder sees them: masked */
  const uint32_t *positions;  /* (T) from 0 in each sequence */
  const uint64_t *item;       /* (S) which item of the data it is: for messages */

  size_t targets;             /* mlm; 0 else */
  const uint32_t *target_row; /* (N) ascending */
  const int32_t *target_id;   /* (N) */

  size_t lists;               /* cls objectives: consecutive sequences are lists; 0 else */
  const uint32_t *list_start; /* (lists + 1) first sequence of each */
  const float *first_pass;    /* (S) log-probabilities; NULL when the objective needs none */
  const float *errors;        /* (S) word errors, counts or rates; NULL when it needs none */
  const float *ref_words;     /* (lists) words of each list's reference; NULL as errors */
  const float *teacher;       /* (S) target score (log-probability, not divided by length); NULL when it
                                 needs none, NaN where the teacher gave null */
};

#ifdef __cplusplus
}
#endif
#endif
