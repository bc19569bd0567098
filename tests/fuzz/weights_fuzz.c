/* WEIGHTS.json: nothing crashes; what is taken is a combination that can be used and written. */
#include <math.h>
#include <stdlib.h>

#include "weights_file.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void write_and_read_again(const struct sp_weights_file *weights) {
  static struct sp_tune_options options;
  static struct sp_tune_result result;
  struct sp_tuned tuned = {
      .options = &options, .result = &result, .block_by = "utterance", .signature = ""};
  struct sp_weights_file again;
  struct sp_buf text = {0};
  if (sp_weights_file_text(weights, &tuned, &text, NULL) != SP_OK ||
      sp_weights_file_parse((struct sp_text){text.data, text.len}, "again", &again, NULL) !=
          SP_OK ||
      again.combination.second.n != weights->combination.second.n) {
    abort();
  }
  for (size_t k = 0; k < again.combination.second.n; k++) {
    if (again.combination.second.items[k].value != weights->combination.second.items[k].value) {
      abort();
    }
  }
  sp_buf_release(&text);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  struct sp_weights_file weights;
  struct sp_error err;
  struct sp_text text = {size ? (const char *)data : "", size};
  if (sp_weights_file_parse(text, "fuzz", &weights, &err) == SP_OK) {
    if (weights.combination.second.n == 0 ||
        sp_combination_check(&weights.combination, &err) != SP_OK) {
      abort();
    }
    write_and_read_again(&weights);
  }
  return 0;
}
