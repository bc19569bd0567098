/* bench.c - `secondpass bench`: the list of built-in benchmarks; each has a file of its own. */
#include "commands.h"

static const struct sp_command *const children[] = {&sp_command_bench_engine,
                                                    &sp_command_bench_savings,
                                                    &sp_command_bench_masks,
                                                    &sp_command_bench_lists,
                                                    &sp_command_bench_replay,
                                                    &sp_command_bench_io,
                                                    &sp_command_bench_wer,
                                                    &sp_command_bench_tune,
                                                    NULL};

const struct sp_command sp_command_bench = {
    .name = "bench",
    .summary = "measures this machine and this build",
    .example = "secondpass bench io --model bert-base-uncased dev.jsonl.zst",
    .usage = "NAME [OPTIONS] [ARGUMENTS]",
    .children = children,
};
