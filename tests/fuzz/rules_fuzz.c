/* rules_fuzz.c - any bytes as a rules file (text_steps_fuzz.h). */
#include "text_steps_fuzz.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  return sp_fuzz_text_steps(sp_rules_parse, data, size);
}
