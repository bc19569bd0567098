/* weights_args.h - the combination of `rescore` and `report`: from --weight or from --weights. */
#ifndef SP_CLI_WEIGHTS_ARGS_H
#define SP_CLI_WEIGHTS_ARGS_H

#include "join_args.h"
#include "weights_file.h"

/* `weight` is the value of --weight, `weights` the file of --weights; NULL for what was not given.
 * The file says everything about the combination: SP_EUSAGE for options beside it. */
SP_MUST_CHECK enum sp_status sp_weights_args_read(const struct sp_join_args *join,
                                                  const char *weight, const char *weights,
                                                  struct sp_weights_file *out,
                                                  struct sp_error *err);
/* Where scores come from: a column's or a report's. */
struct sp_weights_origin {
  const char *path, *model_hash, *mask; /* mask as signature.h has it, "" where nothing tells it */
};
/* Messages when weight k of the file `path` was tuned for another model than that of the scores, or
 * under another mask where both are known. */
void sp_weights_args_say(const struct sp_weights_file *file, size_t k,
                         const struct sp_weights_origin *scores, const char *path);

#endif
