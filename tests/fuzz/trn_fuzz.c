/* trn_fuzz.c - any bytes as a trn archive. */
#include "archive_drain.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  drain_archive(data, size, SP_FORMAT_TRN);
  return 0;
}
