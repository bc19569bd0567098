/* share.h - weights from device to device, between the files that do it; private to this folder. */
#ifndef SP_CUDA_SHARE_H
#define SP_CUDA_SHARE_H

#include "device.h"
#ifdef SP_HAVE_NCCL
#include <nccl.h>
#if NCCL_MAJOR > 2 || (NCCL_MAJOR == 2 && NCCL_MINOR >= 14)
#define SP_CUDA_NCCL_JOBS 1 /* it has non-blocking communicators */
#endif
#endif

/* ---- share.c: devices of this process, whose chunks are known to be alike ---- */

/* From the first device to the others; waits for it. */
enum sp_status sp_cuda_copy_chunks(struct sp_device *const *devices, size_t n,
                                   struct sp_error *err);
#ifdef SP_HAVE_NCCL
/* Neither done nor, of a non-blocking communicator, under way. */
static inline bool sp_cuda_nccl_failed(ncclResult_t result) {
#ifdef SP_CUDA_NCCL_JOBS
  return result != ncclSuccess && result != ncclInProgress;
#else
  return result != ncclSuccess;
#endif
}
/* The first chunk of each device. */
void sp_cuda_first_chunks(struct sp_device *const *devices, const struct sp_cuda_chunk **chunks,
                          size_t n);
/* Broadcasts chunks[i] of every devices[i], from the communicators' rank 0, and goes on to the next
 * ones; a group, since one thread drives every device. */
ncclResult_t sp_cuda_broadcast_chunk(const ncclComm_t *comms, struct sp_device *const *devices,
                                     const struct sp_cuda_chunk **chunks, size_t n);
#endif

/* ---- share_job.c, share_nccl.c: devices of all ranks ---- */

enum sp_status sp_cuda_share_in_job(struct sp_device *const *devices, size_t n,
                                    struct sp_share_job *job, struct sp_error *err);
/* By NCCL. *done false, on all ranks: it is not built in, or did not start or failed on one, which is
 * noted; weights may hold anything then. */
enum sp_status sp_cuda_share_by_nccl(struct sp_device *const *devices, size_t n,
                                     struct sp_share_job *job, bool *done, struct sp_error *err);

#endif
