/* bench_dir.h - a flat temporary directory for a benchmark's output. */
#ifndef SP_CLI_BENCH_DIR_H
#define SP_CLI_BENCH_DIR_H

#include "status.h"

struct sp_bench_dir {
  char path[512];
};

/* Made under $TMPDIR or /tmp. */
SP_MUST_CHECK enum sp_status sp_bench_dir_create(struct sp_bench_dir *directory,
                                                 struct sp_error *err);
/* Removes it with its files; gives the size of those whose names end in `suffix`. */
uint64_t sp_bench_dir_remove(struct sp_bench_dir *directory, const char *suffix);

#endif
