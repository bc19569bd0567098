/* Workers' files and claims' names: what is taken can be written, in the one size, and reads back the same. */
#include <stdlib.h>
#include <string.h>

#include "run_claims_state.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void check_name(const char *text) {
  size_t shard;
  uint32_t generation;
  char again[64];
  if (sp_claim_name_parse(text, &shard, &generation)) {
    sp_claim_name(shard, generation, again);
    if (strcmp(text, again) != 0) {
      abort();
    }
  }
}

static void check_worker(struct sp_text text) {
  struct sp_worker worker, read;
  struct sp_buf once = {0}, twice = {0};
  struct sp_error err;
  if (sp_worker_parse(text, &worker)) {
    if (sp_worker_write(&worker, &once, &err) != SP_OK || once.len != SP_WORKER_BYTES ||
        !sp_worker_parse((struct sp_text){once.data, once.len}, &read) ||
        sp_worker_write(&read, &twice, &err) != SP_OK ||
        !sp_text_equal((struct sp_text){once.data, once.len},
                       (struct sp_text){twice.data, twice.len})) {
      abort();
    }
    for (size_t k = 0; k + 1 < once.len; k++) {
      if (once.data[k] < ' ' || once.data[k] > '~') {
        abort();
      }
    }
  }
  sp_buf_release(&once);
  sp_buf_release(&twice);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  check_worker((struct sp_text){(const char *)data, size});
  char *name = calloc(size + 1, 1);
  if (name) {
    memcpy(name, data, size);
    check_name(name);
  }
  free(name);
  return 0;
}
