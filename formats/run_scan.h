/* run_scan.h - what lies in a run directory, told from the names. */
#ifndef SP_FORMATS_RUN_SCAN_H
#define SP_FORMATS_RUN_SCAN_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

enum sp_run_name {
  SP_NAME_OTHER,     /* not ours to judge */
  SP_NAME_SHARD,     /* a shard or a marker of a run of this many shards */
  SP_NAME_FOREIGN,   /* looks like a shard's file, but is none of this run */
  SP_NAME_TEMPORARY, /* a file that a killed process did not finish */
};

enum sp_run_name sp_run_name_of(const char *name, size_t shards);
/* False unless the name is a file's of a shard of this run; which shard, and whether it is its marker. */
bool sp_run_shard_name(const char *name, size_t shards, size_t *index, bool *marker);

/* Calls `each` for every entry but "." and "..", in no order; stops at the first failure. */
typedef enum sp_status (*sp_run_scan_fn)(void *context, const char *name, struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_run_scan(const char *run, sp_run_scan_fn each, void *context,
                                         struct sp_error *err);

/* A client of a network file system may remember that a name was not there, and lists of before; making a
 * file in the directory has it see that others have changed it, and ask again. */
SP_MUST_CHECK enum sp_status sp_run_look_afresh(const char *run, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
