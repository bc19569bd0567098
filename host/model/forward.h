/* forward.h - the encoder, written once, one backend op a line.
 *
 * A forward is one stream's buffers and one batch in flight; create as many as a device shall work
 * on at once. Its memory is taken at creation, a pure function of the model and the limits
 * (sp_forward_bytes); a batch allocates nothing.
 * Source: BERT, Devlin et al. 2018; post-LayerNorm encoder with learned absolute positions. */
#ifndef SP_MODEL_FORWARD_H
#define SP_MODEL_FORWARD_H

#include "batch.h"
#include "lookahead.h"
#include "nodes.h"
#include "weights.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Exact savings, each of which can be left out for measurement; scores stay the same. */
enum sp_saving {
  SP_SAVING_HEAD = 1,   /* only scored rows reach the vocabulary head (without: trim is off too) */
  SP_SAVING_TRIM = 2,   /* the last layer's q, output and feed-forward run at scored rows only */
  SP_SAVING_PACK = 4,   /* no padding */
  SP_SAVING_DEDUPE = 8, /* equal hypotheses and equal copies once */
  SP_SAVING_NODES = 16, /* equal nodes once, under bounded lookahead (without any other: off too) */
  SP_SAVING_ALL = 31,
  SP_N_SAVINGS = 5
};

struct sp_forward;

/* What a forward is made for, beside its weights. */
struct sp_forward_rule {
  struct sp_batch_limits limits;
  unsigned savings;              /* enum sp_saving */
  struct sp_lookahead lookahead; /* dynamic only where the weights have schedulers */
  bool trace;                    /* hand the schedulers' bits out; dynamic only */
  int32_t mask_id, pad_id;
};

/* Device memory of a forward, and host memory beside it. */
size_t sp_forward_bytes(const struct sp_model_config *config, const struct sp_device *device,
                        const struct sp_forward_rule *rule);
size_t sp_forward_host_bytes(const struct sp_model_config *config, const struct sp_device *device,
                             const struct sp_forward_rule *rule);
SP_MUST_CHECK enum sp_status sp_forward_create(const struct sp_weights *weights,
                                               const struct sp_forward_rule *rule,
                                               struct sp_forward **out, struct sp_error *err);
void sp_forward_destroy(struct sp_forward *forward);

/* Queues one batch; `batch` and its arrays must stay as they are until the end. After a failure
 * the forward can only be destroyed. */
SP_MUST_CHECK enum sp_status sp_forward_begin(struct sp_forward *forward,
                                              const struct sp_batch *batch, struct sp_error *err);
/* The same by distinct nodes: `nodes`, begun on a batch that gave `inputs`, goes through its levels
 * while the batch does, and is looked at until the end. The rule's lookahead must fit nodes. */
SP_MUST_CHECK enum sp_status sp_forward_begin_nodes(struct sp_forward *forward,
                                                    struct sp_nodes *nodes,
                                                    const struct sp_node_inputs *inputs,
                                                    struct sp_error *err);
/* Goes on by a layer; *done when nothing is left to queue. A plain batch is done at once. */
SP_MUST_CHECK enum sp_status sp_forward_advance(struct sp_forward *forward, bool *done,
                                                struct sp_error *err);
/* Goes on to the end and waits for the batch that was begun. logp (N) log-probabilities of the
 * targets, cls (cls_rows) outputs of the scalar head, and where the rule traces, bits (L, T) of every
 * layer's scheduler at every token, 0 in layers without reach, else NULL; all host memory, in the
 * batch's order. By nodes, logp and cls have the plan's order, and bits are left alone: sp_nodes_trace
 * has them. SP_EMODEL when a scheduler gives NaN. */
SP_MUST_CHECK enum sp_status sp_forward_end(struct sp_forward *forward, float *logp, float *cls,
                                            uint32_t *bits, struct sp_error *err);
/* The one after the other. */
SP_MUST_CHECK enum sp_status sp_forward_run(struct sp_forward *forward,
                                            const struct sp_batch *batch, float *logp, float *cls,
                                            uint32_t *bits, struct sp_error *err);

/* FLOPs of the matrix products for `sequences` that have `tokens` in all, sum_sq the sum of their
 * squared lengths, `rows` scored rows of which `mlm_rows` reach the vocabulary. */
double sp_forward_flops(const struct sp_model_config *config, unsigned savings, double tokens,
                        double sum_sq, double rows, double mlm_rows);
/* The same for distinct nodes, of which mlm_rows reach the vocabulary; attention apart. */
double sp_forward_node_flops(const struct sp_model_config *config, double nodes, double mlm_rows);

#ifdef __cplusplus
}
#endif
#endif
