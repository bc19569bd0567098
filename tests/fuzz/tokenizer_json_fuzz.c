/* tokenizer_json_fuzz.c - the JSON files of a tokenizer, of any bytes. The first byte says which
 * file the rest is; the others are well formed. */
#include <string.h>

#include "tokenizer_build.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static struct sp_tokenizer_files files_of(unsigned which, struct sp_text bytes) {
  static const char vocab[] = "[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\n";
  struct sp_tokenizer_files files = {.directory = "m", .vocab = {vocab, sizeof vocab - 1}};
  switch (which % 5) {
    case 0:
      files.json = bytes;
      files.vocab = (struct sp_text){0};
      break;
    case 1:
      files.config = bytes;
      break;
    case 2:
      files.special_map = bytes;
      break;
    case 3:
      files.added = bytes;
      break;
    default:
      files.model_config = bytes;
  }
  return files;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  if (size == 0) {
    return 0;
  }
  struct sp_text text = {(const char *)data + 1, size - 1};
  struct sp_tokenizer_files files = files_of(data[0], text);
  struct sp_tokenizer *tokenizer;
  struct sp_encoder *encoder;
  struct sp_tokens tokens;
  if (sp_tokenizer_build(&files, &tokenizer, NULL) != SP_OK) {
    return 0;
  }
  if (sp_encoder_create(tokenizer, data[0] & 1, &encoder, NULL) == SP_OK) {
    enum sp_status status = sp_encode(encoder, text, &tokens, NULL);
    (void)status;
    sp_encoder_destroy(encoder);
  }
  sp_tokenizer_close(tokenizer);
  return 0;
}
