/* rerank.h - an utterance in the order of its totals. */
#ifndef SP_RESCORE_RERANK_H
#define SP_RESCORE_RERANK_H

#include "combine.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_reranker;

struct sp_reranker_counts {
  uint64_t utts, hyps;
  uint64_t nulls;   /* hypotheses without a total: ranked last */
  uint64_t changed; /* utterances with another first hypothesis than before */
};

/* The combination is copied. */
SP_MUST_CHECK enum sp_status sp_reranker_create(const struct sp_combination *combination,
                                                struct sp_reranker **out, struct sp_error *err);
/* NULL is fine. */
void sp_reranker_destroy(struct sp_reranker *reranker);
/* *out is utt with its hypotheses best first, each with its rank in utt and its total; second
 * (n_hyps, n_second). Valid until the next call, as long as utt. */
SP_MUST_CHECK enum sp_status sp_rerank(struct sp_reranker *reranker, const struct sp_utt *utt,
                                       const struct sp_second *second, struct sp_utt *out,
                                       struct sp_error *err);
struct sp_reranker_counts sp_reranker_get_counts(const struct sp_reranker *reranker);

#ifdef __cplusplus
}
#endif
#endif
