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

extern const struct sp_opt_group sp_wer_inputs_group, sp_wer_count_group, sp_wer_output_group;

/* SP_EUSAGE for what does not fit together. Fills in defaults. */
SP_MUST_CHECK enum sp_status sp_wer_args_check(struct sp_wer_args *args,
                                               const struct sp_operands *operands,
                                               struct sp_error *err);
enum sp_unit sp_wer_args_unit(const struct sp_wer_args *args);

#endif
