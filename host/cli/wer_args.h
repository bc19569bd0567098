/* wer_args.h - what `wer` takes on the command line. */
#ifndef SP_CLI_WER_ARGS_H
#define SP_CLI_WER_ARGS_H

#include "archive_args.h"
#include "units.h"

struct sp_wer_args {
  struct sp_archive_args archive; /* first: see archive_args.h */
  const char *ref, *hyp, *against;
  const char *unit, *normalize, *block_by;
  const char *per_utt, *align;
  size_t replicates;
  uint64_t seed;
  bool json;
};

extern const char sp_unit_choices[]; /* of --unit */

/* Rows of the intervals for another's table. */
#define SP_BOOTSTRAP_OPTION(at)                                                          \
  {                                                                                      \
    .name = "bootstrap", .kind = SP_OPT_SIZE, .offset = (at), .argument = "N", .min = 1, \
    .max = 1000000, .fallback = "1000", .help = "replicates of the intervals"            \
  }
#define SP_SEED_OPTION(at)                                                         \
  {                                                                                \
    .name = "seed", .kind = SP_OPT_U64, .offset = (at), .argument = "N", .min = 1, \
    .max = UINT64_MAX, .fallback = "1", .help = "of the replicates"                \
  }

extern const struct sp_opt_group sp_wer_inputs_group, sp_wer_count_group, sp_wer_output_group;

/* SP_EUSAGE for what does not fit together. Fills in defaults. */
SP_MUST_CHECK enum sp_status sp_wer_args_check(struct sp_wer_args *args,
                                               const struct sp_operands *operands,
                                               struct sp_error *err);
enum sp_unit sp_wer_args_unit(const struct sp_wer_args *args);

#endif
