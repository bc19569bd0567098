/* bench_args.h - what `bench engine`, `savings` and `masks` take, and the workload they time. */
#ifndef SP_CLI_BENCH_ARGS_H
#define SP_CLI_BENCH_ARGS_H

#include "measure.h"
#include "options.h"

enum { sp_bench_max_rounds = 1000 };

struct sp_bench_args {
  struct sp_score_options options;
  size_t length; /* tokens of every hypothesis with [CLS] and [SEP]; 0: an archive's own */
  size_t hyps;   /* how many of them */
  uint64_t seconds;
  bool json;
  bool scoring_only; /* bench engine: no rounds of the products alone */
};

extern const struct sp_opt_group sp_bench_group;
extern const struct sp_opt_group sp_bench_mask_group; /* the mask of the workload */

/* Opens the workload that the arguments name: an archive or --length. */
SP_MUST_CHECK enum sp_status sp_bench_open(const struct sp_bench_args *args,
                                           const struct sp_operands *operands,
                                           struct sp_workload *out, struct sp_error *err);
/* Whether another round is due: at least three, then until the seconds are over. */
bool sp_bench_goes_on(const struct sp_bench_args *args, size_t rounds, double since);

#endif
