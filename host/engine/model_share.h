/* model_share.h - the model directory as all ranks of a job have it: rank 0 reads the files, each once, and
 * the others get their bytes; they need no access to the directory.
 *
 * Between processes the bytes go by the table's broadcast (MPI); from there on every process brings its
 * weights to its GPUs as it does alone (NCCL where it is built in).
 * Memory     a rank but the first holds the files until it is closed, which is when the weights are packed.
 * Errors     of rank 0 reach the others as soon as it comes to agree. */
#ifndef SP_ENGINE_MODEL_SHARE_H
#define SP_ENGINE_MODEL_SHARE_H

#include "folder.h"
#include "ranks.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_model_share {
  struct sp_folder folder;
  struct sp_folder_file *files;     /* (n) NULL: the directory itself serves */
  struct sp_model_share_file *sent; /* (n) names and sizes */
  size_t n;
  bool mapped; /* files are mapped from disk, else allocated */
};

/* `ranks` NULL or of one rank: the directory, as it is. Collective otherwise. `directory` must outlive it. */
SP_MUST_CHECK enum sp_status sp_model_share_open(const struct sp_ranks *ranks,
                                                 const char *directory, struct sp_model_share *out,
                                                 struct sp_error *err);
void sp_model_share_close(struct sp_model_share *share);

#ifdef __cplusplus
}
#endif
#endif
