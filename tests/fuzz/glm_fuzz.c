/* glm_fuzz.c - any bytes as a GLM file (text_steps_fuzz.h). */
#include "text_steps_fuzz.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  return sp_fuzz_text_steps(sp_glm_parse, data, size);
}
