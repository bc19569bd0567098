/* Markers: what is taken is the very text that is written for it. */
#include <stdlib.h>

#include "shard_format.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  struct sp_text text = {(const char *)data, size};
  struct sp_shard_done done;
  struct sp_error err;
  struct sp_buf again = {0};
  if (sp_shard_done_parse(text, "x.done", &done, &err) == SP_OK) {
    if (sp_shard_done_text(&done, &again, &err) != SP_OK ||
        !sp_text_equal(text, (struct sp_text){again.data, again.len})) {
      abort();
    }
    sp_shard_done_release(&done);
  }
  sp_buf_release(&again);
  return 0;
}
