#include "text_rule.h"

enum sp_letter_case sp_case_resolve(const struct sp_settings *settings,
                                    const struct sp_context *context,
                                    const struct sp_case_look *look) {
  if (settings->letter_case != SP_CASE_AUTO) {
    return settings->letter_case;
  }
  if (!sp_case_wants_lower(look, sp_tokenizer_get_info(context->tokenizer))) {
    return SP_CASE_KEEP;
  }
  sp_warn(settings->options,
          "the model is cased and the archive is all upper case: texts are lowered before they are "
          "tokenized (--case keep leaves them as they are)");
  return SP_CASE_LOWER;
}

enum sp_status sp_text_rule_init(struct sp_text_rule *rule, const struct sp_settings *settings,
                                 const struct sp_context *context, enum sp_letter_case resolved,
                                 struct sp_error *err) {
  *rule = (struct sp_text_rule){
      .eos = settings->eos, .on_long = settings->on_long, .max_tokens = context->max_tokens};
  struct sp_tokens eos;
  SP_TRY(sp_encoder_create(context->tokenizer, resolved == SP_CASE_LOWER, &rule->encoder, err));
  if (rule->eos.len > 0) {
    SP_TRY(sp_encode(rule->encoder, rule->eos, &eos, err));
    rule->eos_tokens = eos.n;
  }
  return SP_OK;
}

void sp_text_rule_release(struct sp_text_rule *rule) {
  sp_encoder_destroy(rule->encoder);
  sp_buf_release(&rule->joined);
  *rule = (struct sp_text_rule){0};
}

/* text + " " + eos */
static enum sp_status append_eos(struct sp_text_rule *rule, struct sp_text *text,
                                 struct sp_error *err) {
  if (rule->eos.len == 0) {
    return SP_OK;
  }
  sp_buf_clear(&rule->joined);
  SP_TRY(sp_buf_append(&rule->joined, text->data, text->len, err));
  SP_TRY(sp_buf_append(&rule->joined, " ", 1, err));
  SP_TRY(sp_buf_append(&rule->joined, rule->eos.data, rule->eos.len, err));
  *text = (struct sp_text){rule->joined.data, rule->joined.len};
  return SP_OK;
}

enum sp_status sp_text_rule_apply(struct sp_text_rule *rule, struct sp_text text,
                                  struct sp_tokens *tokens, enum sp_flag *flag,
                                  struct sp_error *err) {
  SP_TRY(append_eos(rule, &text, err));
  SP_TRY(sp_encode(rule->encoder, text, tokens, err));
  *flag = SP_FLAG_NONE;
  if (tokens->no_vocab) {
    *flag = SP_FLAG_NO_VOCAB;
  } else if (tokens->n == rule->eos_tokens) { /* eos alone is nothing to score */
    *tokens = (struct sp_tokens){0};
    *flag = SP_FLAG_EMPTY;
  } else if (tokens->n > rule->max_tokens) {
    bool cut = rule->on_long == SP_LONG_TRUNCATE && rule->max_tokens > 0;
    *flag = cut ? SP_FLAG_TRUNCATED : SP_FLAG_TOO_LONG;
    tokens->n = cut ? rule->max_tokens : tokens->n;
  }
  return SP_OK;
}

void sp_count_hyp(struct sp_counts *counts, const struct sp_tokens *tokens, enum sp_flag flag) {
  bool scored = flag == SP_FLAG_NONE || flag == SP_FLAG_TRUNCATED;
  counts->hyps++;
  counts->tokens += scored ? tokens->n : 0;
  counts->unknown_tokens += tokens->n_unk;
  counts->special_in_text += tokens->n_special;
  counts->empty += flag == SP_FLAG_EMPTY;
  counts->too_long += flag == SP_FLAG_TOO_LONG;
  counts->truncated += flag == SP_FLAG_TRUNCATED;
  counts->no_vocab += flag == SP_FLAG_NO_VOCAB;
}
