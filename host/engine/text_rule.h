/* text_rule.h - from a hypothesis to tokens: letter case, end of sentence, what is too long. */
#ifndef SP_ENGINE_TEXT_RULE_H
#define SP_ENGINE_TEXT_RULE_H

#include "context.h"
#include "letter_case.h"

#ifdef __cplusplus
extern "C" {
#endif

/* auto becomes keep or lower: a cased tokenizer on an all-upper-case archive lowers it and warns. */
enum sp_letter_case sp_case_resolve(const struct sp_settings *settings,
                                    const struct sp_context *context,
                                    const struct sp_case_look *look);

/* One thread's text rule. */
struct sp_text_rule {
  struct sp_encoder *encoder;
  struct sp_text eos;
  size_t eos_tokens; /* of eos by itself */
  enum sp_on_long on_long;
  size_t max_tokens;
  struct sp_buf joined; /* text with eos */
};

SP_MUST_CHECK enum sp_status sp_text_rule_init(struct sp_text_rule *rule,
                                               const struct sp_settings *settings,
                                               const struct sp_context *context,
                                               enum sp_letter_case resolved,
                                               struct sp_error *err);
void sp_text_rule_release(struct sp_text_rule *rule);

/* Tokens of one hypothesis. With a flag other than NONE and TRUNCATED there is nothing to score and
 * tokens->n is what the text had.  With SP_LONG_ERROR a text that is too long has the flag TOO_LONG,
 * and the caller fails. Arrays are valid until the next call. */
SP_MUST_CHECK enum sp_status sp_text_rule_apply(struct sp_text_rule *rule, struct sp_text text,
                                                struct sp_tokens *tokens, enum sp_flag *flag,
                                                struct sp_error *err);

/* Counts one hypothesis in *counts. `tokens` are scored ones. */
void sp_count_hyp(struct sp_counts *counts, const struct sp_tokens *tokens, enum sp_flag flag);

#ifdef __cplusplus
}
#endif
#endif
