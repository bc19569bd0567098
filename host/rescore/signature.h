/* signature.h - one line that says how hypotheses were reranked.
 *
 * comb:additive|first:score=1|second:pll=0.35{pll|m:..},llm=0.1{xxh128:..}|ln:none|bonus:0|v:0.1.0
 * A second-pass score carries, in braces, the signature of its run or the hash of its file. */
#ifndef SP_RESCORE_SIGNATURE_H
#define SP_RESCORE_SIGNATURE_H

#include "scores.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Appends the line, NUL-terminated and without line end; scores NULL: without the braces. */
SP_MUST_CHECK enum sp_status sp_rescore_signature(const struct sp_combination *combination,
                                                  const struct sp_scores *scores,
                                                  struct sp_buf *out, struct sp_error *err);
enum { SP_SIGNATURE_MASK = 64 };
/* The lookahead mask in the signature of a run, "full", "causal forced" ..: out has room for
 * SP_SIGNATURE_MASK bytes; "" where the signature tells none. */
void sp_signature_mask(const char *signature, char *out);
/* The column of that name, NULL when there is none. */
const struct sp_score_column *sp_scores_find(const struct sp_scores *scores, const char *name);

#ifdef __cplusplus
}
#endif
#endif
