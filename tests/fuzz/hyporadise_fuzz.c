/* hyporadise_fuzz.c - any bytes as a hyporadise archive. */
#include "archive_drain.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  drain_archive(data, size, SP_FORMAT_HYPORADISE);
  return 0;
}
