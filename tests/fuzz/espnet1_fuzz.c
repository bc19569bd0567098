/* espnet1_fuzz.c - any bytes as a espnet1 archive. */
#include "archive_drain.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  drain_archive(data, size, SP_FORMAT_ESPNET1);
  return 0;
}
