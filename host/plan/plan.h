/* plan.h - from the tokens of a shard's hypotheses to the sequences that the encoder must see.
 *
 * The scoring rule (methods: pll, pll_l2r, maskless, cls) turns every hypothesis into sequences
 * ([CLS] tokens [SEP], some positions masked), scored rows of them, and targets in those rows.
 * Equal hypotheses, equal masked copies and equal targets are kept once.  The plan is pure: it
 * depends on its input alone, and what a hypothesis scores never depends on its neighbours.
 *
 * Order      sequences by length, longest first, then by first appearance, or where the rule keeps
 *            lists together, by first appearance alone, so that those of one text and those of one
 *            list stand together; rows grouped by sequence, by position in it; targets grouped by
 *            row; cls rows counted apart, in the order of their sequences.
 * Source     PLL: Salazar et al. 2020; pll_l2r (within-word left to right): Kauf & Ivanova 2023. */
#ifndef SP_PLAN_H
#define SP_PLAN_H

#include "arena.h"
#include "score_line.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Tokens of one hypothesis, without [CLS] and [SEP]; n > 0. */
struct sp_plan_hyp {
  const int32_t *ids;   /* (n) */
  const uint32_t *word; /* (n) word of each token, ascending */
  uint32_t n;
  uint32_t list;        /* number of its N-best list, ascending */
};

/* Targets that may share one row, so that a batch's targets are bounded by its rows. */
#define SP_PLAN_MAX_TARGETS 64

struct sp_plan_rule {
  unsigned methods; /* bits 1u << enum sp_method */
  bool dedupe;      /* share equal hypotheses and equal copies */
  bool keep_lists;  /* order by first appearance */
  bool trace;       /* every text has its unmasked sequence, for the sake of its masks */
  bool cls_last;    /* cls scores [SEP], else [CLS] */
  int32_t cls, sep, mask;
};

struct sp_sequence {
  uint32_t base;             /* index of its text */
  uint32_t mask_lo, mask_hi; /* masked positions [lo, hi); position 0 is [CLS] */
  uint32_t row_first;        /* its rows end where the next sequence's begin */
  uint32_t trace;            /* positions of traced sequences before it; UINT32_MAX: not traced */
};

struct sp_plan {
  size_t bases;         /* B: distinct texts */
  int32_t *base_ids;    /* [CLS] ids [SEP] of each, end to end */
  uint32_t *base_start; /* (B + 1) */
  uint32_t *base_list;  /* (B) list of the first hypothesis with this text */
  uint32_t *base_trace; /* (B) its unmasked sequence, with a rule that traces; else NULL */

  size_t sequences;             /* S */
  struct sp_sequence *sequence; /* (S + 1), the last one only ends the rows */
  size_t rows;                  /* R */
  uint32_t *row_position;       /* (R) */
  uint32_t *row_target;         /* (R + 1) first target of each row; none for a cls row */
  uint32_t *row_cls;            /* (R + 1) cls rows before this one */
  size_t targets;               /* N */
  int32_t *target_id;           /* (N) */
  size_t cls_rows;

  size_t tokens; /* of all sequences */
  size_t traced; /* positions of traced sequences */
  size_t copies; /* sequences of all hypotheses before any sharing */

  uint32_t *hyp_base; /* (hypotheses of the input) */
  /* Where the results of a text stand.  For cls one entry: the cls row; else one target a token. */
  uint32_t *result_first[SP_METHOD_COUNT]; /* (B) into `result`, or NULL without the method */
  uint32_t *result;

  struct sp_arena arena; /* owns everything above */
};

static inline uint32_t sp_plan_base_len(const struct sp_plan *plan, uint32_t base) {
  return plan->base_start[base + 1] - plan->base_start[base];
}

/* Builds a plan; the arena's memory of an earlier plan in *plan is reused. SP_EINPUT when a count
 * passes 2^32 - 2, SP_EDEVICE when out of memory. */
SP_MUST_CHECK enum sp_status sp_plan_build(struct sp_plan *plan, const struct sp_plan_hyp *hyps,
                                           size_t n_hyps, const struct sp_plan_rule *rule,
                                           struct sp_error *err);
void sp_plan_release(struct sp_plan *plan);

#ifdef __cplusplus
}
#endif
#endif
