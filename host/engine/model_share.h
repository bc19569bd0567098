/* model_share.h - the model directory as all ranks of a job have it: rank 0 reads the files and the others
 * get their bytes by the table's broadcast (MPI); they need no access to the directory.
 *
 * Values     of tensors go along where a rank packs its weights itself. Where all ranks have devices that
 *            share weights, they stay on rank 0: of a file of tensors the others get the head, which tells
 *            names, types, shapes and offsets, and their devices the packed weights (context.c: NCCL
 *            between GPUs, else MPI).
 * Memory     a rank but the first holds what it got until it is closed, which is when the weights are packed.
 *            What it did not get takes addresses alone; who reads it has a fault, and ends there.
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
  bool mapped;    /* files are mapped from disk, else allocated */
  bool values;    /* every rank has those of the tensors, else rank 0 alone */
  uint64_t stamp; /* of the directory before rank 0 read it (model_hash.h) */
};

/* `ranks` NULL or of one rank: the directory, as it is. Collective otherwise, and `values` is the same on all
 * ranks. `directory` must outlive it. */
SP_MUST_CHECK enum sp_status sp_model_share_open(const struct sp_ranks *ranks,
                                                 const char *directory, bool values,
                                                 struct sp_model_share *out, struct sp_error *err);
/* SP_EMODEL on rank 0 when a file of the directory was written or replaced since it was opened. */
SP_MUST_CHECK enum sp_status sp_model_share_check(const struct sp_model_share *share,
                                                  struct sp_error *err);
void sp_model_share_close(struct sp_model_share *share);

#ifdef __cplusplus
}
#endif
#endif
