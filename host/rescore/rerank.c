#include "rerank.h"

#include <math.h>
#include <stdlib.h>

#include "checked.h"

struct sp_reranker {
  struct sp_combination combination;
  struct sp_linear linear;
  struct sp_reranker_counts counts;
  struct sp_hyp *hyps; /* (capacity) each */
  double *totals;
  uint32_t *order;
  size_t capacity;
};

enum sp_status sp_reranker_create(const struct sp_combination *combination,
                                  struct sp_reranker **out, struct sp_error *err) {
  *out = calloc(1, sizeof **out);
  if (!*out) {
    return sp_fail_memory(err, sizeof **out);
  }
  (*out)->combination = *combination;
  sp_combination_linear(combination, &(*out)->linear);
  return SP_OK;
}

void sp_reranker_destroy(struct sp_reranker *reranker) {
  if (reranker) {
    free(reranker->hyps);
    free(reranker->totals);
    free(reranker->order);
    free(reranker);
  }
}

static enum sp_status reserve(struct sp_reranker *reranker, size_t n, struct sp_error *err) {
  if (n <= reranker->capacity) {
    return SP_OK;
  }
  free(reranker->hyps);
  free(reranker->totals);
  free(reranker->order);
  reranker->capacity = 0;
  reranker->hyps = calloc(n, sizeof *reranker->hyps);
  reranker->totals = calloc(n, sizeof *reranker->totals);
  reranker->order = calloc(n, sizeof *reranker->order);
  if (!reranker->hyps || !reranker->totals || !reranker->order) {
    return sp_fail_memory(err, sp_mul_sat(n, sizeof *reranker->hyps));
  }
  reranker->capacity = n;
  return SP_OK;
}

enum sp_status sp_rerank(struct sp_reranker *reranker, const struct sp_utt *utt,
                         const struct sp_second *second, struct sp_utt *out, struct sp_error *err) {
  size_t n = utt->n_hyps, n_second = reranker->combination.second.n;
  SP_TRY(reserve(reranker, n, err));
  for (size_t i = 0; i < n; i++) {
    double x[sp_max_weights + 2];
    SP_TRY(sp_features(&reranker->combination, &utt->hyps[i], second + i * n_second, x, err));
    reranker->totals[i] = sp_total(&reranker->linear, x);
    reranker->counts.nulls += isnan(reranker->totals[i]);
  }
  sp_rank(reranker->totals, n, reranker->order);
  for (size_t k = 0; k < n; k++) {
    uint32_t from = reranker->order[k];
    struct sp_hyp *hyp = &reranker->hyps[k];
    *hyp = utt->hyps[from];
    hyp->has_rank = true;
    hyp->rank = from;
    hyp->has_total = !isnan(reranker->totals[from]);
    hyp->total = hyp->has_total ? reranker->totals[from] : 0;
  }
  reranker->counts.utts++;
  reranker->counts.hyps += n;
  reranker->counts.changed += n > 0 && reranker->order[0] != 0;
  *out = *utt;
  out->hyps = reranker->hyps;
  return SP_OK;
}

struct sp_reranker_counts sp_reranker_get_counts(const struct sp_reranker *reranker) {
  return reranker->counts;
}
