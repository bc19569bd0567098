/* letter_case.h - whether a cased vocabulary meets text that is all upper case, and lowers it first. */
#ifndef SP_TEXT_LETTER_CASE_H
#define SP_TEXT_LETTER_CASE_H

#include "tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How many utterances are looked at. */
#define SP_CASE_LOOK_UTTS 500

/* What a look at the texts saw. ASCII letters only. */
struct sp_case_look {
  bool upper, lower;
};
void sp_case_look_at(struct sp_case_look *look, struct sp_text text);
/* A cased vocabulary, and upper-case letters alone. */
bool sp_case_wants_lower(const struct sp_case_look *look, const struct sp_tokenizer_info *info);

#ifdef __cplusplus
}
#endif
#endif
