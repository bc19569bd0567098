#include "checked.h"
#include "forward_state.h"

static char *row_at(void *data, size_t row, size_t row_bytes) {
  return (char *)data + row * row_bytes;
}

enum sp_status sp_forward_project_norm(struct sp_forward *f, const struct sp_linear *linear,
                                       const struct sp_norm *norm, const void *in, size_t rows,
                                       void *sum, void *x, void *x_act, struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  bool added = f->device->adds_residual;
  SP_TRY(b->linear(f->stream, linear, in, added ? x : NULL, rows, sum, err));
  return b->add_norm(f->stream, norm, sum, added ? NULL : x, rows, x, x_act, err);
}

enum sp_status sp_forward_feed(struct sp_forward *f, const struct sp_layer *layer, size_t rows,
                               void *res, void *act, struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  size_t d = f->weights->config.hidden;
  size_t chunk = sp_forward_chunk(f->device, rows);
  for (size_t first = 0; first < rows; first += chunk) {
    size_t n = sp_min_size(chunk, rows - first);
    char *x = row_at(res, first, d * f->device->res_bytes);
    char *x_act = row_at(act, first, d * f->device->act_bytes);
    char *y = row_at(f->proj, first, d * f->device->res_bytes);
    SP_TRY(b->linear(f->stream, layer->up, x_act, NULL, n, f->ffn, err));
    SP_TRY(sp_forward_project_norm(f, layer->down, layer->output_norm, f->ffn, n, y, x, x_act,
                                   err));
  }
  return SP_OK;
}

struct sp_attention_args sp_forward_attention(const struct sp_forward *f, const void *q,
                                              size_t q_stride, const void *k, size_t kv_stride) {
  const struct sp_model_config *c = &f->weights->config;
  return (struct sp_attention_args){.q = q,
                                    .k = k,
                                    .v = (const char *)k + c->hidden * f->device->act_bytes,
                                    .out = f->ctx,
                                    .q_stride = q_stride,
                                    .kv_stride = kv_stride,
                                    .heads = c->heads,
                                    .head_dim = c->head_dim};
}

enum sp_status sp_forward_schedule(struct sp_forward *f, size_t layer, const void *res, size_t rows,
                                   uint32_t *bits, const struct sp_mask_args *mask,
                                   struct sp_error *err) {
  const struct sp_layer *from = &f->weights->layers[layer];
  const struct sp_lookahead *rule = &f->rule.lookahead;
  struct sp_schedule_args args = {.layers = (const struct sp_dense *const *)from->scheduler,
                                  .n_layers = from->n_scheduler,
                                  .reach = sp_lookahead_reach(rule, layer),
                                  .span = rule->span,
                                  .tau = rule->tau,
                                  .rows_res = res,
                                  .rows = rows,
                                  .bits = bits,
                                  .nan = f->nan + layer,
                                  .mask = mask};
  return f->device->backend->schedule(f->stream, &args, err);
}

enum sp_status sp_forward_mlm_head(struct sp_forward *f, const uint32_t *mlm_row, size_t rows,
                                   size_t targets, struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  size_t row_bytes = f->weights->config.hidden * f->device->act_bytes;
  void *normed = f->device->act_bytes == f->device->res_bytes ? f->proj : f->ctx;
  const void *in = f->row_act;
  if (mlm_row) {
    SP_TRY(b->gather(f->stream, f->row_act, row_bytes, mlm_row, rows, f->ctx, err));
    in = f->ctx;
  }
  SP_TRY(b->linear(f->stream, f->weights->transform, in, NULL, rows, f->proj, err));
  SP_TRY(b->add_norm(f->stream, f->weights->transform_norm, f->proj, NULL, rows, f->proj, normed,
                     err));
  return b->vocab_logp(f->stream, f->weights->vocab, normed, rows, f->in.target_row,
                       f->in.target_id, targets, f->logp, err);
}

enum sp_status sp_forward_cls_head(struct sp_forward *f, const uint32_t *cls_row, size_t rows,
                                   struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  size_t row_bytes = f->weights->config.hidden * f->device->res_bytes;
  SP_TRY(b->gather(f->stream, f->row_res, row_bytes, cls_row, rows, f->proj, err));
  return b->score_head(f->stream, (const struct sp_dense *const *)f->weights->cls,
                       f->weights->n_cls, f->proj, rows, f->cls, err);
}
