#include "trace.h"

#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "forward.h"

struct sp_tracer {
  struct sp_score_options options;
  struct sp_settings settings;
  struct sp_context context;
  struct sp_text_rule rule;
  struct sp_arena arena;      /* owns the arrays below; room for the longest sequence */
  struct sp_text *pieces;     /* (max_positions) */
  struct sp_forward *forward; /* dynamic masks only, as what follows */
  struct sp_batch batch;
  uint32_t *bits; /* (layers, max_positions) */
};

static enum sp_status open_context(struct sp_tracer *t, struct sp_error *err) {
  static const char *const no_archive[] = {"none"};
  t->options.archives = no_archive; /* which settings ask for */
  t->options.n_archives = 1;
  t->options.methods = NULL;
  SP_TRY(sp_settings_resolve(&t->options, &t->settings, err));
  t->settings.methods = 0;
  SP_TRY(sp_context_open_text(&t->settings, &t->context, err));
  if (t->context.lookahead.policy == SP_MASK_DYNAMIC) {
    sp_context_close(&t->context);
    SP_TRY(sp_context_open(&t->settings, &t->context, err));
  }
  return SP_OK;
}

static enum sp_status open_forward(struct sp_tracer *t, struct sp_error *err) {
  size_t longest = t->context.config.max_positions;
  struct sp_forward_rule rule = sp_context_forward_rule(&t->context, &t->settings);
  rule.limits =
      (struct sp_batch_limits){.tokens = longest, .targets = SP_PLAN_MAX_TARGETS * longest};
  rule.savings = SP_SAVING_HEAD | SP_SAVING_TRIM | SP_SAVING_PACK;
  rule.trace = true;
  t->bits = sp_arena_alloc(&t->arena, t->context.config.layers * longest, sizeof *t->bits);
  if (!t->bits || !sp_batch_init(&t->batch, &rule.limits, &t->arena)) {
    return sp_fail_memory(err, rule.limits.targets * sizeof(uint32_t));
  }
  return sp_forward_create(t->context.weights[0], &rule, &t->forward, err);
}

static enum sp_status open_parts(struct sp_tracer *t, const struct sp_case_look *look,
                                 struct sp_error *err) {
  SP_TRY(open_context(t, err));
  SP_TRY(sp_text_rule_init(&t->rule, &t->settings, &t->context,
                           sp_case_resolve(&t->settings, &t->context, look), err));
  size_t longest = t->context.config.max_positions;
  t->pieces = sp_arena_alloc(&t->arena, longest, sizeof *t->pieces);
  if (!t->pieces) {
    return sp_fail_memory(err, longest * sizeof *t->pieces);
  }
  return t->context.lookahead.policy == SP_MASK_DYNAMIC ? open_forward(t, err) : SP_OK;
}

enum sp_status sp_tracer_open(const struct sp_score_options *options,
                              const struct sp_case_look *look, struct sp_tracer **out,
                              struct sp_error *err) {
  *out = NULL;
  struct sp_tracer *t = calloc(1, sizeof *t);
  if (!t) {
    return sp_fail_memory(err, sizeof *t);
  }
  t->options = *options;
  enum sp_status status = open_parts(t, look, err);
  if (status != SP_OK) {
    sp_tracer_close(t);
    return status;
  }
  *out = t;
  return SP_OK;
}

void sp_tracer_close(struct sp_tracer *t) {
  if (t) {
    sp_forward_destroy(t->forward);
    sp_text_rule_release(&t->rule);
    sp_context_close(&t->context);
    sp_arena_release(&t->arena);
    free(t);
  }
}

const struct sp_context *sp_tracer_context(const struct sp_tracer *t) {
  return &t->context;
}

/* One sequence, nothing masked. One row is scored, since a batch has some; no head reads it. */
static void fill_batch(struct sp_batch *batch, const struct sp_tokens *tokens,
                       const struct sp_tokenizer_info *info) {
  uint32_t len = (uint32_t)tokens->n + 2;
  batch->sequences = batch->rows = 1;
  batch->tokens = batch->base_tokens = len;
  batch->base_ids[0] = info->cls;
  memcpy(batch->base_ids + 1, tokens->ids, tokens->n * sizeof *tokens->ids);
  batch->base_ids[len - 1] = info->sep;
  batch->base_start[0] = batch->mask_lo[0] = batch->mask_hi[0] = 0;
  batch->len[0] = len;
  batch->token_start[0] = batch->row_start[0] = 0;
  batch->token_start[1] = len;
  batch->row_start[1] = 1;
  batch->row_position[0] = batch->row_token[0] = 0;
  batch->target_id = batch->base_ids; /* no targets, but staged */
}

enum sp_status sp_tracer_run(struct sp_tracer *t, struct sp_text text, struct sp_trace *out,
                             struct sp_error *err) {
  const struct sp_tokenizer_info *info = sp_tokenizer_get_info(t->context.tokenizer);
  struct sp_tokens tokens;
  *out = (struct sp_trace){0};
  SP_TRY(sp_text_rule_apply(&t->rule, text, &tokens, &out->flag, err));
  out->tokens = tokens.n;
  if (out->flag != SP_FLAG_NONE && out->flag != SP_FLAG_TRUNCATED) {
    return SP_OK;
  }
  out->len = tokens.n + 2;
  out->pieces = t->pieces;
  t->pieces[0] = sp_tokenizer_piece(t->context.tokenizer, info->cls);
  for (size_t i = 0; i < tokens.n; i++) {
    t->pieces[i + 1] = sp_tokenizer_piece(t->context.tokenizer, tokens.ids[i]);
  }
  t->pieces[out->len - 1] = sp_tokenizer_piece(t->context.tokenizer, info->sep);
  if (!t->forward) {
    return SP_OK;
  }
  fill_batch(&t->batch, &tokens, info);
  out->bits = t->bits;
  return sp_forward_run(t->forward, &t->batch, NULL, NULL, t->bits, err);
}
