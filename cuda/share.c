/* share.c - brings the weights of the first device to the others of this process, chunk to chunk.
 *
 * With NCCL one broadcast a chunk, all devices in one group; without it, and where NCCL cannot start,
 * copies from the first device to each.  Either way the bytes are the same. */
#include "share.h"

#include "check.h"

/* The chunks of equal calls lie alike; anything else would be our mistake. */
static enum sp_status check_chunks(struct sp_device *const *devices, size_t n,
                                   struct sp_error *err) {
  SP_TRY(sp_cuda_check_types(devices, n, err));
  for (size_t i = 1; i < n; i++) {
    const struct sp_cuda_chunk *a = sp_cuda_device_of(devices[0])->chunks;
    const struct sp_cuda_chunk *b = sp_cuda_device_of(devices[i])->chunks;
    for (; a && b && a->used == b->used; a = a->next, b = b->next) {
    }
    if (a || b) {
      return sp_fail(err, SP_EDEVICE, "%s and %s hold different weights", devices[0]->name,
                     devices[i]->name);
    }
  }
  return SP_OK;
}

static enum sp_status finish_setup(struct sp_device *const *devices, size_t n,
                                   struct sp_error *err) {
  for (size_t i = 0; i < n; i++) {
    const struct sp_cuda_device *cuda = sp_cuda_device_of(devices[i]);
    SP_TRY(sp_cuda_enter(cuda, err));
    SP_TRY(SP_CUDA(cuda, cudaStreamSynchronize(cuda->setup), err));
  }
  return SP_OK;
}

enum sp_status sp_cuda_copy_chunks(struct sp_device *const *devices, size_t n,
                                   struct sp_error *err) {
  const struct sp_cuda_device *from = sp_cuda_device_of(devices[0]);
  for (size_t i = 1; i < n; i++) {
    const struct sp_cuda_device *to = sp_cuda_device_of(devices[i]);
    const struct sp_cuda_chunk *b = to->chunks;
    SP_TRY(sp_cuda_enter(to, err));
    for (const struct sp_cuda_chunk *a = from->chunks; a; a = a->next, b = b->next) {
      SP_TRY(SP_CUDA(
          to, cudaMemcpyPeerAsync(b->data, to->ordinal, a->data, from->ordinal, a->used, to->setup),
          err));
    }
  }
  return finish_setup(devices, n, err);
}

#ifdef SP_HAVE_NCCL

ncclResult_t sp_cuda_broadcast_chunk(const ncclComm_t *comms, struct sp_device *const *devices,
                                     const struct sp_cuda_chunk **chunks, size_t n) {
  ncclResult_t result = ncclGroupStart();
  if (result != ncclSuccess) {
    return result;
  }
  for (size_t i = 0; i < n && !sp_cuda_nccl_failed(result); i++) {
    result = ncclBroadcast(chunks[i]->data, chunks[i]->data, chunks[i]->used, ncclUint8, 0,
                           comms[i], sp_cuda_device_of(devices[i])->setup);
    chunks[i] = chunks[i]->next;
  }
  ncclResult_t ended = ncclGroupEnd();
  return sp_cuda_nccl_failed(result) ? result : ended;
}

void sp_cuda_first_chunks(struct sp_device *const *devices, const struct sp_cuda_chunk **chunks,
                          size_t n) {
  for (size_t i = 0; i < n; i++) {
    chunks[i] = sp_cuda_device_of(devices[i])->chunks;
  }
}

static enum sp_status broadcast(const ncclComm_t *comms, struct sp_device *const *devices, size_t n,
                                struct sp_error *err) {
  const struct sp_cuda_chunk *chunks[SP_MAX_DEVICES] = {NULL};
  sp_cuda_first_chunks(devices, chunks, n);
  while (chunks[0]) {
    ncclResult_t result = sp_cuda_broadcast_chunk(comms, devices, chunks, n);
    if (sp_cuda_nccl_failed(result)) {
      return sp_fail(err, SP_EDEVICE, "%s: ncclBroadcast: %s", devices[0]->name,
                     ncclGetErrorString(result));
    }
  }
  return finish_setup(devices, n, err);
}

/* *started false where NCCL cannot start: copies do as well. */
static enum sp_status broadcast_chunks(struct sp_device *const *devices, size_t n, bool *started,
                                       struct sp_error *err) {
  ncclComm_t comms[SP_MAX_DEVICES];
  int ordinals[SP_MAX_DEVICES] = {0};
  for (size_t i = 0; i < n; i++) {
    ordinals[i] = sp_cuda_device_of(devices[i])->ordinal;
  }
  *started = ncclCommInitAll(comms, (int)n, ordinals) == ncclSuccess;
  if (!*started) {
    (void)cudaGetLastError();
    return SP_OK;
  }
  enum sp_status status = broadcast(comms, devices, n, err);
  for (size_t i = 0; i < n; i++) { /* abort where a broadcast may never end */
    (void)(status == SP_OK ? ncclCommDestroy(comms[i]) : ncclCommAbort(comms[i]));
  }
  return status;
}

#else

static enum sp_status broadcast_chunks(struct sp_device *const *devices, size_t n, bool *started,
                                       struct sp_error *err) {
  (void)devices;
  (void)n;
  (void)err;
  *started = false;
  return SP_OK;
}

#endif

enum sp_status sp_cuda_share_weights(struct sp_device *const *devices, size_t n,
                                     struct sp_share_job *job, struct sp_error *err) {
  bool started;
  if (n < 1 || n > SP_MAX_DEVICES) {
    return sp_fail(err, SP_EDEVICE, "%zu devices are too few or too many", n);
  }
  SP_TRY(check_chunks(devices, n, err));
  if (job) {
    return sp_cuda_share_in_job(devices, n, job, err);
  }
  if (n == 1) {
    return SP_OK;
  }
  SP_TRY(broadcast_chunks(devices, n, &started, err));
  return started ? SP_OK : sp_cuda_copy_chunks(devices, n, err);
}
