/* wer_inputs.h - the utterances of `wer`: each of the system with its reference and the other
 * systems' answers.
 *
 * The system's lists are streamed; references and other answers from files of their own are held in
 * memory, so that their order does not matter. */
#ifndef SP_CLI_WER_INPUTS_H
#define SP_CLI_WER_INPUTS_H

#include "hyp_source.h"
#include "wer_args.h"

struct sp_wer_inputs;

struct sp_wer_input {
  struct sp_text id, ref;
  const struct sp_text *hyps; /* (n_hyps) */
  size_t n_hyps;
  const struct sp_text *others; /* (sp_wer_inputs_others) */
  const struct sp_field *fields; /* (n_fields) of the system's utterance */
  size_t n_fields;
};

SP_MUST_CHECK enum sp_status sp_wer_inputs_open(const struct sp_wer_args *args,
                                                const struct sp_operands *operands,
                                                struct sp_wer_inputs **out, struct sp_error *err);
/* NULL is fine. */
void sp_wer_inputs_close(struct sp_wer_inputs *inputs);

/* The next utterance that has all it needs; one that lacks something is noted for finish. SP_EINPUT
 * for an id that comes twice. Valid until the next call. */
SP_MUST_CHECK enum sp_status sp_wer_inputs_next(struct sp_wer_inputs *inputs,
                                                struct sp_wer_input *out, bool *found,
                                                struct sp_error *err);
const char *sp_wer_inputs_place(struct sp_wer_inputs *inputs);
/* After the last one: SP_EINPUT, with the ids, when references, answers or utterances are missing. */
SP_MUST_CHECK enum sp_status sp_wer_inputs_finish(struct sp_wer_inputs *inputs,
                                                  struct sp_error *err);

/* How many other systems there are, and their files. */
size_t sp_wer_inputs_others(const struct sp_wer_inputs *inputs);
const char *sp_wer_inputs_name(const struct sp_wer_inputs *inputs, size_t other);

#endif
