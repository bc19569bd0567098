/* trn_fuzz.c - any bytes as a trn archive, and as whichever text with ids they look like. */
#include "archive_drain.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  struct sp_archive_options told = {.texts_have_ids = true};
  drain_archive(data, size, SP_FORMAT_TRN);
  drain_with(data, size, &told);
  return 0;
}
