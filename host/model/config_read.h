/* config_read.h - members of config.json's objects, checked; private to the readers of the config.
 *
 * A member that is absent or null has its default.  SP_EMODEL names file, key and value. */
#ifndef SP_MODEL_CONFIG_READ_H
#define SP_MODEL_CONFIG_READ_H

#include <jansson.h>

#include "status.h"

struct sp_config_reader {
  json_t *object;
  const char *place;  /* the file: begins every message */
  const char *prefix; /* of the keys in messages: "" or "lookahead." */
  struct sp_error *err;
};

/* One of the words that a key takes; a table ends with a NULL name, its first word is the default. */
struct sp_config_word {
  const char *name;
  int value;
};

/* NULL when the key is absent or null. */
json_t *sp_config_get(const struct sp_config_reader *in, const char *key);
/* SP_EMODEL with the key and its value as the file has it, cut to a line. */
enum sp_status sp_config_refuse(const struct sp_config_reader *in, const char *key,
                                const char *why);
/* A whole number from 1 to `most`. */
SP_MUST_CHECK enum sp_status sp_config_size(const struct sp_config_reader *in, const char *key,
                                            size_t fallback, size_t most, size_t *out);
SP_MUST_CHECK enum sp_status sp_config_bool(const struct sp_config_reader *in, const char *key,
                                            bool fallback, bool *out);
/* The text is the object's. */
SP_MUST_CHECK enum sp_status sp_config_text(const struct sp_config_reader *in, const char *key,
                                            const char *fallback, const char **out);
/* `why` is said of a word that is not in the table. */
SP_MUST_CHECK enum sp_status sp_config_choose(const struct sp_config_reader *in, const char *key,
                                              const struct sp_config_word *known, const char *why,
                                              int *out);

#endif
