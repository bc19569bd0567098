#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checked.h"
#include "clock.h"

enum sp_status sp_file_read(const char *path, struct sp_buf *out, struct sp_error *err) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return sp_fail_errno(err, SP_EIO, "cannot open %s", path);
  }
  enum sp_status status = sp_file_read_all(fd, path, out, err);
  close(fd);
  return status;
}

enum sp_status sp_file_read_all(int fd, const char *path, struct sp_buf *out,
                                struct sp_error *err) {
  size_t ceiling = out->ceiling ? out->ceiling : SP_BUF_CEILING;
  for (;;) {
    char beyond;
    size_t want = sp_min_size(1 << 16, ceiling - sp_min_size(out->len, ceiling));
    SP_TRY(sp_buf_reserve(out, want, err));
    ssize_t got = read(fd, want ? out->data + out->len : &beyond, want ? want : 1);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return sp_fail_errno(err, SP_EIO, "cannot read %s", path);
    }
    if (got > 0 && want == 0) {
      return sp_fail(err, SP_EINPUT, "%s is larger than %zu bytes", path, ceiling);
    }
    if (got == 0) {
      return SP_OK;
    }
    out->len += (size_t)got;
  }
}

static enum sp_status map_descriptor(int fd, const char *path, enum sp_status other,
                                     struct sp_text *out, struct sp_error *err) {
  struct stat info;
  if (fstat(fd, &info) != 0) {
    return sp_fail_errno(err, SP_EIO, "cannot stat %s", path);
  }
  if (!S_ISREG(info.st_mode) || (uint64_t)info.st_size > SIZE_MAX) {
    return sp_fail(err, other, "%s is not a regular file", path);
  }
  if (info.st_size == 0) {
    return SP_OK;
  }
  void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED) {
    return sp_fail_errno(err, SP_EIO, "cannot map %s", path);
  }
  *out = (struct sp_text){data, (size_t)info.st_size};
  return SP_OK;
}

enum sp_status sp_file_map(const char *path, enum sp_status other, struct sp_text *out,
                           struct sp_error *err) {
  *out = (struct sp_text){0};
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return sp_fail_errno(err, SP_EIO, "cannot open %s", path);
  }
  enum sp_status status = map_descriptor(fd, path, other, out, err);
  close(fd);
  return status;
}

void sp_file_unmap(struct sp_text mapped) {
  if (mapped.data) {
    munmap((void *)(uintptr_t)mapped.data, mapped.len);
  }
}

enum sp_status sp_file_write_all(int fd, const void *data, size_t len, const char *path,
                                 struct sp_error *err) {
  const char *from = data;
  while (len > 0) {
    ssize_t put = write(fd, from, len);
    if (put < 0 && errno == EINTR) {
      continue;
    }
    if (put < 0) {
      return sp_fail_errno(err, SP_EIO, "cannot write %s", path);
    }
    from += put;
    len -= (size_t)put;
  }
  return SP_OK;
}

/* The directory that `path` stands in, as a string; empty when memory is out. */
static enum sp_status parent_of(const char *path, struct sp_buf *out, struct sp_error *err) {
  size_t len = strlen(path);
  while (len > 1 && path[len - 1] == '/') {
    len--;
  }
  const char *slash = memrchr(path, '/', len);
  len = slash ? (size_t)(slash - path) : 1;
  SP_TRY(sp_buf_append(out, slash ? (len ? path : "/") : ".", len ? len : 1, err));
  return sp_buf_cstr(out) ? SP_OK : sp_fail_memory(err, len);
}

enum sp_status sp_file_check_parent(const char *path, struct sp_error *err) {
  struct sp_buf directory = {0};
  struct stat info;
  enum sp_status status = parent_of(path, &directory, err);
  if (status == SP_OK && stat(directory.data, &info) == 0 && !S_ISDIR(info.st_mode)) {
    status = sp_fail(err, SP_EIO, "cannot create %s: %s is no directory", path, directory.data);
  } else if (status == SP_OK && access(directory.data, W_OK | X_OK) != 0) {
    status = sp_fail_errno(err, SP_EIO, "cannot create %s", path);
  }
  sp_buf_release(&directory);
  return status;
}

enum sp_status sp_file_sync_directory_of(const char *path, struct sp_error *err) {
  struct sp_buf directory = {0};
  int fd = -1;
  enum sp_status status;
  SP_TRY_GOTO(parent_of(path, &directory, err), release);
  fd = open(directory.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  /* Some file systems refuse fsync on a directory (EINVAL): there is nothing to make durable then. */
  if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL)) {
    status = sp_fail_errno(err, SP_EIO, "cannot sync the directory of %s", path);
  }
  if (fd >= 0) {
    close(fd);
  }
release:
  sp_buf_release(&directory);
  return status;
}

static enum sp_status write_synced(int fd, const char *path, const void *data, size_t len,
                                   struct sp_error *err) {
  enum sp_status status = sp_file_write_all(fd, data, len, path, err);
  if (status == SP_OK && fsync(fd) != 0) {
    status = sp_fail_errno(err, SP_EIO, "cannot sync %s", path);
  }
  if (close(fd) != 0 && status == SP_OK) {
    status = sp_fail_errno(err, SP_EIO, "cannot close %s", path);
  }
  return status;
}

enum sp_status sp_file_rename(const char *temporary, const char *path, struct sp_error *err) {
  if (rename(temporary, path) != 0) {
    return sp_fail_errno(err, SP_EIO, "cannot rename %s to %s", temporary, path);
  }
  return sp_file_sync_directory_of(path, err);
}

uint64_t sp_random_bits(void) {
  uint64_t bits;
  if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) != (ssize_t)sizeof bits) {
    bits = sp_clock_ns() * 0x9E3779B97F4A7C15u ^ (uint64_t)getpid() << 32;
  }
  return bits;
}

/* Process ids alone are not unique: containers all have the same, and share a file system. */
enum sp_status sp_file_create_beside(const char *path, struct sp_buf *name, int *fd,
                                     struct sp_error *err) {
  enum { attempts = 100 };
  for (int k = 0; k < attempts; k++) {
    sp_buf_clear(name);
    SP_TRY(sp_buf_printf(name, err, "%s.tmp.%ld%010u", path, (long)getpid(),
                         (unsigned)sp_random_bits()));
    if (!sp_buf_cstr(name)) {
      return sp_fail_memory(err, name->len);
    }
    *fd = open(name->data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (*fd >= 0) {
      return SP_OK;
    }
    if (errno != EEXIST) {
      break;
    }
  }
  return sp_fail_errno(err, SP_EIO, "cannot create %s", name->data);
}

typedef enum sp_status (*name_fn)(const char *temporary, const char *path, struct sp_error *err);

static enum sp_status write_and_name(const char *path, const void *data, size_t len,
                                     name_fn name_it, struct sp_error *err) {
  struct sp_buf name = {0};
  int fd = -1;
  enum sp_status status;
  SP_TRY_GOTO(sp_file_create_beside(path, &name, &fd, err), release);
  status = write_synced(fd, name.data, data, len, err);
  if (status == SP_OK) {
    status = name_it(name.data, path, err);
  }
  if (status != SP_OK) {
    unlink(name.data); /* if it still has that name */
  }
release:
  sp_buf_release(&name);
  return status;
}

enum sp_status sp_file_replace(const char *path, const void *data, size_t len,
                               struct sp_error *err) {
  return write_and_name(path, data, len, sp_file_rename, err);
}

static enum sp_status publish_or_leave(const char *temporary, const char *path,
                                       struct sp_error *err) {
  bool existed;
  return sp_file_publish(temporary, path, &existed, err);
}

enum sp_status sp_file_make(const char *path, const void *data, size_t len, struct sp_error *err) {
  return write_and_name(path, data, len, publish_or_leave, err);
}

/* Opening has a network file system ask its server for the file's attributes. */
static bool has_two_names(const char *path) {
  struct stat info;
  int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  bool two = fd >= 0 && fstat(fd, &info) == 0 && info.st_nlink == 2;
  if (fd >= 0) {
    close(fd);
  }
  return two;
}

enum sp_status sp_file_link(const char *temporary, const char *path, bool *existed,
                            struct sp_error *err) {
  *existed = false;
  if (link(temporary, path) == 0) {
    return SP_OK;
  }
  int reason = errno;
  if (has_two_names(temporary)) {
    return SP_OK;
  }
  *existed = reason == EEXIST || ((reason == ENOENT || reason == ESTALE) && sp_file_exists(path));
  errno = reason;
  return *existed ? SP_OK : sp_fail_errno(err, SP_EIO, "cannot publish %s", path);
}

enum sp_status sp_file_publish(const char *temporary, const char *path, bool *existed,
                               struct sp_error *err) {
  SP_TRY(sp_file_link(temporary, path, existed, err));
  unlink(temporary);
  return sp_file_sync_directory_of(path, err);
}

bool sp_file_is_named(int fd, const char *path) {
  struct stat held, named;
  return fstat(fd, &held) == 0 && lstat(path, &named) == 0 && held.st_dev == named.st_dev &&
         held.st_ino == named.st_ino;
}

enum sp_status sp_file_make_directory(const char *path, struct sp_error *err) {
  if (mkdir(path, 0777) == 0) {
    return sp_file_sync_directory_of(path, err);
  }
  int reason = errno;
  if (reason == EEXIST && sp_file_is_directory(path)) {
    return SP_OK;
  }
  errno = reason;
  return sp_fail_errno(err, SP_EIO, "cannot create the directory %s", path);
}

enum sp_status sp_file_temporary(const char *directory, const char *prefix, int *fd,
                                 struct sp_error *err) {
  struct sp_buf name = {0};
  *fd = -1;
  SP_TRY(sp_buf_printf(&name, err, "%s/%s-XXXXXX", directory, prefix));
  enum sp_status status = SP_OK;
  *fd = sp_buf_cstr(&name) ? mkostemp(name.data, O_CLOEXEC) : -1;
  if (*fd < 0) {
    status = sp_fail_errno(err, SP_EIO, "cannot create a temporary file in %s", directory);
  } else {
    unlink(name.data);
  }
  sp_buf_release(&name);
  return status;
}

bool sp_file_exists(const char *path) {
  struct stat info;
  return stat(path, &info) == 0;
}

bool sp_file_is_directory(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}
