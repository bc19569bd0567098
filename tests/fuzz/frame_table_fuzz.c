/* Tables of frames at the end of a file, and the way that they show to places. */
#include <stdlib.h>

#include "frame_table.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* A shorter way leads to the same byte, from a frame that begins in the file. */
static void enter(const struct sp_frame_table *table, uint64_t stored, uint64_t raw, size_t size) {
  uint64_t to = stored, rest = raw;
  sp_frame_table_enter(table, &to, &rest);
  if (to == stored && rest == raw) {
    return;
  }
  for (size_t k = 0; k < table->n; k++) {
    if (table->stored[k] == to && to < size && rest <= raw &&
        table->raw[k] + rest >= table->raw[k] && rest < table->raw[table->n]) {
      return;
    }
  }
  abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  static const uint64_t far[] = {0, 1, 99, 100, 101, 4096, UINT64_MAX - 1, UINT64_MAX};
  struct sp_frame_table table;
  struct sp_error err;
  if (sp_frame_table_read(-1, (struct sp_text){(const char *)data, size}, &table, &err) != SP_OK) {
    abort();
  }
  for (size_t k = 0; k < table.n; k++) {
    if (table.stored[k] > table.stored[k + 1] || table.raw[k] > table.raw[k + 1]) {
      abort();
    }
  }
  for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
    for (size_t k = 0; k <= table.n && k < 50; k++) {
      enter(&table, table.n ? table.stored[k] : far[i], far[i], size);
    }
  }
  sp_frame_table_release(&table);
  return 0;
}
