#include "config_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *sp_config_get(const struct sp_config_reader *in, const char *key) {
  json_t *value = json_object_get(in->object, key);
  return json_is_null(value) ? NULL : value;
}

enum sp_status sp_config_refuse(const struct sp_config_reader *in, const char *key,
                                const char *why) {
  char *text = json_dumps(json_object_get(in->object, key), JSON_ENCODE_ANY | JSON_COMPACT);
  sp_fail(in->err, SP_EMODEL, "%s: %s%s is %.120s: %s", in->place, in->prefix, key,
          text ? text : "(unknown)", why);
  free(text);
  return SP_EMODEL;
}

enum sp_status sp_config_size(const struct sp_config_reader *in, const char *key, size_t fallback,
                              size_t most, size_t *out) {
  json_t *value = sp_config_get(in, key);
  *out = fallback;
  if (!value) {
    return SP_OK;
  }
  json_int_t number = json_integer_value(value);
  if (!json_is_integer(value) || number < 1 || (uint64_t)number > most) {
    char why[64];
    snprintf(why, sizeof why, "a whole number from 1 to %zu is needed", most);
    return sp_config_refuse(in, key, why);
  }
  *out = (size_t)number;
  return SP_OK;
}

enum sp_status sp_config_bool(const struct sp_config_reader *in, const char *key, bool fallback,
                              bool *out) {
  json_t *value = sp_config_get(in, key);
  *out = fallback;
  if (value && !json_is_boolean(value)) {
    return sp_config_refuse(in, key, "true or false is needed");
  }
  if (value) {
    *out = json_is_true(value);
  }
  return SP_OK;
}

enum sp_status sp_config_text(const struct sp_config_reader *in, const char *key,
                              const char *fallback, const char **out) {
  json_t *value = sp_config_get(in, key);
  *out = value ? json_string_value(value) : fallback;
  return *out ? SP_OK : sp_config_refuse(in, key, "a text is needed");
}

enum sp_status sp_config_choose(const struct sp_config_reader *in, const char *key,
                                const struct sp_config_word *known, const char *why, int *out) {
  const char *text = NULL;
  SP_TRY(sp_config_text(in, key, known[0].name, &text));
  for (; known->name; known++) {
    if (strcmp(text, known->name) == 0) {
      *out = known->value;
      return SP_OK;
    }
  }
  return sp_config_refuse(in, key, why);
}
