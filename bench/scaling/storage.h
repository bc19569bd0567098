/* storage.h - what a run directory's calls cost, assumed or measured, and how many of them a shard takes. */
#ifndef SP_BENCH_STORAGE_H
#define SP_BENCH_STORAGE_H

#include "simulator.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SIM_CALL_MAP(X)                                    \
  X(LOOKUP, "lookup") /* stat of what is not there */      \
  X(READ, "read")     /* open, read, close a small file */ \
  X(CREATE, "create") /* open a new file, write 4 KiB */   \
  X(FSYNC, "fsync")                                        \
  X(LINK, "link")                                          \
  X(UNLINK, "unlink")                                      \
  X(RENAME, "rename")                                      \
  X(SYNC_DIR, "sync_dir") /* fsync of the directory */     \
  X(ENTRY, "entry")       /* one name of a directory's list */

enum sim_call {
#define X(name, text) SIM_##name,
  SIM_CALL_MAP(X)
#undef X
      SIM_CALLS
};
extern const char *const sim_call_names[SIM_CALLS];

struct sim_calls {
  double latency[SIM_CALLS]; /* seconds, of one client that is alone */
  double service[SIM_CALLS]; /* seconds for which other clients wait: 1 / calls a second of many */
};

/* A network file system that nobody measured: half a millisecond a call, 2 ms to the disk; a server that
 * does 20,000 calls, 5,000 syncs and lists 500,000 names a second. */
struct sim_calls sim_calls_assumed(void);
/* Calls in a new directory inside `directory`, removed afterwards: medians of one client, then `clients`
 * threads at once. SP_EIO names the call that failed. */
SP_MUST_CHECK enum sp_status sim_calls_measure(const char *directory, size_t clients,
                                               struct sim_calls *out, struct sp_error *err);

/* Fills the visits to the directory, and the seal, for a run of `shards`. */
void sim_calls_apply(const struct sim_calls *calls, size_t shards, struct sim_rules *rules);

#ifdef __cplusplus
}
#endif
#endif
