#include "forward.h"

#include <stdlib.h>
#include <string.h>

#include "forward_state.h"

enum sp_status sp_forward_create(const struct sp_weights *weights,
                                 const struct sp_forward_rule *rule, struct sp_forward **out,
                                 struct sp_error *err) {
  *out = NULL;
  struct sp_forward *f = calloc(1, sizeof *f);
  if (!f) {
    return sp_fail_memory(err, sizeof *f);
  }
  *f = (struct sp_forward){.weights = weights, .device = weights->device, .rule = *rule};
  if (rule->pad_id < 0) {
    f->rule.pad_id = 0;
  }
  enum sp_status status = f->device->backend->stream_create(f->device, &f->stream, err);
  if (status == SP_OK) {
    status = sp_forward_take_memory(f, err);
  }
  if (status != SP_OK) {
    sp_forward_destroy(f);
    return status;
  }
  *out = f;
  return SP_OK;
}

void sp_forward_destroy(struct sp_forward *f) {
  if (!f) {
    return;
  }
  const struct sp_backend *b = f->device->backend;
  if (f->in_flight) { /* nothing may run in memory that is given back */
    b->finish(f->stream, NULL);
  }
  sp_forward_give_memory(f);
  if (f->stream) {
    b->stream_destroy(f->stream);
  }
  free(f);
}

/* What the schedulers left, and which of them failed. */
static enum sp_status queue_bits(struct sp_forward *f, struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  size_t layers = f->weights->config.layers;
  if (f->rule.trace && !f->nodes) {
    size_t words = f->tokens * layers;
    SP_TRY(b->download(f->stream, f->bits_host, f->bits, words * sizeof *f->bits, err));
  }
  return b->download(f->stream, f->nan_host, f->nan, layers * sizeof *f->nan, err);
}

static enum sp_status queue_results(struct sp_forward *f, struct sp_error *err) {
  const struct sp_backend *b = f->device->backend;
  if (f->device->host_memory) {
    return SP_OK;
  }
  if (sp_forward_is_dynamic(f)) {
    SP_TRY(queue_bits(f, err));
  }
  if (f->cls_rows > 0) {
    SP_TRY(b->download(f->stream, f->cls_host, f->cls, f->cls_rows * sizeof *f->cls, err));
  }
  return f->targets > 0
             ? b->download(f->stream, f->logp_host, f->logp, f->targets * sizeof *f->logp, err)
             : SP_OK;
}

enum sp_status sp_forward_begin(struct sp_forward *f, const struct sp_batch *batch,
                                struct sp_error *err) {
  f->targets = batch->targets;
  f->cls_rows = batch->cls_rows;
  f->tokens = batch->tokens;
  f->nodes = NULL;
  f->in_flight = true;
  SP_TRY(sp_forward_plain(f, batch, err));
  return queue_results(f, err);
}

enum sp_status sp_forward_begin_nodes(struct sp_forward *f, struct sp_nodes *nodes,
                                      const struct sp_node_inputs *inputs, struct sp_error *err) {
  f->nodes = nodes;
  f->level = 0;
  f->in_flight = true;
  return sp_forward_embed_nodes(f, inputs, err);
}

enum sp_status sp_forward_advance(struct sp_forward *f, bool *done, struct sp_error *err) {
  size_t layers = f->weights->config.layers;
  *done = true;
  if (!f->nodes || f->level == layers) {
    return SP_OK;
  }
  SP_TRY(sp_forward_next_nodes(f, err));
  *done = f->level == layers;
  if (!*done) {
    return SP_OK;
  }
  f->targets = f->outputs.targets;
  f->cls_rows = f->outputs.cls_rows;
  return queue_results(f, err);
}

static void copy_nodes(const struct sp_forward *f, float *logp, float *cls) {
  const struct sp_node_outputs *out = &f->outputs;
  for (size_t t = 0; t < out->plan_targets; t++) {
    if (out->place_of_target[t] != UINT32_MAX) {
      logp[t] = f->logp_host[out->place_of_target[t]];
    }
  }
  for (size_t r = 0; r < out->plan_cls; r++) {
    if (out->place_of_cls[r] != UINT32_MAX) {
      cls[r] = f->cls_host[out->place_of_cls[r]];
    }
  }
}

/* A layer without reach has no scheduler: its words are what another layer left. */
static void copy_bits(const struct sp_forward *f, uint32_t *bits) {
  for (size_t l = 0; l < f->weights->config.layers; l++) {
    size_t at = l * f->tokens, bytes = f->tokens * sizeof *bits;
    if (sp_lookahead_reach(&f->rule.lookahead, l) > 0) {
      memcpy(bits + at, f->bits_host + at, bytes);
    } else {
      memset(bits + at, 0, bytes);
    }
  }
}

static void copy_plain(const struct sp_forward *f, float *logp, float *cls, uint32_t *bits) {
  if (f->targets > 0) {
    memcpy(logp, f->logp_host, f->targets * sizeof *logp);
  }
  if (f->cls_rows > 0) {
    memcpy(cls, f->cls_host, f->cls_rows * sizeof *cls);
  }
  if (f->rule.trace) {
    copy_bits(f, bits);
  }
}

/* What is NaN in one layer may be so in those above: the first is named. */
static enum sp_status check_schedulers(const struct sp_forward *f, struct sp_error *err) {
  for (size_t l = 0; sp_forward_is_dynamic(f) && l < f->weights->config.layers; l++) {
    if (f->nan_host[l] != 0) {
      return sp_fail(err, SP_EMODEL,
                     "layer %zu's lookahead scheduler gives NaN (encoder.layer.%zu.lookahead)", l,
                     l);
    }
  }
  return SP_OK;
}

enum sp_status sp_forward_end(struct sp_forward *f, float *logp, float *cls, uint32_t *bits,
                              struct sp_error *err) {
  for (bool done = false; !done;) {
    SP_TRY(sp_forward_advance(f, &done, err));
  }
  f->in_flight = false;
  SP_TRY(f->device->backend->finish(f->stream, err));
  SP_TRY(check_schedulers(f, err));
  if (f->nodes) {
    copy_nodes(f, logp, cls);
  } else {
    copy_plain(f, logp, cls, bits);
  }
  return SP_OK;
}

enum sp_status sp_forward_run(struct sp_forward *f, const struct sp_batch *batch, float *logp,
                              float *cls, uint32_t *bits, struct sp_error *err) {
  SP_TRY(sp_forward_begin(f, batch, err));
  return sp_forward_end(f, logp, cls, bits, err);
}

double sp_forward_flops(const struct sp_model_config *c, unsigned savings, double tokens,
                        double sum_sq, double rows, double mlm_rows) {
  double d = (double)c->hidden, ffn = (double)c->ffn, layers = (double)c->layers;
  bool head = savings & SP_SAVING_HEAD, trim = head && (savings & SP_SAVING_TRIM);
  double per_row = 4 * d * d + 4 * d * ffn; /* q, o, up, down */
  double inner = (layers - 1) * (tokens * (per_row + 4 * d * d) + 4 * d * sum_sq);
  double asking = trim ? rows : tokens;
  double mean_len = tokens > 0 ? sum_sq / tokens : 0;
  double last = tokens * 4 * d * d + asking * (per_row + 4 * d * mean_len);
  double logits = head ? mlm_rows : (mlm_rows > 0 ? tokens : 0);
  return inner + last + logits * (2 * d * d + 2 * d * (double)c->vocab_size);
}

double sp_forward_node_flops(const struct sp_model_config *c, double nodes, double mlm_rows) {
  double d = (double)c->hidden, ffn = (double)c->ffn;
  return nodes * (8 * d * d + 4 * d * ffn) + mlm_rows * (2 * d * d + 2 * d * (double)c->vocab_size);
}
