#include "signature.h"

#include <string.h>

#include "float_text.h"

const struct sp_score_column *sp_scores_find(const struct sp_scores *scores, const char *name) {
  for (size_t k = 0; k < sp_scores_count(scores); k++) {
    const struct sp_score_column *column = sp_scores_column(scores, k);
    if (strcmp(column->name, name) == 0) {
      return column;
    }
  }
  return NULL;
}

void sp_signature_mask(const char *signature, char *out) {
  static const char key[] = "|mask:";
  const char *found = NULL;
  /* the last one: --eos, which is free text, comes before it */
  for (const char *at = strstr(signature, key); at; at = strstr(at + 1, key)) {
    found = at + sizeof key - 1;
  }
  size_t len = found ? strcspn(found, "|") : 0;
  if (len >= SP_SIGNATURE_MASK) {
    len = 0;
  }
  memcpy(out, found ? found : "", len);
  out[len] = '\0';
}

static enum sp_status put_weight(const struct sp_named_weight *weight, bool first,
                                 struct sp_buf *out, struct sp_error *err) {
  char number[SP_DOUBLE_TEXT_MAX];
  sp_double_text(weight->value, number);
  return sp_buf_printf(out, err, "%s%s=%s", first ? "" : ",", weight->name, number);
}

enum sp_status sp_rescore_signature(const struct sp_combination *combination,
                                    const struct sp_scores *scores, struct sp_buf *out,
                                    struct sp_error *err) {
  char bonus[SP_DOUBLE_TEXT_MAX];
  SP_TRY(sp_buf_printf(
      out, err, "comb:%s|first:", combination->kind == SP_COMBINE_CONVEX ? "convex" : "additive"));
  for (size_t c = 0; c < combination->first.n; c++) {
    SP_TRY(put_weight(&combination->first.items[c], c == 0, out, err));
  }
  SP_TRY(sp_buf_printf(out, err, "%s|second:", combination->first.n ? "" : "none"));
  for (size_t k = 0; k < combination->second.n; k++) {
    const struct sp_named_weight *weight = &combination->second.items[k];
    const struct sp_score_column *column = scores ? sp_scores_find(scores, weight->name) : NULL;
    SP_TRY(put_weight(weight, k == 0, out, err));
    if (column) {
      SP_TRY(sp_buf_printf(out, err, "{%s}", column->signature));
    }
  }
  SP_TRY(sp_buf_printf(out, err, "|ln:"));
  SP_TRY(sp_length_norm_text(combination, out, err));
  sp_double_text(combination->bonus, bonus);
  SP_TRY(sp_buf_printf(out, err, "|bonus:%s|v:%s", bonus, SP_VERSION));
  return sp_buf_cstr(out) ? SP_OK : sp_fail_memory(err, 1);
}
