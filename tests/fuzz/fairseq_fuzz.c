/* fairseq_fuzz.c - any bytes as a fairseq archive. */
#include "archive_drain.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  drain_archive(data, size, SP_FORMAT_FAIRSEQ);
  return 0;
}
