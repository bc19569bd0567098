#define XXH_STATIC_LINKING_ONLY /* for the size of XXH64_state_t */

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include "file.h"
#include "shard_format.h"

static enum sp_status copy_from(int fd, const char *path, int to_fd, const char *to,
                                uint64_t *bytes, uint64_t *xxh64, struct sp_error *err) {
  enum { step = 1 << 16 };
  unsigned char piece[step];
  XXH64_state_t hash;
  XXH64_reset(&hash, 0);
  *bytes = 0;
  for (;;) {
    ssize_t got = read(fd, piece, step);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return sp_fail_errno(err, SP_EIO, "cannot read %s", path);
    }
    if (got == 0) {
      *xxh64 = XXH64_digest(&hash);
      return SP_OK;
    }
    XXH64_update(&hash, piece, (size_t)got);
    *bytes += (uint64_t)got;
    if (to_fd >= 0) {
      SP_TRY(sp_file_write_all(to_fd, piece, (size_t)got, to, err));
    }
  }
}

enum sp_status sp_shard_file_copy(const char *path, int to_fd, const char *to, uint64_t *bytes,
                                  uint64_t *xxh64, struct sp_error *err) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return sp_fail_errno(err, SP_EIO, "cannot open %s", path);
  }
  enum sp_status status = copy_from(fd, path, to_fd, to, bytes, xxh64, err);
  close(fd);
  return status;
}

enum sp_status sp_shard_file_compare(const char *path, const struct sp_shard_done *done, bool *same,
                                     struct sp_error *err) {
  uint64_t bytes, xxh64;
  SP_TRY(sp_shard_file_copy(path, -1, NULL, &bytes, &xxh64, err));
  *same = bytes == done->zst_bytes && xxh64 == done->zst_xxh64;
  return SP_OK;
}
