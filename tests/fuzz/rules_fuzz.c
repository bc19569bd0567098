/* rules_fuzz.c - any bytes as a rules file; what is taken is applied to a text. */
#include <stdlib.h>

#include "text_steps.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void apply(const struct sp_text_steps *steps, struct sp_text text) {
  struct sp_buf texts[2] = {{.ceiling = 1 << 20}, {.ceiling = 1 << 20}};
  struct sp_error err;
  for (size_t i = 0; i < steps->n; i++) {
    struct sp_buf *to = &texts[i % 2];
    sp_buf_clear(to);
    if (sp_text_step_apply(&steps->items[i], text, to, &err) != SP_OK) {
      break; /* a text that grows beyond the ceiling */
    }
    text = (struct sp_text){to->len ? to->data : "", to->len};
  }
  sp_buf_release(&texts[0]);
  sp_buf_release(&texts[1]);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  struct sp_text_steps steps = {0};
  struct sp_error err = {0};
  const char *name = NULL;
  struct sp_text bytes = {(const char *)data, size};
  if (sp_rules_parse(bytes, "fuzz", &steps, &name, &err) == SP_OK) {
    if (!name) {
      abort();
    }
    sp_text_steps_finish(&steps);
    apply(&steps, SP_TEXT_LITERAL("I'M going to new york CITY, uh can not a b  c \xc3\xa9"));
    apply(&steps, bytes);
  } else if (err.message[0] == '\0') {
    abort();
  }
  sp_text_steps_release(&steps);
  return 0;
}
