#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "forward_state.h"

struct layout {
  size_t ids, positions, res, act, qkv, ctx, proj, ffn, row_res, row_act, mask, bits, nan, logp,
      cls, staging;
  size_t bytes;
};

enum { stage_align = 256 };

/* Room for a batch's arrays: 11 of T, two of which have one more, two wide ones of T, and 2 of N, each
 * rounded up. */
static size_t staging_bytes(const struct sp_batch_limits *limits) {
  return 13 * (limits->tokens * 4 + stage_align) + 2 * limits->tokens * 4 +
         2 * (limits->targets * 4 + stage_align) + 8;
}

/* Words of scheduler bits that a forward keeps. */
static size_t bits_words(const struct sp_model_config *c, const struct sp_forward_rule *rule) {
  if (rule->lookahead.policy != SP_MASK_DYNAMIC) {
    return 0;
  }
  return rule->limits.tokens * (rule->trace ? c->layers : 1);
}

/* The pinned block: the staged arrays, logp (N), cls (T), nan (L), bits. */
static size_t pinned_bytes(const struct sp_model_config *c, const struct sp_forward_rule *rule) {
  const struct sp_batch_limits *limits = &rule->limits;
  return sp_round_up(staging_bytes(limits), stage_align) +
         (limits->targets + limits->tokens + c->layers + bits_words(c, rule)) * 4;
}

static size_t place(struct layout *layout, size_t rows, size_t row_bytes) {
  size_t at = layout->bytes;
  layout->bytes = sp_round_up(at + rows * row_bytes, 256);
  return at;
}

size_t sp_forward_chunk(const struct sp_device *device, size_t rows) {
  return device->chunk_rows ? sp_min_size(device->chunk_rows, rows) : rows;
}

static struct layout lay_out(const struct sp_model_config *c, const struct sp_device *device,
                             const struct sp_forward_rule *rule) {
  struct layout layout = {0};
  size_t rows = sp_round_up(rule->limits.tokens, device->row_quantum);
  size_t act = device->act_bytes * c->hidden, res = device->res_bytes * c->hidden;
  bool shared = device->act_bytes == device->res_bytes;
  bool masked = rule->lookahead.policy != SP_MASK_FULL;
  layout.ids = place(&layout, rows, sizeof(int32_t));
  layout.positions = place(&layout, rows, sizeof(uint32_t));
  layout.res = place(&layout, rows, res);
  layout.act = shared ? layout.res : place(&layout, rows, act);
  layout.qkv = place(&layout, rows, 3 * act);
  layout.ctx = place(&layout, rows, act);
  layout.proj = place(&layout, rows, res);
  layout.ffn = place(&layout, sp_forward_chunk(device, rows), device->act_bytes * c->ffn);
  layout.row_res = place(&layout, rows, res);
  layout.row_act = shared ? layout.row_res : place(&layout, rows, act);
  layout.mask = place(&layout, masked ? rows : 0,
                      sp_forward_mask_words(c->max_positions) * sizeof(uint64_t));
  layout.bits = place(&layout, bits_words(c, rule), sizeof(uint32_t));
  layout.nan = place(&layout, c->layers, sizeof(uint32_t));
  layout.logp = place(&layout, rule->limits.targets, sizeof(float));
  layout.cls = place(&layout, rows, sizeof(float));
  if (!device->host_memory) {
    layout.staging = place(&layout, 1, staging_bytes(&rule->limits));
  }
  return layout;
}

size_t sp_forward_bytes(const struct sp_model_config *config, const struct sp_device *device,
                        const struct sp_forward_rule *rule) {
  return lay_out(config, device, rule).bytes;
}

size_t sp_forward_host_bytes(const struct sp_model_config *config, const struct sp_device *device,
                             const struct sp_forward_rule *rule) {
  return device->host_memory ? 0 : pinned_bytes(config, rule);
}

static void set_pointers(struct sp_forward *f, const struct layout *layout) {
  char *block = f->block;
  f->ids = (int32_t *)(block + layout->ids);
  f->positions = (uint32_t *)(block + layout->positions);
  f->res = block + layout->res;
  f->act = block + layout->act;
  f->qkv = block + layout->qkv;
  f->ctx = block + layout->ctx;
  f->proj = block + layout->proj;
  f->ffn = block + layout->ffn;
  f->row_res = block + layout->row_res;
  f->row_act = block + layout->row_act;
  f->mask = (uint64_t *)(void *)(block + layout->mask);
  f->bits = (uint32_t *)(block + layout->bits);
  f->nan = (uint32_t *)(block + layout->nan);
  f->logp = (float *)(block + layout->logp);
  f->cls = (float *)(block + layout->cls);
  f->staging = block + layout->staging;
}

/* Where results arrive on a device with memory of its own. */
static enum sp_status take_pinned(struct sp_forward *f, struct sp_error *err) {
  const struct sp_batch_limits *limits = &f->rule.limits;
  void *pinned;
  SP_TRY(f->device->backend->alloc_host(f->device, pinned_bytes(&f->weights->config, &f->rule),
                                        &pinned, err));
  f->pinned = pinned;
  f->logp_host = (float *)(void *)(f->pinned + sp_round_up(staging_bytes(limits), stage_align));
  f->cls_host = f->logp_host + limits->targets;
  f->nan_host = (uint32_t *)(void *)(f->cls_host + limits->tokens);
  f->bits_host = f->nan_host + f->weights->config.layers;
  return SP_OK;
}

static enum sp_status take_array(size_t count, size_t size, void *out, struct sp_error *err) {
  void *taken = malloc(sp_mul_sat(count, size));
  memcpy(out, &taken, sizeof taken);
  return taken ? SP_OK : sp_fail_memory(err, sp_mul_sat(count, size));
}

enum sp_status sp_forward_take_memory(struct sp_forward *f, struct sp_error *err) {
  struct layout layout = lay_out(&f->weights->config, f->device, &f->rule);
  size_t t = f->rule.limits.tokens;
  SP_TRY(f->device->backend->alloc(f->device, layout.bytes, &f->block, err));
  set_pointers(f, &layout);
  f->logp_host = f->logp;
  f->cls_host = f->cls;
  f->nan_host = f->nan;
  f->bits_host = f->bits;
  if (!f->device->host_memory) {
    SP_TRY(take_pinned(f, err));
  }
  if (sp_forward_is_masked(f)) {
    SP_TRY(take_array(2 * t, sizeof *f->mask_start, &f->mask_start, err));
  }
  if (!(f->rule.savings & SP_SAVING_HEAD)) {
    SP_TRY(take_array(2 * t + f->rule.limits.targets, sizeof *f->renamed, &f->renamed, err));
  }
  return SP_OK;
}

void sp_forward_give_memory(struct sp_forward *f) {
  const struct sp_backend *b = f->device->backend;
  if (f->pinned) {
    b->free_host(f->device, f->pinned);
  }
  if (f->block) {
    b->free(f->device, f->block);
  }
  free(f->renamed);
  free(f->mask_start);
}

const void *sp_forward_stage(struct sp_forward *f, const void *host, size_t count) {
  if (f->device->host_memory) {
    return host;
  }
  size_t at = f->staged;
  if (count > 0) {
    memcpy(f->pinned + at, host, count * 4);
  }
  f->staged = sp_round_up(at + count * 4, stage_align);
  return f->staging + at;
}

enum sp_status sp_forward_upload(struct sp_forward *f, struct sp_error *err) {
  return f->device->host_memory
             ? SP_OK
             : f->device->backend->upload(f->stream, f->staging, f->pinned, f->staged, err);
}
