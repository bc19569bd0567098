/* masks_inputs.h - the texts of `secondpass masks`, from an archive or the command line. */
#ifndef SP_CLI_MASKS_INPUTS_H
#define SP_CLI_MASKS_INPUTS_H

#include "masks_args.h"
#include "text_rule.h"

struct sp_masks_input {
  struct sp_text id;   /* "text" of one from the command line */
  struct sp_text text; /* of the hypothesis asked for */
};

struct sp_masks_inputs {
  struct sp_arena arena;        /* owns the texts */
  struct sp_masks_input *items; /* (n), in the archive's order */
  size_t n, room;
  struct sp_case_look look; /* at the start of the archive, as scoring looks */
};

/* Reads as far as is needed. SP_EUSAGE for arguments that do not go together, an id that no utterance
 * has and a rank that a list lacks; SP_EINPUT for a list without hypotheses; else as the archive.
 * Release also on failure. */
SP_MUST_CHECK enum sp_status sp_masks_inputs_read(const struct sp_masks_args *args,
                                                  const struct sp_operands *operands,
                                                  struct sp_masks_inputs *out,
                                                  struct sp_error *err);
void sp_masks_inputs_release(struct sp_masks_inputs *inputs);

#endif
