/* masks_args.h - what `secondpass masks` takes. */
#ifndef SP_CLI_MASKS_ARGS_H
#define SP_CLI_MASKS_ARGS_H

#include "options.h"

struct sp_masks_args {
  struct sp_score_options options; /* model, mask, how text is read, device */
  const char *ids;                 /* comma-separated; NULL: the first utterances */
  const char *text;                /* in place of an archive */
  const char *layers;              /* comma-separated; NULL: all */
  const char *cone;                /* a position; NULL: chosen */
  const char *out;                 /* directory; NULL: no pictures */
  size_t hyp;                      /* original rank */
  bool svg, png;                   /* neither: both */
  bool json;
};

extern const struct sp_opt_group *const sp_masks_groups[];

/* The next of comma-separated numbers below `end`; *rest moves on, to NULL after the last. SP_EUSAGE
 * names the option and what its numbers are. */
SP_MUST_CHECK enum sp_status sp_masks_next_number(const char *option, const char *what, size_t end,
                                                  const char **rest, size_t *out,
                                                  struct sp_error *err);

#endif
