/* vocab_fuzz.c - vocab.txt of any bytes, then a text spelled with it. */
#include <stdlib.h>
#include <string.h>

#include "tokenizer_build.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void spell(struct sp_tokenizer *tokenizer, struct sp_text text) {
  struct sp_encoder *encoder;
  struct sp_tokens tokens;
  if (sp_encoder_create(tokenizer, false, &encoder, NULL) != SP_OK) {
    return;
  }
  if (sp_encode(encoder, text, &tokens, NULL) == SP_OK) {
    for (size_t i = 0; i < tokens.n; i++) {
      if (sp_tokenizer_piece(tokenizer, tokens.ids[i]).len == 0) {
        abort(); /* every token is a piece */
      }
    }
  }
  sp_encoder_destroy(encoder);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  /* The required pieces first, so that most inputs get as far as encoding. */
  static const char head[] = "[UNK]\n[CLS]\n[SEP]\n";
  struct sp_buf file = {0};
  struct sp_tokenizer *tokenizer = NULL;
  struct sp_text text = {(const char *)data, size};
  if (sp_buf_append(&file, head, sizeof head - 1, NULL) == SP_OK &&
      sp_buf_append(&file, data, size, NULL) == SP_OK) {
    struct sp_tokenizer_files files = {.directory = "m", .vocab = {file.data, file.len}};
    if (sp_tokenizer_build(&files, &tokenizer, NULL) == SP_OK) {
      spell(tokenizer, text);
    }
  }
  sp_tokenizer_close(tokenizer);
  sp_buf_release(&file);
  return 0;
}
