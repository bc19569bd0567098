/* batch.h - cuts a plan into batches of packed sequences and lays one batch out for the encoder. */
#ifndef SP_PLAN_BATCH_H
#define SP_PLAN_BATCH_H

#include "plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Consecutive sequences of a plan. */
struct sp_batch_range {
  uint32_t first, count;
};

/* The most that a batch can have: buffers are sized by it. */
struct sp_batch_limits {
  size_t tokens;  /* T, at least the model's longest sequence; bounds S and R too */
  size_t targets; /* N, at least SP_PLAN_MAX_TARGETS times the longest sequence */
};

/* Cuts the plan greedily; *out is allocated from the plan's arena. `pack` false: every sequence of
 * a batch takes as many tokens as its longest. NULL when out of memory. */
struct sp_batch_range *sp_plan_cut(struct sp_plan *plan, const struct sp_batch_limits *limits,
                                   bool pack, size_t *n_batches);

/* One batch as arrays; S sequences, T token slots, R scored rows, N targets. */
struct sp_batch {
  size_t sequences, tokens, rows, targets, cls_rows;
  int32_t *base_ids;         /* (base_tokens) texts of the sequences, one after the other */
  size_t base_tokens;        /* at most T */
  uint32_t *base_start;      /* (S) */
  uint32_t *len;             /* (S) */
  uint32_t *mask_lo, *mask_hi; /* (S) */
  uint32_t *token_start;     /* (S + 1) */
  uint32_t *row_start;       /* (S + 1) scored rows of each sequence */
  uint32_t *row_position;    /* (R) in its sequence */
  uint32_t *row_token;       /* (R) packed token */
  uint32_t *mlm_row;         /* (R - cls_rows) rows that have targets */
  uint32_t *cls_row;         /* (cls_rows) */
  uint32_t *target_row;      /* (N) index into mlm_row */
  const int32_t *target_id;  /* (N) the plan's */
  size_t first_target, first_cls; /* where the results belong in the plan's numbering */
};

/* Arrays for batches within the limits, from `arena`; false when out of memory. */
bool sp_batch_init(struct sp_batch *batch, const struct sp_batch_limits *limits,
                   struct sp_arena *arena);
void sp_batch_fill(struct sp_batch *batch, const struct sp_plan *plan, struct sp_batch_range range,
                   bool pack);

#ifdef __cplusplus
}
#endif
#endif
