/* mask_rule.h - which lookahead mask a run scores under: the model's own, or the one asked for.
 *
 * A model without "lookahead" in its config was trained with the full mask.  Words that come to the
 * model's rule are always fine; of the same policy they leave its left window and its scheduler alone.
 * The cls row is the config's under any mask. */
#ifndef SP_ENGINE_MASK_RULE_H
#define SP_ENGINE_MASK_RULE_H

#include "config.h"
#include "settings.h"

/* *forced: the mask is not the model's, and the settings say to use it all the same.  SP_EUSAGE for a
 * mask that contradicts the model or has another number of layers, SP_EMODEL for a dynamic one that the
 * model has no scheduler for. */
SP_MUST_CHECK enum sp_status sp_mask_rule_choose(const struct sp_settings *settings,
                                                 const struct sp_model_config *config,
                                                 struct sp_lookahead *out, bool *forced,
                                                 struct sp_error *err);

#endif
