/* network.h - the encoder and its heads forwards and backwards on one device, one op a line.
 *
 * Holds the parameters' device copy, their gradients and the activations of one batch; memory is taken at
 * creation.  Order of calls for a batch: forward; scores or soft masks may be looked at; backward adds to
 * the gradients.  Source: BERT, Devlin et al. 2018 (post-LayerNorm). */
#ifndef SP_TRAIN_NETWORK_H
#define SP_TRAIN_NETWORK_H

#include "batch_train.h"
#include "params.h"
#include "train.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_network;

struct sp_network_limits {
  size_t tokens, sequences, targets; /* of a batch */
  size_t threads;                    /* of a CPU */
};
/* What a forward does. */
struct sp_network_pass {
  bool backward;   /* mlm: the vocabulary's gradients are made on the way forward */
  float mlm_scale; /* d loss of every target: 1 / targets of the whole step */
  float tau;       /* of soft masks */
  bool hard;       /* rounded masks: no backward */
};

SP_MUST_CHECK enum sp_status sp_network_create(struct sp_device *device,
                                               const struct sp_params *params,
                                               const struct sp_network_limits *limits,
                                               struct sp_network **out, struct sp_error *err);
/* NULL is fine. */
void sp_network_destroy(struct sp_network *network);
struct sp_trainer *sp_network_trainer(struct sp_network *network);
/* Flat arrays (params->count) in device memory. */
float *sp_network_values(struct sp_network *network);
float *sp_network_gradients(struct sp_network *network);
/* After values changed. */
SP_MUST_CHECK enum sp_status sp_network_refresh(struct sp_network *network, struct sp_error *err);

SP_MUST_CHECK enum sp_status sp_network_forward(struct sp_network *network,
                                                const struct sp_train_batch *batch,
                                                const struct sp_network_pass *pass,
                                                struct sp_error *err);
/* Of the batch that was forwarded; each waits. loss (N) of the targets, score (S) of the cls head, soft
 * masks a (L, T, J), J the greatest reach. */
SP_MUST_CHECK enum sp_status sp_network_losses(struct sp_network *network, float *loss,
                                               struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_network_scores(struct sp_network *network, float *score,
                                               struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_network_soft_masks(struct sp_network *network, float *a,
                                                   struct sp_error *err);
/* d_score (S) where the batch has lists, else NULL; d_a (L, T, J) is added to the soft masks' gradient, or
 * NULL. */
SP_MUST_CHECK enum sp_status sp_network_backward(struct sp_network *network, const float *d_score,
                                                 const float *d_a, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
