#include <string.h>

#include "tokenizer_build.h"

enum sp_status sp_json_object(const char *directory, const char *name, struct sp_text file,
                              json_t **out, struct sp_error *err) {
  json_error_t at;
  *out = json_loadb(file.data, file.len, 0, &at);
  if (!*out && json_error_code(&at) == json_error_numeric_overflow) {
    /* "no limit" is commonly written as the integer 10^30 */
    *out = json_loadb(file.data, file.len, JSON_DECODE_INT_AS_REAL, &at);
  }
  if (!*out) {
    return sp_fail(err, SP_EMODEL, "%s/%s line %d: %s", directory, name, at.line, at.text);
  }
  if (!json_is_object(*out)) {
    json_decref(*out);
    *out = NULL;
    return sp_fail(err, SP_EMODEL, "%s/%s is not a JSON object", directory, name);
  }
  return SP_OK;
}

enum sp_status sp_json_choice(const char *directory, const char *name, const json_t *object,
                              const char *key, enum sp_choice *out, struct sp_error *err) {
  const json_t *value = json_object_get(object, key);
  *out = SP_UNSET;
  if (!value || json_is_null(value)) {
    return SP_OK;
  }
  if (!json_is_boolean(value)) {
    return sp_fail(err, SP_EMODEL, "%s/%s: %s is not true or false", directory, name, key);
  }
  *out = json_is_true(value) ? SP_YES : SP_NO;
  return SP_OK;
}

static enum sp_status read_flags(const char *directory, const char *name, const json_t *value,
                                 struct sp_added_token *token, struct sp_error *err) {
  enum sp_choice lstrip, rstrip, single_word, normalized, special;
  SP_TRY(sp_json_choice(directory, name, value, "lstrip", &lstrip, err));
  SP_TRY(sp_json_choice(directory, name, value, "rstrip", &rstrip, err));
  SP_TRY(sp_json_choice(directory, name, value, "single_word", &single_word, err));
  SP_TRY(sp_json_choice(directory, name, value, "normalized", &normalized, err));
  SP_TRY(sp_json_choice(directory, name, value, "special", &special, err));
  if (single_word == SP_YES) {
    return sp_fail(err, SP_EMODEL, "%s/%s: added token '%s': single_word is not supported",
                   directory, name, token->content);
  }
  token->lstrip = lstrip == SP_YES;
  token->rstrip = rstrip == SP_YES;
  token->special = token->special || special == SP_YES;
  token->normalized = normalized == SP_UNSET ? !token->special : normalized == SP_YES;
  return SP_OK;
}

enum sp_status sp_json_added_token(const char *directory, const char *name, const json_t *value,
                                   bool special, json_int_t id, struct sp_added_set *set,
                                   struct sp_error *err) {
  const json_t *content = json_is_object(value) ? json_object_get(value, "content") : value;
  if (!json_is_string(content)) {
    return sp_fail(err, SP_EMODEL, "%s/%s: an added token without a content", directory, name);
  }
  if (id < -1 || id >= (json_int_t)SP_VOCAB_MAX_PIECES) {
    return sp_fail(err, SP_EMODEL, "%s/%s: added token '%s' has id %lld", directory, name,
                   json_string_value(content), (long long)id);
  }
  struct sp_added_token token = {.content = (char *)json_string_value(content),
                                 .len = json_string_length(content),
                                 .id = (int32_t)id,
                                 .normalized = !special,
                                 .special = special};
  if (json_is_object(value)) {
    SP_TRY(read_flags(directory, name, value, &token, err));
  }
  if (token.len == 0) {
    return SP_OK;
  }
  return sp_added_set_put(set, &token, err);
}
