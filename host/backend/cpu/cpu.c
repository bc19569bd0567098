/* cpu.c - the contract's table: memory, and the way to the kernels of the device's instruction set.
 */
#include "cpu.h"

#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "kernels.h"
#include "train_cpu.h"

static enum sp_status alloc_bytes(struct sp_device *device, size_t bytes, void **out,
                                  struct sp_error *err) {
  (void)device;
  *out = sp_cpu_alloc_floats(bytes / sizeof(float) + 1);
  return *out ? SP_OK : sp_fail(err, SP_EDEVICE, "out of memory: %zu bytes", bytes);
}

static void free_bytes(struct sp_device *device, void *data) {
  (void)device;
  free(data);
}

static enum sp_status copy(struct sp_stream *stream, void *to, const void *from, size_t bytes,
                           struct sp_error *err) {
  (void)stream;
  (void)err;
  if (bytes > 0) {
    memcpy(to, from, bytes);
  }
  return SP_OK;
}

static enum sp_status finish(struct sp_stream *stream, struct sp_error *err) {
  (void)stream;
  (void)err;
  return SP_OK;
}

static enum sp_status embed(struct sp_stream *stream, const struct sp_embedding *embedding,
                            const struct sp_norm *norm, const int32_t *ids,
                            const uint32_t *positions, size_t rows, void *res, void *act,
                            struct sp_error *err) {
  (void)err;
  stream->device->kernels->embed(stream, embedding, norm, ids, positions, rows, res, act);
  return SP_OK;
}

static enum sp_status attention(struct sp_stream *stream, const struct sp_attention_args *args,
                                struct sp_error *err) {
  return stream->device->kernels->attention(stream, args, err);
}

static enum sp_status add_norm(struct sp_stream *stream, const struct sp_norm *norm, const void *x,
                               const void *residual, size_t rows, void *res, void *act,
                               struct sp_error *err) {
  (void)err;
  stream->device->kernels->add_norm(stream, norm, x, residual, rows, res, act);
  return SP_OK;
}

static enum sp_status vocab_logp(struct sp_stream *stream, const struct sp_vocab *vocab,
                                 const void *h, size_t rows, const uint32_t *target_row,
                                 const int32_t *target_id, size_t targets, float *logp,
                                 struct sp_error *err) {
  return stream->device->kernels->vocab_logp(stream, vocab, h, rows, target_row, target_id, targets,
                                             logp, err);
}

const struct sp_backend sp_cpu_backend = {
    .name = "cpu",
    .train = &sp_cpu_train,
    .list = sp_cpu_list,
    .open = sp_cpu_open,
    .close = sp_cpu_close,
    .linear_create = sp_cpu_linear_create,
    .linear_destroy = sp_cpu_linear_destroy,
    .vocab_create = sp_cpu_vocab_create,
    .vocab_destroy = sp_cpu_vocab_destroy,
    .norm_create = sp_cpu_norm_create,
    .norm_destroy = sp_cpu_norm_destroy,
    .embedding_create = sp_cpu_embedding_create,
    .embedding_destroy = sp_cpu_embedding_destroy,
    .dense_create = sp_cpu_dense_create,
    .dense_destroy = sp_cpu_dense_destroy,
    .stream_create = sp_cpu_stream_create,
    .stream_destroy = sp_cpu_stream_destroy,
    .alloc = alloc_bytes,
    .free = free_bytes,
    .alloc_host = alloc_bytes,
    .free_host = free_bytes,
    .upload = copy,
    .download = copy,
    .finish = finish,
    .expand = sp_cpu_expand,
    .embed = embed,
    .linear = sp_cpu_linear,
    .mask = sp_cpu_mask,
    .schedule = sp_cpu_schedule,
    .attention = attention,
    .add_norm = add_norm,
    .gather = sp_cpu_gather,
    .vocab_logp = vocab_logp,
    .score_head = sp_cpu_score_head,
};
