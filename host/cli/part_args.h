/* part_args.h - which part of a run `score` has, and what it does when it is to end. */
#ifndef SP_CLI_PART_ARGS_H
#define SP_CLI_PART_ARGS_H

#include "options.h"

struct sp_part_args {
  const char *part;    /* "I/N" or "none"; NULL: the environment tells */
  double lease, grace; /* seconds; 0: the default */
  bool own_share;
};

/* Its offsets are those of struct sp_score_args. */
extern const struct sp_opt_group sp_score_part;

/* Fills part, parts, lease and grace of the options, whose out and archives are set.  Without --part the
 * variables of a Slurm array, of a Kubernetes indexed job, of torchrun or of a step of srun decide, and a message
 * says so; they are not looked at where parts cannot be had (--out -, standard input).  SP_EUSAGE names the option or the
 * variable. */
SP_MUST_CHECK enum sp_status sp_part_args_resolve(const struct sp_part_args *args,
                                                  struct sp_score_options *options,
                                                  struct sp_error *err);

#endif
