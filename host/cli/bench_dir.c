#include "bench_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum sp_status sp_bench_dir_create(struct sp_bench_dir *directory, struct sp_error *err) {
  const char *base = getenv("TMPDIR");
  int wide = snprintf(directory->path, sizeof directory->path, "%s/secondpass-bench-XXXXXX",
                      base && *base ? base : "/tmp");
  if (wide < 0 || (size_t)wide >= sizeof directory->path) {
    return sp_fail(err, SP_EIO, "$TMPDIR is too long");
  }
  if (!mkdtemp(directory->path)) {
    return sp_fail_errno(err, SP_EIO, "%s", directory->path);
  }
  return SP_OK;
}

static bool ends_with(const char *name, const char *suffix) {
  size_t n = strlen(name), m = strlen(suffix);
  return n >= m && strcmp(name + n - m, suffix) == 0;
}

uint64_t sp_bench_dir_remove(struct sp_bench_dir *directory, const char *suffix) {
  uint64_t bytes = 0;
  DIR *listing = opendir(directory->path);
  for (struct dirent *entry; listing && (entry = readdir(listing));) {
    struct stat facts;
    if (ends_with(entry->d_name, suffix) &&
        fstatat(dirfd(listing), entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) == 0) {
      bytes += (uint64_t)facts.st_size;
    }
    unlinkat(dirfd(listing), entry->d_name, 0); /* "." and ".." fail, which is right */
  }
  if (listing) {
    closedir(listing);
  }
  rmdir(directory->path);
  return bytes;
}
