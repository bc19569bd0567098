/* stream.c - a queue of work: a CUDA stream, a cuBLASLt handle, and the scratch that ops share. */
#include <stdlib.h>

#include "check.h"
#include "checked.h"

static size_t vocab_bytes(const struct sp_cuda_device *cuda) {
  size_t bytes =
      cuda->vocab_v ? sp_cuda_vocab_logp_scratch_bytes(cuda->vocab_v, SP_CUDA_VOCAB_ROWS) : 0;
  return sp_round_up(bytes, SP_CUDA_ALIGN);
}

static enum sp_status alloc_scratch(struct sp_stream *stream, struct sp_error *err) {
  struct sp_cuda_device *cuda = stream->device;
  size_t vocab = vocab_bytes(cuda), bytes = vocab + 2 * cuda->pad_bytes;
  if (bytes == 0) {
    return SP_OK;
  }
  SP_TRY(sp_cuda_alloc(&cuda->base, bytes, &stream->scratch, err));
  stream->vocab = stream->scratch;
  stream->pad_in = (char *)stream->scratch + vocab;
  stream->pad_out = stream->pad_in + cuda->pad_bytes;
  return SP_OK;
}

enum sp_status sp_cuda_stream_create(struct sp_device *device, struct sp_stream **out,
                                     struct sp_error *err) {
  struct sp_cuda_device *cuda = sp_cuda_device_of(device);
  struct sp_stream *stream = calloc(1, sizeof *stream);
  if (!stream) {
    return sp_fail_memory(err, sizeof *stream);
  }
  stream->device = cuda;
  enum sp_status status = SP_OK;
  SP_TRY_GOTO(sp_cuda_enter(cuda, err), fail_stream);
  SP_TRY_GOTO(SP_CUDA(cuda, cudaStreamCreateWithFlags(&stream->stream, cudaStreamNonBlocking), err),
              fail_stream);
  SP_TRY_GOTO(SP_CUBLAS(cuda, cublasLtCreate(&stream->lt), err), fail_blas);
  SP_TRY_GOTO(alloc_scratch(stream, err), fail_scratch);
  *out = stream;
  return SP_OK;

fail_scratch:
  (void)cublasLtDestroy(stream->lt);
fail_blas:
  sp_cuda_ignore(cudaStreamDestroy(stream->stream));
fail_stream:
  free(stream);
  return status;
}

void sp_cuda_stream_destroy(struct sp_stream *stream) {
  if (stream) {
    sp_cuda_ignore(cudaSetDevice(stream->device->ordinal));
    sp_cuda_ignore(cudaStreamSynchronize(stream->stream)); /* work may still read the scratch */
    sp_cuda_free(&stream->device->base, stream->scratch);
    (void)cublasLtDestroy(stream->lt);
    sp_cuda_ignore(cudaStreamDestroy(stream->stream));
    free(stream);
  }
}

static enum sp_status copy(struct sp_stream *stream, void *to, const void *from, size_t bytes,
                           enum cudaMemcpyKind kind, struct sp_error *err) {
  if (bytes == 0) {
    return SP_OK;
  }
  SP_TRY(sp_cuda_enter(stream->device, err));
  return SP_CUDA(stream->device, cudaMemcpyAsync(to, from, bytes, kind, stream->stream), err);
}

enum sp_status sp_cuda_upload(struct sp_stream *stream, void *to, const void *from, size_t bytes,
                              struct sp_error *err) {
  return copy(stream, to, from, bytes, cudaMemcpyHostToDevice, err);
}

enum sp_status sp_cuda_download(struct sp_stream *stream, void *to, const void *from, size_t bytes,
                                struct sp_error *err) {
  return copy(stream, to, from, bytes, cudaMemcpyDeviceToHost, err);
}

enum sp_status sp_cuda_finish(struct sp_stream *stream, struct sp_error *err) {
  SP_TRY(sp_cuda_enter(stream->device, err));
  return SP_CUDA(stream->device, cudaStreamSynchronize(stream->stream), err);
}
