/* run_success.h - the _SUCCESS file: one line a file of the run, with its hash. */
#ifndef SP_FORMATS_RUN_SUCCESS_H
#define SP_FORMATS_RUN_SUCCESS_H

#include <stdint.h>

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

/* *found is false when there is no _SUCCESS. SP_EDAMAGED names the file that is not as it was when
 * the run was finished: _SUCCESS itself, run.json or a marker. */
SP_MUST_CHECK enum sp_status sp_run_success_check(const char *run, size_t shards, bool *found,
                                                  struct sp_error *err);

/* Writes it; `markers` (shards): the hashes of the markers' bytes (sp_shard_done.marker_xxh64), for who has
 * just read them. */
SP_MUST_CHECK enum sp_status sp_run_success_seal(const char *run, size_t shards,
                                                 const uint64_t *markers, struct sp_error *err);

/* Is the last line the hash of all before it? */
bool sp_run_success_is_whole(struct sp_text text);

#ifdef __cplusplus
}
#endif
#endif
