/* backend.c - the contract's table, and its ops as calls of their launchers (ops/). */
#include "check.h"

static enum sp_status expand(struct sp_stream *stream, const struct sp_expand_args *args,
                             struct sp_error *err) {
  SP_TRY(sp_cuda_enter(stream->device, err));
  return SP_CUDA(stream->device, sp_cuda_expand(stream->stream, args), err);
}

static enum sp_status mask(struct sp_stream *stream, const struct sp_mask_args *args,
                           struct sp_error *err) {
  SP_TRY(sp_cuda_enter(stream->device, err));
  return SP_CUDA(stream->device, sp_cuda_mask(stream->stream, args), err);
}

static bool is_bf16(const struct sp_stream *stream) {
  return stream->device->base.compute == SP_COMPUTE_BF16;
}

static enum sp_status embed(struct sp_stream *stream, const struct sp_embedding *embedding,
                            const struct sp_norm *norm, const int32_t *ids,
                            const uint32_t *positions, size_t rows, void *res, void *act,
                            struct sp_error *err) {
  SP_TRY(sp_cuda_enter(stream->device, err));
  return SP_CUDA(stream->device,
                 sp_cuda_embed(stream->stream, is_bf16(stream), &embedding->data, &norm->data, ids,
                               positions, rows, res, act),
                 err);
}

static enum sp_status attention(struct sp_stream *stream, const struct sp_attention_args *args,
                                struct sp_error *err) {
  if (args->head_dim > SP_CUDA_MAX_HEAD_DIM) {
    return sp_fail(err, SP_EMODEL, "%s: heads of %zu dimensions (%d at most)",
                   stream->device->base.name, args->head_dim, SP_CUDA_MAX_HEAD_DIM);
  }
  SP_TRY(sp_cuda_enter(stream->device, err));
  return SP_CUDA(stream->device, sp_cuda_attention(stream->stream, is_bf16(stream), args), err);
}

static enum sp_status add_norm(struct sp_stream *stream, const struct sp_norm *norm, const void *x,
                               const void *residual, size_t rows, void *res, void *act,
                               struct sp_error *err) {
  SP_TRY(sp_cuda_enter(stream->device, err));
  return SP_CUDA(
      stream->device,
      sp_cuda_add_norm(stream->stream, is_bf16(stream), &norm->data, x, residual, rows, res, act),
      err);
}

static enum sp_status gather(struct sp_stream *stream, const void *from, size_t row_bytes,
                             const uint32_t *index, size_t rows, void *to, struct sp_error *err) {
  SP_TRY(sp_cuda_enter(stream->device, err));
  return SP_CUDA(stream->device, sp_cuda_gather(stream->stream, from, row_bytes, index, rows, to),
                 err);
}

static enum sp_status vocab_logp(struct sp_stream *stream, const struct sp_vocab *vocab,
                                 const void *h, size_t rows, const uint32_t *target_row,
                                 const int32_t *target_id, size_t targets, float *logp,
                                 struct sp_error *err) {
  SP_TRY(sp_cuda_enter(stream->device, err));
  return SP_CUDA(
      stream->device,
      sp_cuda_vocab_logp(stream->stream, is_bf16(stream), &vocab->data, h, rows, target_row,
                         target_id, targets, logp, stream->vocab, SP_CUDA_VOCAB_ROWS),
      err);
}

/* The data of at most SP_CUDA_MAX_DENSE layers of `what`. */
static enum sp_status read_layers(const struct sp_stream *stream, const char *what,
                                  const struct sp_dense *const *layers, size_t n_layers,
                                  struct sp_cuda_dense *data, struct sp_error *err) {
  if (n_layers > SP_CUDA_MAX_DENSE) {
    return sp_fail(err, SP_EMODEL, "%s: %s of %zu layers (%d at most)", stream->device->base.name,
                   what, n_layers, SP_CUDA_MAX_DENSE);
  }
  for (size_t i = 0; i < n_layers; i++) {
    data[i] = layers[i]->data;
  }
  return sp_cuda_enter(stream->device, err);
}

static enum sp_status schedule(struct sp_stream *stream, const struct sp_schedule_args *args,
                               struct sp_error *err) {
  struct sp_cuda_dense data[SP_CUDA_MAX_DENSE];
  SP_TRY(read_layers(stream, "a scheduler", args->layers, args->n_layers, data, err));
  return SP_CUDA(stream->device, sp_cuda_schedule(stream->stream, data, args), err);
}

static enum sp_status score_head(struct sp_stream *stream, const struct sp_dense *const *layers,
                                 size_t n_layers, const void *rows_res, size_t rows, float *score,
                                 struct sp_error *err) {
  struct sp_cuda_dense data[SP_CUDA_MAX_DENSE];
  SP_TRY(read_layers(stream, "a scalar head", layers, n_layers, data, err));
  return SP_CUDA(stream->device,
                 sp_cuda_score_head(stream->stream, data, n_layers, rows_res, rows, score), err);
}

const struct sp_backend sp_cuda_backend = {
    .name = "cuda",
    .train = &sp_cuda_train,
    .list = sp_cuda_list,
    .identify = sp_cuda_identify,
    .open = sp_cuda_open,
    .close = sp_cuda_close,
    .batch_tokens = sp_cuda_batch_tokens,
    .linear_create = sp_cuda_linear_create,
    .linear_destroy = sp_cuda_linear_destroy,
    .vocab_create = sp_cuda_vocab_create,
    .vocab_destroy = sp_cuda_vocab_destroy,
    .norm_create = sp_cuda_norm_create,
    .norm_destroy = sp_cuda_norm_destroy,
    .embedding_create = sp_cuda_embedding_create,
    .embedding_destroy = sp_cuda_embedding_destroy,
    .dense_create = sp_cuda_dense_create,
    .dense_destroy = sp_cuda_dense_destroy,
    .share_weights = sp_cuda_share_weights,
    .stream_create = sp_cuda_stream_create,
    .stream_destroy = sp_cuda_stream_destroy,
    .alloc = sp_cuda_alloc,
    .free = sp_cuda_free,
    .alloc_host = sp_cuda_alloc_host,
    .free_host = sp_cuda_free_host,
    .upload = sp_cuda_upload,
    .download = sp_cuda_download,
    .finish = sp_cuda_finish,
    .expand = expand,
    .embed = embed,
    .linear = sp_cuda_linear,
    .mask = mask,
    .schedule = schedule,
    .attention = attention,
    .add_norm = add_norm,
    .gather = gather,
    .vocab_logp = vocab_logp,
    .score_head = score_head,
};
