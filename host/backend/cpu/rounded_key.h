/* rounded_key.h - whether a scheduler's rounded mask has a key, from the key's logit. */
#ifndef SP_CPU_ROUNDED_KEY_H
#define SP_CPU_ROUNDED_KEY_H

#include <math.h>
#include <stdbool.h>

/* g >= 0, never a rounded sigmoid; of a span whether *product, over the keys so far in ascending order
 * and 1 before the first, is 0.5 or more.  NaN has no key. */
static inline bool sp_rounded_key(bool span, float tau, float g, float *product) {
  if (!span) {
    return g >= 0.0f;
  }
  *product *= 1.0f / (1.0f + expf(-tau * g));
  return *product >= 0.5f;
}

#endif
