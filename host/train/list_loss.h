/* list_loss.h - losses on N-best lists, and their gradients: pure functions in f64.
 *
 * Sign      scores here are log-probabilities, higher is better, as everywhere inside; first pass a_i,
 *           model l_i, interpolated s_i = a_i + beta l_i.  The papers' costs are -s_i; MWED is the same
 *           for both
 * Missing   a hypothesis whose a_i, e_i or t_i is no finite number takes no part: not in the softmax, the
 *           mean, the temperature or the count; its gradient is 0.  A model score that is not finite does
 *           not make it missing: the value becomes NaN, so that a model that went astray is seen
 * Sources   MWER: Prabhavalkar et al. 2018; RescoreBERT: Xu et al. 2022 (arXiv 2202.01094).  MWED's
 *           formula is rebuilt from third parties' code (methods.md 1.7) */
#ifndef SP_TRAIN_LIST_LOSS_H
#define SP_TRAIN_LIST_LOSS_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_list_loss {
  double value;
  bool skipped; /* the list gives no loss and no gradient (d_l is 0): fewer than two hypotheses take
                     part (distill: none); mwed also where sum e = 0, or sum s is 0 or so near to it that
                     the scaled scores are no finite numbers */
  size_t used;  /* hypotheses that took part, or would have */
};

/* sum_i P_i (e_i - mean e), P = softmax(s).  d_l (n) = d value / d l, written. */
struct sp_list_loss sp_mwer(const float *first, const float *model, const float *errors, size_t n,
                            double beta, double *d_l);
/* KL(softmax(e) || softmax(s / T)), T = sum s / sum e; with `detach`, T is a constant to the gradient. */
struct sp_list_loss sp_mwed(const float *first, const float *model, const float *errors, size_t n,
                            double beta, bool detach, double *d_l);
/* sum_i (l_i - t_i)^2 over hypotheses with a teacher score t_i; d_l (n). */
struct sp_list_loss sp_distill(const float *model, const float *teacher, size_t n, double *d_l);

#ifdef __cplusplus
}
#endif
#endif
