#include "spill.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "file.h"

#define BUFFER_BYTES ((size_t)1 << 18)

void sp_spill_init(struct sp_spill *spill, const char *directory) {
  *spill = (struct sp_spill){.directory = directory, .fd = -1};
}

static enum sp_status flush(struct sp_spill *spill, struct sp_error *err) {
  if (spill->fd < 0) {
    SP_TRY(sp_file_temporary(spill->directory, "secondpass-data", &spill->fd, err));
  }
  SP_TRY(sp_file_write_all(spill->fd, spill->buffer, spill->filled, spill->directory, err));
  spill->filled = 0;
  return SP_OK;
}

enum sp_status sp_spill_append(struct sp_spill *spill, const void *data, size_t len,
                               struct sp_error *err) {
  const char *from = data;
  if (!spill->buffer && !(spill->buffer = malloc(BUFFER_BYTES))) {
    return sp_fail_memory(err, BUFFER_BYTES);
  }
  spill->bytes += len;
  while (len > 0) {
    if (spill->filled == BUFFER_BYTES) {
      SP_TRY(flush(spill, err));
    }
    size_t room = BUFFER_BYTES - spill->filled, part = len < room ? len : room;
    memcpy(spill->buffer + spill->filled, from, part);
    spill->filled += part;
    from += part;
    len -= part;
  }
  return SP_OK;
}

enum sp_status sp_spill_map(struct sp_spill *spill, struct sp_error *err) {
  if (spill->fd < 0) {
    spill->data = spill->buffer;
    return SP_OK;
  }
  SP_TRY(flush(spill, err));
  void *data = mmap(NULL, spill->bytes, PROT_READ, MAP_SHARED, spill->fd, 0);
  if (data == MAP_FAILED) {
    return sp_fail_errno(err, SP_EIO, "cannot map a temporary file in %s", spill->directory);
  }
  spill->data = data;
  close(spill->fd);
  spill->fd = -1;
  free(spill->buffer);
  spill->buffer = NULL;
  return SP_OK;
}

void sp_spill_release(struct sp_spill *spill) {
  if (spill->data && !spill->buffer) {
    munmap((void *)(uintptr_t)spill->data, spill->bytes);
  }
  if (spill->fd >= 0) {
    close(spill->fd);
  }
  free(spill->buffer);
  sp_spill_init(spill, spill->directory);
}
