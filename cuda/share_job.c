/* share_job.c - brings the weights of rank 0's first device to every other device of a job.
 *
 * By NCCL (share_nccl.c), or through the hosts: rank 0 downloads a piece, the job's broadcast carries
 * it, each rank uploads it to its first device, from where copies go to its others.  Either way the bytes
 * are the same.  All ranks go the same way. */
#include <string.h>

#include "check.h"
#include "checked.h"
#include "share.h"

#ifndef SP_CUDA_PIECE_BYTES
#define SP_CUDA_PIECE_BYTES ((size_t)32 << 20)
#endif

/* Of the first device, what must be rank 0's: the local ones are known to be as it is. */
struct layout {
  uint64_t chunks, bytes;
  char type[sizeof((struct sp_device *)0)->type];
};

static struct layout layout_of(struct sp_device *device) {
  struct layout layout = {0};
  memcpy(layout.type, device->type, sizeof layout.type);
  for (const struct sp_cuda_chunk *c = sp_cuda_device_of(device)->chunks; c; c = c->next) {
    layout.chunks++;
    layout.bytes += c->used;
  }
  return layout;
}

static enum sp_status check_layout(struct sp_device *device, const struct sp_share_job *job,
                                   struct sp_error *err) {
  struct layout own = layout_of(device), first = own;
  SP_TRY(job->broadcast(job->context, &first, sizeof first, err));
  first.type[sizeof first.type - 1] = '\0';
  if (strcmp(own.type, first.type) != 0) {
    return sp_fail(err, SP_EDEVICE,
                   "%s is '%s', those of rank 0 are '%s': devices of one run must be of one type",
                   device->name, own.type, first.type);
  }
  bool alike = own.chunks == first.chunks && own.bytes == first.bytes;
  for (const struct sp_cuda_chunk *c = sp_cuda_device_of(device)->chunks; c && alike; c = c->next) {
    uint64_t used = c->used;
    SP_TRY(job->broadcast(job->context, &used, sizeof used, err));
    alike = used == c->used;
  }
  return alike
             ? SP_OK
             : sp_fail(err, SP_EDEVICE,
                       "%s and the devices of rank 0 hold different weights: %llu bytes in %llu "
                       "chunks, %llu in %llu there",
                       device->name, (unsigned long long)own.bytes, (unsigned long long)own.chunks,
                       (unsigned long long)first.bytes, (unsigned long long)first.chunks);
}

static enum sp_status download(const struct sp_cuda_device *cuda, void *to, const void *from,
                               size_t bytes, struct sp_error *err) {
  SP_TRY(sp_cuda_enter(cuda, err));
  SP_TRY(SP_CUDA(cuda, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, cuda->setup), err));
  return SP_CUDA(cuda, cudaStreamSynchronize(cuda->setup), err);
}

static enum sp_status pass_chunk(const struct sp_cuda_device *cuda,
                                 const struct sp_cuda_chunk *chunk, const struct sp_share_job *job,
                                 char *stage, struct sp_error *err) {
  for (size_t at = 0; at < chunk->used; at += SP_CUDA_PIECE_BYTES) {
    size_t bytes = sp_min_size(chunk->used - at, SP_CUDA_PIECE_BYTES);
    if (job->rank == 0) {
      SP_TRY(download(cuda, stage, chunk->data + at, bytes, err));
    }
    SP_TRY(job->broadcast(job->context, stage, bytes, err));
    if (job->rank > 0) {
      SP_TRY(sp_cuda_put(cuda, chunk->data + at, stage, bytes, err));
    }
  }
  return SP_OK;
}

static enum sp_status pass_chunks(struct sp_device *device, const struct sp_share_job *job,
                                  struct sp_error *err) {
  const struct sp_cuda_device *cuda = sp_cuda_device_of(device);
  void *stage;
  enum sp_status status = SP_OK;
  SP_TRY(sp_cuda_alloc_host(device, SP_CUDA_PIECE_BYTES, &stage, err));
  for (const struct sp_cuda_chunk *c = cuda->chunks; c && status == SP_OK; c = c->next) {
    status = pass_chunk(cuda, c, job, stage, err);
  }
  sp_cuda_free_host(device, stage);
  return status;
}

enum sp_status sp_cuda_share_in_job(struct sp_device *const *devices, size_t n,
                                    struct sp_share_job *job, struct sp_error *err) {
  bool done;
  SP_TRY(check_layout(devices[0], job, err));
  SP_TRY(sp_cuda_share_by_nccl(devices, n, job, &done, err));
  if (done) {
    return SP_OK;
  }
  SP_TRY(pass_chunks(devices[0], job, err));
  return sp_cuda_copy_chunks(devices, n, err);
}
