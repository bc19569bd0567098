/* A described archive: nothing crashes; what is taken has a length for every hypothesis. */
#include <stdlib.h>

#include "archive_description.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void check(const struct sp_description *d) {
  uint64_t hyps = d->utts * d->hyps, sum = 0;
  for (size_t i = 0; i < d->n_lengths; i++) {
    sum += sp_description_share(d, i, hyps);
  }
  for (uint64_t u = 0; u < 100; u++) {
    uint32_t tokens = sp_description_length(d, u);
    if (tokens < d->lengths[0].tokens || tokens > d->lengths[d->n_lengths - 1].tokens) {
      abort();
    }
  }
  if (sum != hyps) {
    abort();
  }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  struct sp_description description;
  struct sp_error err;
  struct sp_text text = {size ? (const char *)data : "", size};
  if (sp_description_parse(text, "fuzz", &description, &err) == SP_OK) {
    check(&description);
  }
  sp_description_release(&description);
  return 0;
}
