/* state.h - a training run on disk: what is needed to go on as if it had never stopped.
 *
 * OUT/state-NNNNNNNN.sptrain   one file a checkpoint, number = step: a header line of JSON, then the flat
 *                              f32 arrays param, m, v; all of it under an XXH3-128 at the end
 * Written under another name, synced and renamed; older ones are removed only then.  A file that is cut or
 * harmed is passed over with a note, and the next older one is taken.  Bytes on disk are hostile. */
#ifndef SP_TRAIN_STATE_H
#define SP_TRAIN_STATE_H

#include <jansson.h>

#include "params.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_train_arrays {
  float *param, *m, *v; /* (count) host memory */
  size_t count;
};

/* `facts`: an object of the caller's (step, epoch, position in the data, moving averages, best loss, ..);
 * f64 values survive to the bit.  Keeps the newest `keep` files up to this step (one at least), and none of
 * later steps: those were passed over.  What a killed save left is removed.  SP_EIO. */
SP_MUST_CHECK enum sp_status sp_state_save(const char *directory, uint64_t step,
                                           const json_t *facts,
                                           const struct sp_train_arrays *arrays, size_t keep,
                                           struct sp_error *err);
/* The newest whole one; *facts is NULL when the directory has none, else the caller's to release.  When
 * harmed files were passed over, *note (room bytes) says which, else it is empty.  SP_EDAMAGED when all are
 * harmed; SP_EMODEL for a whole file of another number of parameters.  The arrays are written on success
 * alone. */
SP_MUST_CHECK enum sp_status sp_state_load(const char *directory, struct sp_train_arrays *arrays,
                                           json_t **facts, char *note, size_t room,
                                           struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
