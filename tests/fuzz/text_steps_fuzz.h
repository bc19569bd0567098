/* text_steps_fuzz.h - any bytes as a file of a text profile; what is taken is applied to a text. */
#ifndef SP_TESTS_TEXT_STEPS_FUZZ_H
#define SP_TESTS_TEXT_STEPS_FUZZ_H

#include <stdlib.h>

#include "text_steps.h"

static void sp_fuzz_apply_steps(const struct sp_text_steps *steps, struct sp_text text) {
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

typedef enum sp_status (*sp_fuzz_parse)(struct sp_text bytes, const char *path,
                                        struct sp_text_steps *steps, const char **name,
                                        struct sp_error *err);

static int sp_fuzz_text_steps(sp_fuzz_parse parse, const unsigned char *data, size_t size) {
  struct sp_text_steps steps = {0};
  struct sp_error err = {0};
  const char *name = NULL;
  struct sp_text bytes = {(const char *)data, size};
  if (parse(bytes, "fuzz", &steps, &name, &err) == SP_OK) {
    if (!name) {
      abort();
    }
    sp_text_steps_finish(&steps);
    sp_fuzz_apply_steps(&steps,
                        SP_TEXT_LITERAL("I'M going to new york CITY, uh can not a b  c \xc3\xa9"));
    sp_fuzz_apply_steps(&steps, bytes);
  } else if (err.message[0] == '\0') {
    abort();
  }
  sp_text_steps_release(&steps);
  return 0;
}

#endif
