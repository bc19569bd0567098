/* config_lookahead.h - the config's object "lookahead"; private to config.c.
 *
 *   policy       "full", "causal", "layerwise", "chunked" or "dynamic"
 *   max          R, 1 to 32                                               layerwise, dynamic
 *   layers       one R a layer, 0 (causal there) to max; default max      layerwise, dynamic
 *   chunk        C, 1 to max_position_embeddings                          chunked
 *   left         past positions that a row sees besides itself; all       all but full
 *   cells        "independent" (default) or "span"                        dynamic
 *   tau          of span, over 0; default 1                               dynamic
 *   hidden_size  M of a hidden layer in every scheduler; none             dynamic
 *   hidden_act   its activation: "tanh" (default), "gelu", "gelu_new", "relu"
 *   cls          the row that a cls head scores: "first" (default) or "last"      all but full
 *   cls_view     what it sees: "bound" (default), "last-layer" or "hidden"        all but full */
#ifndef SP_MODEL_CONFIG_LOOKAHEAD_H
#define SP_MODEL_CONFIG_LOOKAHEAD_H

#include "config.h"
#include "config_read.h"

/* Fills lookahead and the scheduler's members of `out`, whose sizes are read. SP_EMODEL for an unknown
 * key, a value out of range, or one that the policy does not take. */
SP_MUST_CHECK enum sp_status sp_config_read_lookahead(const struct sp_config_reader *root,
                                                      struct sp_model_config *out);

#endif
