#include "tokenizer_build.h"

#include <stdlib.h>
#include <string.h>

#include "utf8.h"

static struct sp_text text_of(const char *string) {
  return (struct sp_text){string, strlen(string)};
}

/* An upper-case letter in a piece that is not a "[NAME]". */
static bool has_upper_case(const struct sp_tokenizer *tokenizer) {
  for (size_t id = 0; id < tokenizer->vocab.n; id++) {
    struct sp_text piece = sp_vocab_piece(&tokenizer->vocab, id);
    if (piece.len > 2 && piece.data[0] == '[' && piece.data[piece.len - 1] == ']') {
      continue;
    }
    for (size_t at = 0, wide; at < piece.len; at += wide) {
      uint32_t code;
      wide = sp_utf8_decode((const unsigned char *)piece.data + at, piece.len - at, &code);
      if (sp_unicode_flags(&tokenizer->unicode, code) & SP_CHAR_LOWERS) {
        return true;
      }
    }
  }
  return false;
}

static void resolve_case(struct sp_tokenizer *tokenizer, const struct sp_tokenizer_config *config) {
  struct sp_tokenizer_info *info = &tokenizer->info;
  info->lowercase_from_config = config->lowercase != SP_UNSET;
  info->lowercase =
      info->lowercase_from_config ? config->lowercase == SP_YES : !has_upper_case(tokenizer);
  info->strip_accents =
      config->strip_accents == SP_UNSET ? info->lowercase : config->strip_accents == SP_YES;
  info->split_cjk = config->split_cjk != SP_NO;
  info->clean_text = config->clean_text;
  info->max_length = config->max_length;
  tokenizer->normalizer = (struct sp_normalizer){
      .unicode = &tokenizer->unicode,
      .clean_text = info->clean_text,
      .split_cjk = info->split_cjk,
      .strip_accents = info->strip_accents,
      .lowercase = info->lowercase,
  };
}

/* Ids of tokens that the vocabulary has; a file that says another id is wrong. */
static enum sp_status resolve_ids(const char *directory, const struct sp_vocab *vocab,
                                  struct sp_added_set *all, struct sp_error *err) {
  for (size_t i = 0; i < all->n; i++) {
    struct sp_added_token *token = &all->tokens[i];
    int32_t id = sp_vocab_find(vocab, (struct sp_text){token->content, token->len});
    if (id >= 0 && token->id >= 0 && token->id != id) {
      return sp_fail(err, SP_EMODEL, "%s: added token '%s' has id %d, the vocabulary says %d",
                     directory, token->content, token->id, id);
    }
    token->id = id >= 0 ? id : token->id;
  }
  return SP_OK;
}

static int by_id(const void *a, const void *b) {
  const struct sp_added_token *x = a, *y = b;
  return (x->id > y->id) - (x->id < y->id);
}

/* Tokens beyond the vocabulary take the ids that follow it, without a gap. */
static enum sp_status append_new(const char *directory, struct sp_vocab *vocab,
                                 struct sp_added_set *all, struct sp_error *err) {
  qsort(all->tokens, all->n, sizeof *all->tokens, by_id);
  size_t known = vocab->n;
  for (size_t i = 0; i < all->n; i++) {
    const struct sp_added_token *token = &all->tokens[i];
    struct sp_text content = {token->content, token->len};
    if (token->id < 0 || ((size_t)token->id < known && sp_vocab_find(vocab, content) >= 0)) {
      continue;
    }
    if ((size_t)token->id != vocab->n) {
      return sp_fail(err, SP_EMODEL, "%s: added token '%s' has id %d, the next free one is %zu",
                     directory, token->content, token->id, vocab->n);
    }
    SP_TRY(sp_vocab_add(vocab, content, err));
  }
  return SP_OK;
}

static bool is_name(const struct sp_tokenizer_config *config, const struct sp_added_token *token) {
  for (int i = 0; i < SP_NAMES; i++) {
    if (strcmp(config->names[i], token->content) == 0) {
      return true;
    }
  }
  return false;
}

/* Into the set of the tokenizer where it is looked for; the first of equal normal forms stays. */
static enum sp_status place(struct sp_tokenizer *tokenizer, const struct sp_added_token *token,
                            struct sp_buf *normal, struct sp_buf *spare, struct sp_error *err) {
  if (!token->normalized) {
    return sp_added_set_put(&tokenizer->raw, token, err);
  }
  struct sp_text content = {token->content, token->len};
  SP_TRY(sp_normalize(&tokenizer->normalizer, content, normal, spare, err));
  struct sp_text form = {normal->data, normal->len};
  if (form.len == 0 || sp_added_set_find(&tokenizer->normalized, form)) {
    return SP_OK;
  }
  struct sp_added_token copy = *token;
  copy.content = normal->data;
  copy.len = normal->len;
  return sp_added_set_put(&tokenizer->normalized, &copy, err);
}

static enum sp_status place_all(struct sp_tokenizer *tokenizer, const char *directory,
                                const struct sp_tokenizer_config *config, struct sp_error *err) {
  struct sp_buf normal = {0}, spare = {0};
  enum sp_status status = SP_OK;
  for (size_t i = 0; i < config->all.n && status == SP_OK; i++) {
    const struct sp_added_token *token = &config->all.tokens[i];
    if (token->id >= 0) {
      status = place(tokenizer, token, &normal, &spare, err);
    } else if (!is_name(config, token)) {
      status = sp_fail(err, SP_EMODEL, "%s: added token '%s' is not in the vocabulary", directory,
                       token->content);
    }
  }
  sp_added_set_finish(&tokenizer->raw);
  sp_added_set_finish(&tokenizer->normalized);
  sp_buf_release(&normal);
  sp_buf_release(&spare);
  return status;
}

static enum sp_status resolve_names(struct sp_tokenizer *tokenizer, const char *directory,
                                    const struct sp_tokenizer_config *config,
                                    struct sp_error *err) {
  int32_t *const ids[SP_NAMES] = {&tokenizer->info.unk, &tokenizer->info.cls, &tokenizer->info.sep,
                                  &tokenizer->info.mask, &tokenizer->info.pad};
  for (int i = 0; i < SP_NAMES; i++) {
    const struct sp_added_token *token = sp_added_set_find(&config->all, text_of(config->names[i]));
    *ids[i] = token ? token->id : sp_vocab_find(&tokenizer->vocab, text_of(config->names[i]));
    if (*ids[i] < 0 && (i == SP_NAME_CLS || i == SP_NAME_SEP)) {
      return sp_fail(err, SP_EMODEL, "%s: the vocabulary has no '%s'", directory, config->names[i]);
    }
  }
  /* Words are spelled with the vocabulary alone: an [UNK] that was added to it does not serve. */
  int32_t unk = sp_vocab_find(&tokenizer->vocab, text_of(config->names[SP_NAME_UNK]));
  tokenizer->wordpiece =
      (struct sp_wordpiece){.vocab = &tokenizer->vocab, .unk = unk, .max_chars = config->max_chars};
  return SP_OK;
}

static enum sp_status build(const struct sp_tokenizer_files *files,
                            struct sp_tokenizer_config *config, struct sp_tokenizer *tokenizer,
                            struct sp_error *err) {
  const char *directory = files->directory;
  SP_TRY(sp_tokenizer_config_read(files, config, err));
  if (files->vocab.data && !config->wants_json) {
    tokenizer->info.source = "vocab.txt";
    SP_TRY(sp_vocab_read_lines(directory, files->vocab, &tokenizer->vocab, err));
  } else if (files->json.data) {
    tokenizer->info.source = "tokenizer.json";
    SP_TRY(sp_tokenizer_json_read(directory, files->json, config, &tokenizer->vocab, err));
  } else {
    return sp_fail(err, SP_EMODEL, "%s has no %s", directory,
                   config->wants_json ? "tokenizer.json" : "vocab.txt and no tokenizer.json");
  }
  SP_TRY(sp_unicode_init(&tokenizer->unicode, err));
  SP_TRY(sp_vocab_index(&tokenizer->vocab, err));
  resolve_case(tokenizer, config);
  SP_TRY(resolve_ids(directory, &tokenizer->vocab, &config->all, err));
  SP_TRY(append_new(directory, &tokenizer->vocab, &config->all, err));
  SP_TRY(place_all(tokenizer, directory, config, err));
  SP_TRY(resolve_names(tokenizer, directory, config, err));
  tokenizer->info.kind = "WordPiece";
  tokenizer->info.vocab_size = tokenizer->vocab.n;
  return SP_OK;
}

enum sp_status sp_tokenizer_build(const struct sp_tokenizer_files *files, struct sp_tokenizer **out,
                                  struct sp_error *err) {
  struct sp_tokenizer_config config = {0};
  *out = calloc(1, sizeof **out);
  if (!*out) {
    return sp_fail_memory(err, sizeof **out);
  }
  enum sp_status status = build(files, &config, *out, err);
  sp_tokenizer_config_release(&config);
  if (status != SP_OK) {
    sp_tokenizer_close(*out);
    *out = NULL;
  }
  return status;
}

void sp_tokenizer_close(struct sp_tokenizer *tokenizer) {
  if (tokenizer) {
    sp_unicode_release(&tokenizer->unicode);
    sp_vocab_release(&tokenizer->vocab);
    sp_added_set_release(&tokenizer->raw);
    sp_added_set_release(&tokenizer->normalized);
    free(tokenizer);
  }
}

const struct sp_tokenizer_info *sp_tokenizer_get_info(const struct sp_tokenizer *tokenizer) {
  return &tokenizer->info;
}

struct sp_text sp_tokenizer_piece(const struct sp_tokenizer *tokenizer, int32_t id) {
  return id < 0 ? (struct sp_text){"", 0} : sp_vocab_piece(&tokenizer->vocab, (size_t)id);
}
