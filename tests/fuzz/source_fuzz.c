/* source_fuzz.c - any bytes as a plain, zstd or gzip file, read as blocks, as lines, and from the place of
 * one of the lines. */
#include <stdlib.h>
#include <xxhash.h>

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

/* Blocks after a seek to any place whatever end, or fail. */
static void read_elsewhere(struct sp_source *source) {
  struct sp_error err;
  static const struct sp_source_place places[] = {
      {3, 5, 1, 0}, {20, 0, 0, 0}, {0, 40, 7, 0}, {1ull << 60, 1, 1, 0}};
  char block[1000];
  for (int i = 0; i < 4; i++) {
    if (sp_source_seek(source, &places[i], &err) != SP_OK) {
      return;
    }
    size_t got = 1;
    for (size_t total = 0; got > 0 && total < most_bytes / 4; total += got) {
      if (sp_source_read(source, block, sizeof block, &got, &err) != SP_OK) {
        return;
      }
    }
  }
}

static XXH64_hash_t hash_of(struct sp_text line) {
  return line.len > 0 ? XXH64(line.data, line.len, 0) : 0;
}

/* The line at a place is the one that stood there. */
static void read_again(struct sp_source *source, const struct sp_source_place *place,
                       XXH64_hash_t hash) {
  struct sp_error err;
  struct sp_text line;
  bool found;
  if (sp_source_seek(source, place, &err) != SP_OK ||
      sp_source_line(source, 100000, &line, &found, &err) != SP_OK || !found ||
      hash_of(line) != hash || sp_source_line_number(source) != place->line + 1) {
    abort();
  }
}

static void read_lines(struct sp_source *source) {
  struct sp_error err;
  struct sp_source_place place = {0, 0, UINT64_MAX, 0};
  XXH64_hash_t hash = 0;
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
    if (found && sp_source_line_number(source) % 7 < 3) {
      place = sp_source_line_place(source);
      hash = hash_of(line);
    }
  }
  if (sp_source_digest(source, &digest, &err) != SP_OK) {
    abort(); /* memory cannot fail to be read */
  }
  if (place.line != UINT64_MAX) {
    read_again(source, &place, hash);
  }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  void (*const readers[])(struct sp_source *) = {read_blocks, read_lines, read_elsewhere};
  for (int i = 0; i < 3; i++) {
    struct sp_source *source = NULL;
    struct sp_text bytes = {(const char *)data, size};
    if (sp_source_open_memory("fuzz", bytes, &source, NULL) == SP_OK) {
      readers[i](source);
      sp_source_close(source);
    }
  }
  return 0;
}
