/* kaldi_text_fuzz.c - any bytes as a kaldi-text archive. */
#include "archive_drain.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  drain_archive(data, size, SP_FORMAT_KALDI_TEXT);
  return 0;
}
