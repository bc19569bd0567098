/* spill.h - an array that is written once, in order, and then read anywhere: an unlinked file, mapped.
 *
 * Flow     init; append; map; `data`; release.  What fits the buffer never becomes a file. */
#ifndef SP_TRAIN_SPILL_H
#define SP_TRAIN_SPILL_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_spill {
  const char *directory; /* where the file would be; the caller's */
  char *buffer;
  size_t filled;    /* of the buffer */
  uint64_t bytes;   /* in all */
  int fd;           /* -1: none */
  const void *data; /* (bytes) after map */
};

void sp_spill_init(struct sp_spill *spill, const char *directory);
SP_MUST_CHECK enum sp_status sp_spill_append(struct sp_spill *spill, const void *data, size_t len,
                                             struct sp_error *err);
/* Ends the writing. `data` lives until release. */
SP_MUST_CHECK enum sp_status sp_spill_map(struct sp_spill *spill, struct sp_error *err);
void sp_spill_release(struct sp_spill *spill);

#ifdef __cplusplus
}
#endif
#endif
