#include <stdlib.h>
#include <string.h>

#include "tokenizer_build.h"

#define CONFIG "tokenizer_config.json"

static const char *const name_keys[SP_NAMES] = {"unk_token", "cls_token", "sep_token", "mask_token",
                                                "pad_token"};
static const char *const default_names[SP_NAMES] = {"[UNK]", "[CLS]", "[SEP]", "[MASK]", "[PAD]"};

struct sources {
  const struct sp_tokenizer_files *files;
  json_t *config, *model, *special_map, *added; /* NULL where there is no such file */
};

void sp_tokenizer_config_release(struct sp_tokenizer_config *config) {
  for (int i = 0; i < SP_NAMES; i++) {
    free(config->names[i]);
  }
  sp_added_set_release(&config->all);
  memset(config, 0, sizeof *config);
}

static enum sp_status check_class(const char *directory, const char *name, bool *wants_json,
                                  struct sp_error *err) {
  static const char *const same[] = {"BertTokenizer",       "BertTokenizerFast",
                                     "DistilBertTokenizer", "DistilBertTokenizerFast",
                                     "ElectraTokenizer",    "ElectraTokenizerFast"};
  static const char *const generic[] = {"PreTrainedTokenizerFast", "TokenizersBackend"};
  for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
    if (strcmp(name, same[i]) == 0) {
      return SP_OK;
    }
  }
  for (size_t i = 0; i < sizeof generic / sizeof *generic; i++) {
    if (strcmp(name, generic[i]) == 0) {
      *wants_json = true;
      return SP_OK;
    }
  }
  return sp_fail(err, SP_EMODEL, "%s: tokenizer class %s is not supported (WordPiece of BERT is)",
                 directory, name);
}

/* tokenizer_config.json names the class; older directories do so in config.json. */
static enum sp_status read_class(const struct sources *from, struct sp_tokenizer_config *config,
                                 struct sp_error *err) {
  const json_t *class = json_object_get(from->config, "tokenizer_class");
  if (!class || json_is_null(class)) {
    class = json_object_get(from->model, "tokenizer_class");
  }
  if (!class || json_is_null(class)) {
    return SP_OK;
  }
  if (!json_is_string(class)) {
    return sp_fail(err, SP_EMODEL, "%s: tokenizer_class is not a string", from->files->directory);
  }
  return check_class(from->files->directory, json_string_value(class), &config->wants_json, err);
}

static bool is_empty(const json_t *value) {
  return !value || json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0);
}

/* Settings under which the oracle would tokenize otherwise. */
static enum sp_status refuse_others(const struct sources *from, struct sp_error *err) {
  static const char *const unwanted[] = {"never_split", "word_tokenizer_type",
                                         "subword_tokenizer_type"};
  const char *directory = from->files->directory;
  for (size_t i = 0; i < sizeof unwanted / sizeof *unwanted; i++) {
    if (!is_empty(json_object_get(from->config, unwanted[i]))) {
      return sp_fail(err, SP_EMODEL, "%s/" CONFIG ": %s is not supported", directory, unwanted[i]);
    }
  }
  enum sp_choice basic, split_special;
  SP_TRY(sp_json_choice(directory, CONFIG, from->config, "do_basic_tokenize", &basic, err));
  SP_TRY(
      sp_json_choice(directory, CONFIG, from->config, "split_special_tokens", &split_special, err));
  if (basic == SP_NO) {
    return sp_fail(err, SP_EMODEL, "%s/" CONFIG ": do_basic_tokenize = false is not supported",
                   directory);
  }
  if (split_special == SP_YES) {
    return sp_fail(err, SP_EMODEL, "%s/" CONFIG ": split_special_tokens is not supported",
                   directory);
  }
  return SP_OK;
}

/* The largest length taken at its word; the libraries write 1e30 for "none". */
static void read_max_length(const struct sources *from, struct sp_tokenizer_config *config) {
  const json_t *value = json_object_get(from->config, "model_max_length");
  double length = json_is_number(value) ? json_number_value(value) : 0;
  config->max_length = length >= 1 && length <= 1e9 ? (size_t)length : 0;
}

/* First in tokenizer_config.json, then in special_tokens_map.json. */
static const json_t *special_value(const struct sources *from, const char *key, const char **file) {
  const json_t *value = json_object_get(from->config, key);
  *file = CONFIG;
  if (!value || json_is_null(value)) {
    value = json_object_get(from->special_map, key);
    *file = "special_tokens_map.json";
  }
  return value && !json_is_null(value) ? value : NULL;
}

static enum sp_status read_names(const struct sources *from, struct sp_tokenizer_config *config,
                                 struct sp_error *err) {
  const char *directory = from->files->directory;
  for (int i = 0; i < SP_NAMES; i++) {
    const char *file, *name = default_names[i];
    const json_t *value = special_value(from, name_keys[i], &file);
    if (value) {
      SP_TRY(sp_json_added_token(directory, file, value, true, -1, &config->all, err));
      const json_t *content = json_is_object(value) ? json_object_get(value, "content") : value;
      name = json_string_value(content);
    } else {
      struct sp_added_token token = {
          .content = (char *)name, .len = strlen(name), .id = -1, .special = true};
      SP_TRY(sp_added_set_put(&config->all, &token, err));
    }
    config->names[i] = strdup(name);
    if (!config->names[i]) {
      return sp_fail_memory(err, strlen(name) + 1);
    }
  }
  return SP_OK;
}

static enum sp_status read_additional(const struct sources *from,
                                      struct sp_tokenizer_config *config, struct sp_error *err) {
  const char *file;
  const json_t *list = special_value(from, "additional_special_tokens", &file);
  size_t i;
  json_t *value;
  if (list && !json_is_array(list)) {
    return sp_fail(err, SP_EMODEL, "%s/%s: additional_special_tokens is not a list",
                   from->files->directory, file);
  }
  json_array_foreach(list, i, value) {
    SP_TRY(sp_json_added_token(from->files->directory, file, value, true, -1, &config->all, err));
  }
  return SP_OK;
}

/* added_tokens.json: {"content": id}. */
static enum sp_status read_added(const struct sources *from, struct sp_tokenizer_config *config,
                                 struct sp_error *err) {
  const char *key, *directory = from->files->directory;
  json_t *value;
  json_object_foreach(from->added, key, value) {
    const struct sp_added_token *named =
        sp_added_set_find(&config->all, (struct sp_text){key, strlen(key)});
    if (!json_is_integer(value)) {
      return sp_fail(err, SP_EMODEL, "%s/added_tokens.json: '%s' has no id", directory, key);
    }
    json_t *content = json_string(key);
    if (!content) {
      return sp_fail_memory(err, strlen(key) + 1);
    }
    enum sp_status status =
        sp_json_added_token(directory, "added_tokens.json", content, named && named->special,
                            json_integer_value(value), &config->all, err);
    json_decref(content);
    SP_TRY(status);
  }
  return SP_OK;
}

/* added_tokens_decoder: {"id": {"content", "lstrip", ..}}. */
static enum sp_status read_decoder(const struct sources *from, struct sp_tokenizer_config *config,
                                   struct sp_error *err) {
  const char *key, *directory = from->files->directory;
  json_t *value, *decoder = json_object_get(from->config, "added_tokens_decoder");
  json_object_foreach(decoder, key, value) {
    char *end;
    long long id = strtoll(key, &end, 10);
    if (end == key || *end || id < 0) {
      return sp_fail(err, SP_EMODEL, "%s/" CONFIG ": added_tokens_decoder: '%s' is not an id",
                     directory, key);
    }
    SP_TRY(sp_json_added_token(directory, CONFIG, value, false, id, &config->all, err));
  }
  return SP_OK;
}

static enum sp_status read_all(const struct sources *from, struct sp_tokenizer_config *config,
                               struct sp_error *err) {
  const char *directory = from->files->directory;
  SP_TRY(read_class(from, config, err));
  SP_TRY(refuse_others(from, err));
  SP_TRY(sp_json_choice(directory, CONFIG, from->config, "do_lower_case", &config->lowercase, err));
  SP_TRY(sp_json_choice(directory, CONFIG, from->config, "strip_accents", &config->strip_accents,
                        err));
  SP_TRY(sp_json_choice(directory, CONFIG, from->config, "tokenize_chinese_chars",
                        &config->split_cjk, err));
  read_max_length(from, config);
  SP_TRY(read_names(from, config, err));
  SP_TRY(read_additional(from, config, err));
  SP_TRY(read_added(from, config, err));
  return read_decoder(from, config, err);
}

static enum sp_status parse(const char *directory, const char *name, struct sp_text file,
                            json_t **out, struct sp_error *err) {
  return file.data ? sp_json_object(directory, name, file, out, err) : SP_OK;
}

enum sp_status sp_tokenizer_config_read(const struct sp_tokenizer_files *files,
                                        struct sp_tokenizer_config *config, struct sp_error *err) {
  struct sources from = {.files = files};
  enum sp_status status;
  *config = (struct sp_tokenizer_config){.clean_text = true, .max_chars = 100};
  SP_TRY_GOTO(parse(files->directory, CONFIG, files->config, &from.config, err), release);
  SP_TRY_GOTO(parse(files->directory, "config.json", files->model_config, &from.model, err),
              release);
  SP_TRY_GOTO(parse(files->directory, "special_tokens_map.json", files->special_map,
                    &from.special_map, err),
              release);
  SP_TRY_GOTO(parse(files->directory, "added_tokens.json", files->added, &from.added, err),
              release);
  status = read_all(&from, config, err);
release:
  json_decref(from.config);
  json_decref(from.model);
  json_decref(from.special_map);
  json_decref(from.added);
  return status;
}
