#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "tokenizer_build.h"

struct sp_encoder {
  const struct sp_tokenizer *tokenizer;
  struct sp_normalizer normalizer;
  struct sp_word_cache *cache;
  struct sp_buf normal, spare;
  int32_t *ids;   /* (capacity) */
  uint32_t *word; /* (capacity) */
  size_t n, capacity;
  uint32_t words;
  size_t n_special;
  bool no_vocab;
};

enum sp_status sp_encoder_create(const struct sp_tokenizer *tokenizer, bool lower_first,
                                 struct sp_encoder **out, struct sp_error *err) {
  struct sp_encoder *encoder = calloc(1, sizeof *encoder);
  *out = NULL;
  if (!encoder) {
    return sp_fail_memory(err, sizeof *encoder);
  }
  encoder->tokenizer = tokenizer;
  encoder->normalizer = tokenizer->normalizer;
  encoder->normalizer.lower_first = lower_first;
  enum sp_status status = sp_word_cache_create(&encoder->cache, err);
  if (status != SP_OK) {
    sp_encoder_destroy(encoder);
    return status;
  }
  *out = encoder;
  return SP_OK;
}

void sp_encoder_destroy(struct sp_encoder *encoder) {
  if (encoder) {
    sp_word_cache_destroy(encoder->cache);
    sp_buf_release(&encoder->normal);
    sp_buf_release(&encoder->spare);
    free(encoder->ids);
    free(encoder->word);
    free(encoder);
  }
}

/* Room for `extra` more tokens. */
static enum sp_status reserve(struct sp_encoder *encoder, size_t extra, struct sp_error *err) {
  size_t need = sp_max_size(encoder->n + extra, 64);
  if (need <= encoder->capacity) {
    return SP_OK;
  }
  size_t capacity = sp_max_size(need, encoder->capacity * 2);
  int32_t *ids = realloc(encoder->ids, sp_mul_sat(capacity, sizeof *ids));
  encoder->ids = ids ? ids : encoder->ids;
  uint32_t *word = ids ? realloc(encoder->word, sp_mul_sat(capacity, sizeof *word)) : NULL;
  if (!word) {
    return sp_fail_memory(err, capacity * sizeof *ids);
  }
  encoder->word = word;
  encoder->capacity = capacity;
  return SP_OK;
}

/* Normalised text without added tokens. */
static enum sp_status encode_words(struct sp_encoder *encoder, struct sp_text normal,
                                   struct sp_error *err) {
  const struct sp_tokenizer *tokenizer = encoder->tokenizer;
  struct sp_word_cursor cursor = {&tokenizer->unicode, normal.data, normal.data + normal.len,
                                  tokenizer->vocab.seed[0]};
  struct sp_word word;
  SP_TRY(reserve(encoder, normal.len, err)); /* no word has more tokens than bytes */
  while (sp_next_word(&cursor, &word)) {
    size_t n =
        sp_wordpiece_spell(&tokenizer->wordpiece, encoder->cache, word, encoder->ids + encoder->n);
    for (size_t i = 0; i < n; i++) {
      encoder->word[encoder->n + i] = encoder->words;
    }
    encoder->n += n;
    encoder->words++;
    encoder->no_vocab = encoder->no_vocab || n == 0;
  }
  return SP_OK;
}

static enum sp_status push_added(struct sp_encoder *encoder, const struct sp_added_token *token,
                                 struct sp_error *err) {
  SP_TRY(reserve(encoder, 1, err));
  encoder->ids[encoder->n] = token->id;
  encoder->word[encoder->n++] = encoder->words++;
  encoder->n_special += token->special;
  return SP_OK;
}

/* Raw text between tokens of the first look. */
static enum sp_status encode_between(struct sp_encoder *encoder, struct sp_text raw,
                                     struct sp_error *err) {
  const struct sp_tokenizer *tokenizer = encoder->tokenizer;
  SP_TRY(sp_normalize(&encoder->normalizer, raw, &encoder->normal, &encoder->spare, err));
  struct sp_added_cursor cursor = {.set = &tokenizer->normalized,
                                   .unicode = &tokenizer->unicode,
                                   .text = {encoder->normal.data, encoder->normal.len}};
  struct sp_added_match match;
  do {
    match = sp_added_next(&cursor);
    SP_TRY(encode_words(encoder, match.before, err));
    if (match.token) {
      SP_TRY(push_added(encoder, match.token, err));
    }
  } while (match.token);
  return SP_OK;
}

enum sp_status sp_encode(struct sp_encoder *encoder, struct sp_text text, struct sp_tokens *out,
                         struct sp_error *err) {
  const struct sp_tokenizer *tokenizer = encoder->tokenizer;
  struct sp_added_cursor cursor = {
      .set = &tokenizer->raw, .unicode = &tokenizer->unicode, .text = text};
  struct sp_added_match match;
  encoder->n = encoder->n_special = 0;
  encoder->words = 0;
  encoder->no_vocab = false;
  memset(out, 0, sizeof *out);
  do {
    match = sp_added_next(&cursor);
    if (match.before.len > 0) {
      SP_TRY(encode_between(encoder, match.before, err));
    }
    if (match.token) {
      SP_TRY(push_added(encoder, match.token, err));
    }
  } while (match.token);
  *out = (struct sp_tokens){.ids = encoder->ids,
                            .word = encoder->word,
                            .n = encoder->no_vocab ? 0 : encoder->n,
                            .n_special = encoder->n_special,
                            .no_vocab = encoder->no_vocab};
  for (size_t i = 0; i < out->n; i++) {
    out->n_unk += tokenizer->info.unk >= 0 && out->ids[i] == tokenizer->info.unk;
  }
  return SP_OK;
}
