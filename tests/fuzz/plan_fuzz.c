/* Plans: what is taken are the very lines that are written for it. */
#include <stdlib.h>
#include <string.h>

#include "run_plan.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static size_t count_lines(struct sp_text text) {
  size_t n = 0;
  for (size_t i = 0; i < text.len; i++) {
    n += text.data[i] == '\n';
  }
  return n;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  struct sp_text text = {(const char *)data, size};
  size_t n = count_lines(text);
  struct sp_plan_shard *shards;
  struct sp_error err;
  struct sp_buf again = {0};
  if (sp_run_plan_parse(text, "plan", n, &shards, &err) != SP_OK) {
    return 0;
  }
  for (size_t i = 0; i < n; i++) {
    if (shards[i].utts == 0 || !(shards[i].cost >= 0) ||
        sp_run_plan_line(&shards[i], i, &again, &err) != SP_OK) {
      abort();
    }
  }
  if (!sp_text_equal(text, (struct sp_text){again.data, again.len})) {
    abort();
  }
  sp_buf_release(&again);
  free(shards);
  return 0;
}
