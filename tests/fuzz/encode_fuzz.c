/* encode_fuzz.c - any bytes as a text, under each setting; the first byte picks it. */
#include <stdlib.h>
#include <string.h>

#include "tokenizer_build.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { n_settings = 8 };

static struct sp_encoder *make_encoder(unsigned setting) {
  static const char vocab[] =
      "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##a\nab\n##b\ne\n##e\n\xc3\xa9\n\xe4\xb8\xad\n.\n#\n";
  static const char added[] =
      "{\"do_lower_case\":true,\"strip_accents\":false,\"added_tokens_decoder\":{\"15\":{"
      "\"content\":\"[New]\",\"lstrip\":true,\"rstrip\":true,\"normalized\":true}}}";
  static const char stripped[] =
      "{\"do_lower_case\":false,\"strip_accents\":true,"
      "\"mask_token\":{\"content\":\"[MASK]\",\"lstrip\":true,\"rstrip\":true}}";
  static const char *const configs[n_settings / 2] = {"{\"do_lower_case\":true}",
                                                      "{\"do_lower_case\":false}", added, stripped};
  const char *config = configs[setting / 2];
  struct sp_tokenizer_files files = {
      .directory = "m", .vocab = {vocab, sizeof vocab - 1}, .config = {config, strlen(config)}};
  struct sp_tokenizer *tokenizer;
  struct sp_encoder *encoder;
  if (sp_tokenizer_build(&files, &tokenizer, NULL) != SP_OK ||
      sp_encoder_create(tokenizer, setting % 2, &encoder, NULL) != SP_OK) {
    abort();
  }
  return encoder;
}

/* Words count up from 0 without a gap; ids are in range. */
static void check(const struct sp_tokens *tokens) {
  for (size_t i = 0; i < tokens->n; i++) {
    uint32_t before = i ? tokens->word[i - 1] : 0;
    if (tokens->ids[i] < 0 || tokens->ids[i] > 15 ||
        (tokens->word[i] != before && (i == 0 || tokens->word[i] != before + 1))) {
      abort();
    }
  }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  static struct sp_encoder *encoders[n_settings]; /* kept: making one costs a millisecond */
  struct sp_tokens tokens;
  if (size == 0) {
    return 0;
  }
  unsigned setting = data[0] % n_settings;
  if (!encoders[setting]) {
    encoders[setting] = make_encoder(setting);
  }
  if (sp_encode(encoders[setting], (struct sp_text){(const char *)data + 1, size - 1}, &tokens,
                NULL) != SP_OK) {
    abort();
  }
  check(&tokens);
  return 0;
}
