/* source_fuzz.c - any bytes as a plain, zstd or gzip file, read as blocks and as lines. */
#include <stdlib.h>

#include "source.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { most_bytes = 4 << 20 }; /* of what a small input may grow to */

static void read_blocks(struct sp_source *source) {
  struct sp_error err;
  struct sp_text head;
  static const size_t steps[] = {1, 100, 5000, 100000};
  char *block = malloc(100000);
  if (!block || sp_source_skip_bom(source, &err) != SP_OK ||
      sp_source_peek(source, 1000, &head, &err) != SP_OK) {
    free(block);
    return;
  }
  size_t got = 1;
  for (size_t turn = 0, total = 0; got > 0 && total < most_bytes; turn++, total += got) {
    if (sp_source_read(source, block, steps[turn % 4], &got, &err) != SP_OK) {
      break;
    }
  }
  free(block);
}

static void read_lines(struct sp_source *source) {
  struct sp_error err;
  struct sp_text line;
  struct sp_file_digest digest;
  bool found = true;
  for (size_t total = 0; found && total < most_bytes; total += line.len + 1) {
    if (sp_source_line(source, 100000, &line, &found, &err) != SP_OK) {
      return;
    }
    if (found && line.len > 0 && (line.len > 100000 || line.data[line.len - 1] == '\n')) {
      abort();
    }
  }
  if (sp_source_digest(source, &digest, &err) != SP_OK) {
    abort(); /* memory cannot fail to be read */
  }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  void (*const readers[])(struct sp_source *) = {read_blocks, read_lines};
  for (int i = 0; i < 2; i++) {
    struct sp_source *source = NULL;
    struct sp_text bytes = {(const char *)data, size};
    if (sp_source_open_memory("fuzz", bytes, &source, NULL) == SP_OK) {
      readers[i](source);
      sp_source_close(source);
    }
  }
  return 0;
}
