/* run_files.h - names and small files of a run directory. */
#ifndef SP_FORMATS_RUN_FILES_H
#define SP_FORMATS_RUN_FILES_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_RUN_MANIFEST "run.json"
#define SP_RUN_PLAN "plan.jsonl.zst"
#define SP_RUN_SUCCESS "_SUCCESS"
#define SP_RUN_LOCK ".lock"
#define SP_SHARD_PREFIX "scores-"
#define SP_SHARD_DATA ".jsonl.zst"
#define SP_SHARD_DONE ".done"
#define SP_TEMPORARY_PREFIX ".tmp-" /* of shards under work */
#define SP_TEMPORARY_LOCK ".tmp-lock-"
#define SP_TEMPORARY_LOOK ".tmp-look"

#define SP_SHARDS_CEILING 10000000

/* Appends RUN/name, NUL-terminated. */
SP_MUST_CHECK enum sp_status sp_run_path(struct sp_buf *out, const char *run, const char *name,
                                         struct sp_error *err);
/* Appends a whole small file. *found is false when there is none; SP_EDAMAGED when it is larger
 * than `ceiling`. One that is replaced or removed on another host while it is read is read again. */
SP_MUST_CHECK enum sp_status sp_run_file_read(const char *path, size_t ceiling, struct sp_buf *out,
                                              bool *found, struct sp_error *err);

/* A directory without its `manifest` must hold nothing but our own hidden files and what a killed process
 * left of the manifest, or a plan whose manifest is gone; SP_EIDENTITY names what else there is. */
SP_MUST_CHECK enum sp_status sp_run_check_empty(const char *run, const char *manifest,
                                                struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
