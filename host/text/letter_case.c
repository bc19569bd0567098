#include "letter_case.h"

void sp_case_look_at(struct sp_case_look *look, struct sp_text text) {
  for (size_t i = 0; i < text.len; i++) {
    look->upper |= text.data[i] >= 'A' && text.data[i] <= 'Z';
    look->lower |= text.data[i] >= 'a' && text.data[i] <= 'z';
  }
}

bool sp_case_wants_lower(const struct sp_case_look *look, const struct sp_tokenizer_info *info) {
  return !info->lowercase && look->upper && !look->lower;
}
