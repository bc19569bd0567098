/* trace.h - what the rows of single texts see: tokens, and the bits of the model's schedulers.
 *
 * A dynamic mask is traced by the unmasked pass of a text, without any head; of other masks the
 * text's length tells everything, and no weights are read.  Flow: open; run, text by text; close. */
#ifndef SP_ENGINE_TRACE_H
#define SP_ENGINE_TRACE_H

#include "text_rule.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_tracer;

/* As for scoring; methods, and what concerns archives and output, are not looked at. Strings of the
 * options must outlive the tracer. `look` is what --case auto goes by. */
SP_MUST_CHECK enum sp_status sp_tracer_open(const struct sp_score_options *options,
                                            const struct sp_case_look *look, struct sp_tracer **out,
                                            struct sp_error *err);
/* NULL is fine. */
void sp_tracer_close(struct sp_tracer *tracer);

/* Config, tokenizer and mask; its devices only under a dynamic mask. */
const struct sp_context *sp_tracer_context(const struct sp_tracer *tracer);

struct sp_trace {
  enum sp_flag flag; /* other than NONE and TRUNCATED: there is nothing to trace, len is 0 */
  size_t tokens;     /* of the text, also where there is nothing to trace */
  size_t len;        /* with [CLS] and [SEP] */
  const struct sp_text *pieces; /* (len) */
  const uint32_t *bits; /* (layers, len) of a dynamic mask, 0 where a layer has no scheduler; else
                           NULL */
};

/* Valid until the next call. SP_EMODEL when a scheduler gives NaN; another failure than for want of
 * memory leaves a tracer that can only be closed. */
SP_MUST_CHECK enum sp_status sp_tracer_run(struct sp_tracer *tracer, struct sp_text text,
                                           struct sp_trace *out, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
