/* lookahead.h - how far attention looks ahead: a mask policy and its reach.
 *
 * Written as on the command line: "full", "causal", "layerwise:R" (R positions ahead in every
 * layer), "chunked:C" (to the end of a chunk of C positions). */
#ifndef SP_MODEL_LOOKAHEAD_H
#define SP_MODEL_LOOKAHEAD_H

#include "backend.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_lookahead {
  enum sp_mask_policy policy; /* SP_MASK_FULL: no mask at all */
  size_t reach;               /* positions; 0 where the policy has none */
};

/* SP_EUSAGE, saying what is taken. */
SP_MUST_CHECK enum sp_status sp_lookahead_parse(const char *text, struct sp_lookahead *out,
                                                struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
