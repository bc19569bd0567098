/* lists.h - the N-best lists of a development archive as tuning needs them: numbers only.
 *
 * Memory     a hypothesis takes 8 (n_second + 2) + 4 bytes, a list 12; arrays grow by doubling. */
#ifndef SP_RESCORE_LISTS_H
#define SP_RESCORE_LISTS_H

#include "combine.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_lists {
  size_t n_second; /* of every sp_linear used with these lists */
  size_t n_lists, n_hyps;
  size_t *starts;   /* (n_lists + 1) first hypothesis of each list */
  uint32_t *blocks; /* (n_lists) what is resampled together: statistics; below n_blocks */
  uint32_t n_blocks;
  double *x;             /* (n_hyps, n_second + 2) features, in original order within a list */
  uint32_t *errors;      /* (n_hyps) unit errors of the hypothesis */
  uint64_t fixed_errors; /* of utterances without hypotheses */
  uint64_t ref_units;
  uint64_t worst_errors; /* of the worst choice in every list: at most INT32_MAX */
  size_t lists_capacity, hyps_capacity;
};

void sp_lists_init(struct sp_lists *lists, size_t n_second);
void sp_lists_release(struct sp_lists *lists);
/* Appends a list of n > 0 hypotheses with features x (n, n_second + 2) and errors (n). SP_EINPUT
 * when errors could not be counted any more. */
SP_MUST_CHECK enum sp_status sp_lists_add(struct sp_lists *lists, const double *x,
                                          const uint32_t *errors, size_t n, uint32_t block,
                                          struct sp_error *err);

static inline size_t sp_list_hyps(const struct sp_lists *lists, size_t list) {
  return lists->starts[list + 1] - lists->starts[list];
}
static inline const double *sp_list_x(const struct sp_lists *lists, size_t list) {
  return lists->x + lists->starts[list] * (lists->n_second + 2);
}
/* Errors of the hypothesis of `list` that ranks first. */
static inline uint32_t sp_list_errors(const struct sp_lists *lists, size_t list,
                                      const struct sp_linear *linear) {
  size_t best = sp_best_of(linear, sp_list_x(lists, list), sp_list_hyps(lists, list));
  return lists->errors[lists->starts[list] + best];
}

/* Errors of the whole archive reranked: of best hypotheses and of utterances without any. */
uint64_t sp_lists_errors(const struct sp_lists *lists, const struct sp_linear *linear);
/* The same of the first pass as it came, and of the best choice possible. */
uint64_t sp_lists_first_errors(const struct sp_lists *lists);
uint64_t sp_lists_oracle_errors(const struct sp_lists *lists);

#ifdef __cplusplus
}
#endif
#endif
