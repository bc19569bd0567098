/* nemo_tsv_fuzz.c - any bytes as NeMo beams of two lines an utterance. */
#include "archive_drain.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  struct sp_archive_options options = {.format = SP_FORMAT_NEMO_TSV, .beam_size = 2};
  drain_with(data, size, &options);
  return 0;
}
