#include <stdlib.h>
#include <string.h>

#include "tokenizer_build.h"

#define FILE_NAME "tokenizer.json"

enum { most_chars = 10000 };

/* "type" of a part, for messages too. */
static const char *type_of(const json_t *part) {
  const char *type = json_string_value(json_object_get(part, "type"));
  return type ? type : "(no type)";
}

static enum sp_status need_choice(const char *directory, const json_t *normalizer, const char *key,
                                  enum sp_choice *out, struct sp_error *err) {
  SP_TRY(sp_json_choice(directory, FILE_NAME, normalizer, key, out, err));
  if (*out == SP_UNSET) {
    return sp_fail(err, SP_EMODEL, "%s/" FILE_NAME ": the normalizer has no %s", directory, key);
  }
  return SP_OK;
}

static void set_default(enum sp_choice *choice, enum sp_choice value) {
  *choice = *choice == SP_UNSET ? value : *choice;
}

static enum sp_status read_normalizer(const char *directory, const json_t *normalizer,
                                      struct sp_tokenizer_config *config, struct sp_error *err) {
  enum sp_choice lower = SP_NO, strip = SP_NO, cjk = SP_NO, clean = SP_NO;
  if (normalizer && !json_is_null(normalizer)) {
    if (strcmp(type_of(normalizer), "BertNormalizer") != 0) {
      return sp_fail(err, SP_EMODEL, "%s/" FILE_NAME ": normalizer %s is not supported", directory,
                     type_of(normalizer));
    }
    SP_TRY(need_choice(directory, normalizer, "lowercase", &lower, err));
    SP_TRY(need_choice(directory, normalizer, "clean_text", &clean, err));
    SP_TRY(need_choice(directory, normalizer, "handle_chinese_chars", &cjk, err));
    SP_TRY(sp_json_choice(directory, FILE_NAME, normalizer, "strip_accents", &strip, err));
  }
  /* A generic class is what its file says; BERT's own classes let tokenizer_config.json win. */
  if (config->wants_json) {
    config->lowercase = config->strip_accents = config->split_cjk = SP_UNSET;
  }
  set_default(&config->lowercase, lower);
  set_default(&config->strip_accents, strip);
  set_default(&config->split_cjk, cjk);
  config->clean_text = clean == SP_YES;
  return SP_OK;
}

static enum sp_status check_parts(const char *directory, const json_t *root, struct sp_error *err) {
  const json_t *model = json_object_get(root, "model");
  if (strcmp(type_of(model), "WordPiece") != 0) {
    return sp_fail(err, SP_EMODEL, "%s/" FILE_NAME ": model %s is not supported (WordPiece is)",
                   directory, type_of(model));
  }
  const json_t *pre = json_object_get(root, "pre_tokenizer");
  if (strcmp(type_of(pre), "BertPreTokenizer") != 0) {
    return sp_fail(err, SP_EMODEL, "%s/" FILE_NAME ": pre_tokenizer %s is not supported", directory,
                   type_of(pre));
  }
  const char *prefix = json_string_value(json_object_get(model, "continuing_subword_prefix"));
  if (!prefix || strcmp(prefix, "##") != 0) {
    return sp_fail(err, SP_EMODEL,
                   "%s/" FILE_NAME ": continuing_subword_prefix '%s' is not supported ('##' is)",
                   directory, prefix ? prefix : "");
  }
  return SP_OK;
}

static enum sp_status read_model(const char *directory, const json_t *model,
                                 struct sp_tokenizer_config *config, struct sp_error *err) {
  const json_t *chars = json_object_get(model, "max_input_chars_per_word");
  json_int_t n = json_integer_value(chars);
  if (!json_is_integer(chars) || n < 1 || n > most_chars) {
    return sp_fail(err, SP_EMODEL,
                   "%s/" FILE_NAME ": max_input_chars_per_word must be from 1 to %d", directory,
                   most_chars);
  }
  config->max_chars = (size_t)n;
  const char *unk = json_string_value(json_object_get(model, "unk_token"));
  if (!unk) {
    return sp_fail(err, SP_EMODEL, "%s/" FILE_NAME ": the model has no unk_token", directory);
  }
  char *copy = strdup(unk);
  if (!copy) {
    return sp_fail_memory(err, strlen(unk) + 1);
  }
  free(config->names[SP_NAME_UNK]);
  config->names[SP_NAME_UNK] = copy;
  return SP_OK;
}

/* Pieces in the order of their ids, which must be 0 .. n-1. */
static enum sp_status sort_pieces(const char *directory, json_t *pieces, const char **by_id,
                                  size_t n, struct sp_error *err) {
  const char *key;
  json_t *value;
  json_object_foreach(pieces, key, value) {
    json_int_t id = json_integer_value(value);
    if (!json_is_integer(value) || id < 0 || (size_t)id >= n || by_id[id]) {
      return sp_fail(err, SP_EMODEL, "%s/" FILE_NAME ": piece '%s': ids are not 0 to %zu",
                     directory, key, n - 1);
    }
    by_id[id] = key;
  }
  return SP_OK;
}

static enum sp_status read_pieces(const char *directory, json_t *pieces, struct sp_vocab *vocab,
                                  struct sp_error *err) {
  size_t n = json_object_size(pieces);
  if (n == 0) {
    return sp_fail(err, SP_EMODEL, "%s/" FILE_NAME ": the model has no vocabulary", directory);
  }
  const char **by_id = calloc(n, sizeof *by_id);
  if (!by_id) {
    return sp_fail_memory(err, n * sizeof *by_id);
  }
  enum sp_status status = sort_pieces(directory, pieces, by_id, n, err);
  for (size_t i = 0; i < n && status == SP_OK; i++) {
    status = sp_vocab_add(vocab, (struct sp_text){by_id[i], strlen(by_id[i])}, err);
  }
  free(by_id);
  return status;
}

/* tokenizer_config.json's word on a token is the later one, so it is put last. */
static enum sp_status read_added(const char *directory, const json_t *list,
                                 struct sp_tokenizer_config *config, struct sp_error *err) {
  size_t i;
  json_t *value;
  if (list && !json_is_array(list)) {
    return sp_fail(err, SP_EMODEL, "%s/" FILE_NAME ": added_tokens is not a list", directory);
  }
  json_array_foreach(list, i, value) {
    const json_t *id = json_object_get(value, "id"), *content = json_object_get(value, "content");
    if (!json_is_integer(id) || json_integer_value(id) < 0 || !json_is_string(content)) {
      return sp_fail(err, SP_EMODEL, "%s/" FILE_NAME ": added token %zu has no id or content",
                     directory, i);
    }
    struct sp_text text = {json_string_value(content), json_string_length(content)};
    const struct sp_added_token *same = sp_added_set_find(&config->all, text);
    if (!same || same->id < 0) {
      SP_TRY(sp_json_added_token(directory, FILE_NAME, value, false, json_integer_value(id),
                                 &config->all, err));
    }
  }
  return SP_OK;
}

enum sp_status sp_tokenizer_json_read(const char *directory, struct sp_text file,
                                      struct sp_tokenizer_config *config, struct sp_vocab *vocab,
                                      struct sp_error *err) {
  json_t *root;
  enum sp_status status;
  SP_TRY(sp_json_object(directory, FILE_NAME, file, &root, err));
  const json_t *model = json_object_get(root, "model");
  SP_TRY_GOTO(check_parts(directory, root, err), release);
  SP_TRY_GOTO(read_normalizer(directory, json_object_get(root, "normalizer"), config, err),
              release);
  SP_TRY_GOTO(read_model(directory, model, config, err), release);
  SP_TRY_GOTO(read_pieces(directory, json_object_get(model, "vocab"), vocab, err), release);
  SP_TRY_GOTO(read_added(directory, json_object_get(root, "added_tokens"), config, err), release);
release:
  json_decref(root);
  return status;
}
