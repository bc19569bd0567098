/* Whole shard files, read from memory by name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shard.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static enum sp_status count(void *context, struct sp_text line, struct sp_error *err) {
  uint64_t *bytes = context;
  (void)err;
  if (memchr(line.data, '\n', line.len + 1) != line.data + line.len) {
    abort();
  }
  *bytes += line.len + 1;
  return SP_OK;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  struct sp_shard_done measured;
  struct sp_error err;
  uint64_t bytes = 0;
  char path[64];
  int fd = memfd_create("shard", MFD_CLOEXEC);
  if (fd < 0 || write(fd, data, size) != (ssize_t)size) {
    abort();
  }
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  if (sp_shard_read(path, count, &bytes, &measured, &err) == SP_OK &&
      (measured.raw_bytes != bytes || measured.zst_bytes != size)) {
    abort();
  }
  close(fd);
  return 0;
}
