/* state_file.h - the bytes of one state file; private to state.c, its tests and its fuzzer.
 *
 * Layout: a line of JSON {"format":"secondpass-state","version":1,"step":N,"count":C,"facts":{..}}, the
 * f32 arrays param, m and v of C numbers each, little-endian, without a gap, then the XXH3-128 of all
 * bytes before it, in its canonical form (16 bytes, big-endian). */
#ifndef SP_TRAIN_STATE_FILE_H
#define SP_TRAIN_STATE_FILE_H

#include "buf.h"
#include "state.h"

#ifdef __cplusplus
extern "C" {
#endif

/* As a whole or not at all (sink.h). */
SP_MUST_CHECK enum sp_status sp_state_file_write(const char *path, uint64_t step,
                                                 const json_t *facts,
                                                 const struct sp_train_arrays *arrays,
                                                 struct sp_error *err);
/* Hostile bytes of the file `path`, the state of `step`.  SP_EDAMAGED when they are not what was written,
 * SP_EMODEL when they are, but of another number of parameters or version; *facts is the caller's to
 * release. The arrays are written on success alone. */
SP_MUST_CHECK enum sp_status sp_state_file_parse(struct sp_text bytes, const char *path,
                                                 uint64_t step, struct sp_train_arrays *arrays,
                                                 json_t **facts, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
