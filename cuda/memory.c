/* memory.c - device memory: chunks of weights, buffers, pinned host memory. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "checked.h"

static enum sp_status fail_full(const struct sp_cuda_device *cuda, size_t bytes,
                                struct sp_error *err) {
  size_t available = 0, total = 0;
  sp_cuda_ignore(cudaMemGetInfo(&available, &total));
  return sp_fail(err, SP_EDEVICE, "%s: out of memory: %zu MiB wanted, %zu of %zu MiB free",
                 cuda->base.name, bytes >> 20, available >> 20, total >> 20);
}

enum sp_status sp_cuda_malloc(const struct sp_cuda_device *cuda, size_t bytes, void **out,
                              struct sp_error *err) {
  SP_TRY(sp_cuda_enter(cuda, err));
  void *data = NULL;
  cudaError_t error = cudaMalloc(&data, bytes > 0 ? bytes : 1);
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    return fail_full(cuda, bytes, err);
  }
  SP_TRY(sp_cuda_check(cuda, error, "cudaMalloc", err));
  *out = data;
  return SP_OK;
}

enum sp_status sp_cuda_carve(struct sp_cuda_device *cuda, size_t bytes, void **out,
                             struct sp_error *err) {
  if (bytes > (size_t)-1 / 2) {
    return fail_full(cuda, bytes, err);
  }
  bytes = sp_round_up(bytes, SP_CUDA_ALIGN);
  if (!cuda->newest || cuda->newest->bytes - cuda->newest->used < bytes) {
    struct sp_cuda_chunk *chunk = calloc(1, sizeof *chunk);
    if (!chunk) {
      return sp_fail_memory(err, sizeof *chunk);
    }
    chunk->bytes = sp_max_size(SP_CUDA_CHUNK_BYTES, bytes);
    enum sp_status status = sp_cuda_malloc(cuda, chunk->bytes, (void **)&chunk->data, err);
    if (status != SP_OK) {
      free(chunk);
      return status;
    }
    *(cuda->newest ? &cuda->newest->next : &cuda->chunks) = chunk;
    cuda->newest = chunk;
  }
  *out = cuda->newest->data + cuda->newest->used;
  cuda->newest->used += bytes;
  return SP_OK;
}

void sp_cuda_free_chunks(struct sp_cuda_device *cuda) {
  while (cuda->chunks) {
    struct sp_cuda_chunk *chunk = cuda->chunks;
    cuda->chunks = chunk->next;
    sp_cuda_ignore(cudaFree(chunk->data));
    free(chunk);
  }
  cuda->newest = NULL;
}

void sp_cuda_weight_made(struct sp_cuda_device *cuda) {
  cuda->weights++;
}

void sp_cuda_weight_gone(struct sp_cuda_device *cuda) {
  if (--cuda->weights == 0) {
    sp_cuda_ignore(cudaSetDevice(cuda->ordinal));
    sp_cuda_free_chunks(cuda);
    sp_cuda_forget_algorithms(cuda);
    cuda->vocab_v = cuda->pad_bytes = 0;
  }
}

enum sp_status sp_cuda_put(const struct sp_cuda_device *cuda, void *to, const void *from,
                           size_t bytes, struct sp_error *err) {
  SP_TRY(sp_cuda_enter(cuda, err));
  SP_TRY(SP_CUDA(cuda, cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, cuda->setup), err));
  return SP_CUDA(cuda, cudaStreamSynchronize(cuda->setup), err);
}

enum sp_status sp_cuda_zero(const struct sp_cuda_device *cuda, void *data, size_t bytes,
                            struct sp_error *err) {
  SP_TRY(sp_cuda_enter(cuda, err));
  SP_TRY(SP_CUDA(cuda, cudaMemsetAsync(data, 0, bytes, cuda->setup), err));
  return SP_CUDA(cuda, cudaStreamSynchronize(cuda->setup), err);
}

enum sp_status sp_cuda_alloc(struct sp_device *device, size_t bytes, void **out,
                             struct sp_error *err) {
  struct sp_cuda_device *cuda = sp_cuda_device_of(device);
  void *data = NULL;
  SP_TRY(sp_cuda_malloc(cuda, bytes, &data, err));
  enum sp_status status = sp_cuda_zero(cuda, data, bytes, err);
  if (status != SP_OK) {
    sp_cuda_free(device, data);
    return status;
  }
  *out = data;
  return SP_OK;
}

void sp_cuda_free(struct sp_device *device, void *data) {
  if (data) {
    sp_cuda_ignore(cudaSetDevice(sp_cuda_device_of(device)->ordinal));
    sp_cuda_ignore(cudaFree(data));
  }
}

/* Pinned for every device of the process. */
enum sp_status sp_cuda_alloc_host(struct sp_device *device, size_t bytes, void **out,
                                  struct sp_error *err) {
  struct sp_cuda_device *cuda = sp_cuda_device_of(device);
  void *data = NULL;
  SP_TRY(sp_cuda_enter(cuda, err));
  SP_TRY(SP_CUDA(cuda, cudaHostAlloc(&data, bytes > 0 ? bytes : 1, cudaHostAllocPortable), err));
  memset(data, 0, bytes);
  *out = data;
  return SP_OK;
}

void sp_cuda_free_host(struct sp_device *device, void *data) {
  if (data) {
    sp_cuda_ignore(cudaSetDevice(sp_cuda_device_of(device)->ordinal));
    sp_cuda_ignore(cudaFreeHost(data));
  }
}
