/* tokenizer_build.h - inside of a tokenizer, and how the bytes of its files become one.
 *
 * tokenizer_load.c reads the files; what is here takes bytes, so that tests and fuzzers need no
 * directory. Order: config (what is asked for), vocabulary, then both together. */
#ifndef SP_TEXT_TOKENIZER_BUILD_H
#define SP_TEXT_TOKENIZER_BUILD_H

#include <jansson.h>

#include "added_tokens.h"
#include "normalize.h"
#include "tokenizer.h"
#include "vocab.h"
#include "wordpiece.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_tokenizer {
  struct sp_tokenizer_info info;
  struct sp_unicode unicode;
  struct sp_vocab vocab;
  struct sp_normalizer normalizer;
  struct sp_wordpiece wordpiece;
  struct sp_added_set raw;        /* looked for in the text as it is */
  struct sp_added_set normalized; /* looked for in the normalised text */
};

/* Contents of a model directory's files; data is NULL where a file does not exist. */
struct sp_tokenizer_files {
  const char *directory;       /* for messages */
  struct sp_text vocab;        /* vocab.txt */
  struct sp_text json;         /* tokenizer.json */
  struct sp_text config;       /* tokenizer_config.json */
  struct sp_text model_config; /* config.json, which may name the tokenizer's class */
  struct sp_text special_map;  /* special_tokens_map.json */
  struct sp_text added;        /* added_tokens.json */
};

SP_MUST_CHECK enum sp_status sp_tokenizer_build(const struct sp_tokenizer_files *files,
                                                struct sp_tokenizer **out, struct sp_error *err);

enum sp_token_name { SP_NAME_UNK, SP_NAME_CLS, SP_NAME_SEP, SP_NAME_MASK, SP_NAME_PAD, SP_NAMES };

enum sp_choice { SP_UNSET = -1, SP_NO = 0, SP_YES = 1 };

/* What the JSON files ask for. */
struct sp_tokenizer_config {
  enum sp_choice lowercase, strip_accents, split_cjk;
  bool clean_text;
  bool wants_json;         /* a class that only tokenizer.json describes */
  size_t max_length;       /* 0: none */
  size_t max_chars;        /* of a word */
  char *names[SP_NAMES];   /* owned */
  struct sp_added_set all; /* every added token, id -1 where no file gives one */
};

void sp_tokenizer_config_release(struct sp_tokenizer_config *config);

/* tokenizer_config.c: all but vocab.txt and tokenizer.json. Refuses, by name, what would tokenize
 * otherwise. */
SP_MUST_CHECK enum sp_status sp_tokenizer_config_read(const struct sp_tokenizer_files *files,
                                                      struct sp_tokenizer_config *config,
                                                      struct sp_error *err);

/* vocab_file.c: adds the lines of vocab.txt. */
SP_MUST_CHECK enum sp_status sp_vocab_read_lines(const char *directory, struct sp_text file,
                                                 struct sp_vocab *vocab, struct sp_error *err);

/* tokenizer_json.c: adds the pieces of tokenizer.json and completes `config`, whose own settings
 * win; added tokens of the file are replaced by equal ones that `config` has. */
SP_MUST_CHECK enum sp_status sp_tokenizer_json_read(const char *directory, struct sp_text file,
                                                    struct sp_tokenizer_config *config,
                                                    struct sp_vocab *vocab, struct sp_error *err);

/* json_util.c */
/* The root object of a file's JSON; the caller owns it. */
SP_MUST_CHECK enum sp_status sp_json_object(const char *directory, const char *name,
                                            struct sp_text file, json_t **out,
                                            struct sp_error *err);
/* A boolean member; SP_UNSET when it is null or absent. */
SP_MUST_CHECK enum sp_status sp_json_choice(const char *directory, const char *name,
                                            const json_t *object, const char *key,
                                            enum sp_choice *out, struct sp_error *err);
/* Adds a token given as a string or as {"content", "lstrip", ..}; id -1 when the file has none. */
SP_MUST_CHECK enum sp_status sp_json_added_token(const char *directory, const char *name,
                                                 const json_t *value, bool special, json_int_t id,
                                                 struct sp_added_set *set, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
