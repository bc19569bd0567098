/* combine.h - one total from first-pass and second-pass scores, and the order that it gives.
 *
 *   first      sum over the first-pass components c of v_c * component_c
 *   s_k        second-pass score k divided by the length norm lp of its hypothesis
 *   additive   total = first + sum_k w_k s_k + bonus * words
 *   convex     total = (1 - sum_k w_k) first + sum_k w_k s_k + bonus * words
 *
 * The length norm applies to second-pass scores alone, each with its own token count; the first
 * pass stays as it is.  lp is 1 (none), the scored tokens n (tokens), the words (words), or
 * ((5 + n) / 6)^A (gnmt:A; Wu et al. 2016, "Google's Neural Machine Translation System", eq. 14).
 * A length of 0 counts as 1.  Words are those of error rates (text_words.h).
 *
 * Null scores  a hypothesis that lacks a used score, or has one beyond SP_SCORE_LIMIT either way,
 *              has no total (NaN) and comes after all that have one, in original order. Used is
 *              what the combination names, with whatever weight.
 * Order        higher totals first, equal totals in original order.
 * Exactness    totals are doubles, added in the order of the formula by sp_total alone: tuning and
 *              reranking see the same bits. */
#ifndef SP_RESCORE_COMBINE_H
#define SP_RESCORE_COMBINE_H

#include "archive.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_SCORE_LIMIT 1e100 /* what is larger is no log probability: null */
#define SP_WEIGHT_LIMIT 1e9  /* so that a total is always finite */

enum { sp_max_weights = 16, sp_score_name_max = 63 };

enum sp_combine { SP_COMBINE_ADDITIVE, SP_COMBINE_CONVEX };
enum sp_length_norm { SP_NORM_NONE, SP_NORM_TOKENS, SP_NORM_WORDS, SP_NORM_GNMT };

/* What totals are linear in. Of n second-pass scores; features x (n + 2) of a hypothesis are
 * first, s_0 .. s_n-1, words; weights (n + 1) are w_0 .. w_n-1, bonus. */
struct sp_linear {
  enum sp_combine kind;
  size_t n;
  double weights[sp_max_weights + 1];
};

/* NaN when a feature is NaN. */
double sp_total(const struct sp_linear *linear, const double *x);
/* Index of the hypothesis that ranks first of `n` > 0 with features x (n, linear->n + 2). */
size_t sp_best_of(const struct sp_linear *linear, const double *x, size_t n);
/* order (n): indices of the totals (n), best first. */
void sp_rank(const double *totals, size_t n, uint32_t *order);

struct sp_named_weight {
  char name[sp_score_name_max + 1];
  double value;
};
struct sp_named_weights {
  struct sp_named_weight items[sp_max_weights];
  size_t n;
};

/* A name is letters, digits, '_', '-', '.', and begins with a letter. */
bool sp_score_name_valid(struct sp_text name);
/* NULL when there is none of that name. */
const struct sp_named_weight *sp_named_weight_find(const struct sp_named_weights *weights,
                                                   const char *name);
/* Reads "pll=0.35,cls=1"; SP_EUSAGE names `option`. */
SP_MUST_CHECK enum sp_status sp_named_weights_parse(const char *text, const char *option,
                                                    struct sp_named_weights *out,
                                                    struct sp_error *err);

/* A combination as the user names it. Without first-pass components first is 0. */
struct sp_combination {
  enum sp_combine kind;
  struct sp_named_weights first, second;
  enum sp_length_norm norm;
  double gnmt_alpha;
  double bonus;
};

/* "none", "tokens", "words", "gnmt:0.6"; SP_EUSAGE otherwise. */
SP_MUST_CHECK enum sp_status sp_length_norm_parse(const char *text, enum sp_length_norm *norm,
                                                  double *gnmt_alpha, struct sp_error *err);
/* The inverse, appended. */
SP_MUST_CHECK enum sp_status sp_length_norm_text(const struct sp_combination *combination,
                                                 struct sp_buf *out, struct sp_error *err);
/* SP_EUSAGE when a weight is not finite or beyond SP_WEIGHT_LIMIT. */
SP_MUST_CHECK enum sp_status sp_combination_check(const struct sp_combination *combination,
                                                  struct sp_error *err);
void sp_combination_linear(const struct sp_combination *combination, struct sp_linear *out);

/* A second-pass score of one hypothesis. */
struct sp_second {
  double value; /* NaN: null */
  bool has_tokens;
  uint32_t n_tokens;
};
/* Fills the features x (n_second + 2) of a hypothesis; second (n_second) in the order of the
 * combination.  SP_EINPUT when the length norm needs token counts that are not known. */
SP_MUST_CHECK enum sp_status sp_features(const struct sp_combination *combination,
                                         const struct sp_hyp *hyp, const struct sp_second *second,
                                         double *x, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
