/* cost.h - what scoring is predicted to take, from lengths alone: orders shards, and plans archives that
 * are only described. */
#ifndef SP_ENGINE_COST_H
#define SP_ENGINE_COST_H

#include "config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* FLOPs of the matrix products of a hypothesis of `tokens` tokens, [CLS] and [SEP] not counted, under
 * `methods` (bits 1u << enum sp_method), with all savings that need no look at other hypotheses. */
double sp_cost_of_hyp(const struct sp_model_config *config, unsigned methods, uint64_t tokens);

#ifdef __cplusplus
}
#endif
#endif
