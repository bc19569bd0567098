/* Lines of a history: nothing crashes; what is taken can be written again and read to the same. */
#include <stdlib.h>

#include "history.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void write_and_read_again(const struct sp_history_line *line) {
  struct sp_history_line *again = malloc(sizeof *again);
  struct sp_buf text = {0}, second = {0};
  if (!again || sp_history_text(line, &text, NULL) != SP_OK ||
      sp_history_parse((struct sp_text){text.data, text.len}, again, NULL) != SP_OK ||
      sp_history_text(again, &second, NULL) != SP_OK ||
      !sp_text_equal((struct sp_text){text.data, text.len},
                     (struct sp_text){second.data, second.len})) {
    abort();
  }
  sp_buf_release(&text);
  sp_buf_release(&second);
  free(again);
}

/* Tonight's line is held against itself, three times. */
static void find_drift(const struct sp_history_line *line) {
  struct sp_history_line *lines = malloc(3 * sizeof *lines);
  struct sp_history history = {lines, 3};
  struct sp_drift *drifts;
  size_t n;
  if (!lines) {
    abort();
  }
  lines[0] = lines[1] = lines[2] = *line;
  if (sp_history_drift(&history, line, &drifts, &n, NULL) != SP_OK || n != 0) {
    abort();
  }
  free(drifts);
  free(lines);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  struct sp_history_line *line = malloc(sizeof *line);
  struct sp_error err;
  if (line && sp_history_parse((struct sp_text){(const char *)data, size}, line, &err) == SP_OK) {
    write_and_read_again(line);
    find_drift(line);
  }
  free(line);
  return 0;
}
