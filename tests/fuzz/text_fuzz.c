/* text_fuzz.c - any bytes as plain text, and through the detection of the format. */
#include "archive_drain.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  drain_archive(data, size, SP_FORMAT_TEXT);
  drain_archive(data, size, SP_FORMAT_AUTO);
  return 0;
}
