#include "run_owner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void sp_copy_printable(char *out, size_t room, const char *text) {
  size_t n = 0;
  for (; n + 1 < room && text[n]; n++) {
    char c = text[n];
    out[n] = c >= ' ' && c <= '~' && c != '"' && c != '\\' ? c : '?';
  }
  out[n] = '\0';
}

/* The id of the running kernel; false where the system does not tell. */
static bool read_boot(char boot[64]) {
  int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  ssize_t got = fd < 0 ? -1 : read(fd, boot, 63);
  if (fd >= 0) {
    close(fd);
  }
  boot[got > 0 ? got : 0] = '\0';
  boot[strcspn(boot, "\n")] = '\0';
  return boot[0] != '\0';
}

void sp_owner_self(int fd, struct sp_run_owner *owner) {
  *owner = (struct sp_run_owner){.pid = getpid()};
  char host[sizeof owner->host] = "", boot[64], mount[128] = "";
  if (gethostname(host, sizeof host - 1) != 0) {
    snprintf(host, sizeof host, "unknown");
  }
  sp_copy_printable(owner->host, sizeof owner->host, host);
  time_t now = time(NULL);
  struct tm utc;
  gmtime_r(&now, &utc);
  strftime(owner->start, sizeof owner->start, "%Y-%m-%dT%H:%M:%SZ", &utc);
  struct stat info;
  if (read_boot(boot) && fstat(fd, &info) == 0) {
    snprintf(mount, sizeof mount, "%s/%jx", boot, (uintmax_t)info.st_dev);
  }
  sp_copy_printable(owner->mount, sizeof owner->mount, mount);
}

enum sp_status sp_owner_write(const struct sp_run_owner *owner, struct sp_buf *out,
                              struct sp_error *err) {
  return sp_buf_printf(out, err,
                       "\"host\":\"%s\",\"pid\":%" PRId64 ",\"start\":\"%s\",\"mount\":\"%s\"",
                       owner->host, owner->pid, owner->start, owner->mount);
}

static void copy_member(char *out, size_t room, const json_t *root, const char *key) {
  const char *text = json_string_value(json_object_get(root, key));
  sp_copy_printable(out, room, text ? text : "");
}

bool sp_owner_parse(const json_t *root, struct sp_run_owner *owner) {
  const json_t *pid = json_object_get(root, "pid");
  *owner = (struct sp_run_owner){.pid = json_integer_value(pid)};
  copy_member(owner->host, sizeof owner->host, root, "host");
  copy_member(owner->start, sizeof owner->start, root, "start");
  copy_member(owner->mount, sizeof owner->mount, root, "mount");
  return owner->host[0] != '\0' && json_is_integer(pid);
}

bool sp_owner_shares_locks(const struct sp_run_owner *owner, const struct sp_run_owner *self) {
  return owner->mount[0] != '\0' && strcmp(owner->mount, self->mount) == 0 &&
         strcmp(owner->host, self->host) == 0;
}

/* ESTALE: a network file system knew the name of a file that is gone. */
static enum sp_status look_of(int reason, const char *path, enum sp_look *look,
                              struct sp_error *err) {
  switch (reason) {
    case ENOENT:
    case ENOTDIR:
    case ESTALE:
      *look = SP_LOOK_ABSENT;
      return SP_OK;
    case ELOOP:
    case ENXIO:
    case EISDIR:
    case EACCES:
    case EPERM:
      *look = SP_LOOK_DAMAGED;
      return SP_OK;
    default:
      errno = reason;
      return sp_fail_errno(err, SP_EIO, "cannot read %s", path);
  }
}

enum sp_status sp_look_at(const char *path, char *text, size_t room, size_t *len,
                          enum sp_look *look, int *fd, struct sp_error *err) {
  *len = 0;
  if (fd) {
    *fd = -1;
  }
  /* O_NONBLOCK: a pipe of that name must not stop us. */
  int file = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) {
    return look_of(errno, path, look, err);
  }
  struct stat info;
  enum sp_status status = SP_OK;
  *look = SP_LOOK_DAMAGED;
  if (fstat(file, &info) == 0 && S_ISREG(info.st_mode) && (uintmax_t)info.st_size <= room) {
    ssize_t got = pread(file, text, room, 0);
    *look = SP_LOOK_WHOLE;
    *len = got > 0 ? (size_t)got : 0;
    status = got < 0 ? look_of(errno, path, look, err) : SP_OK;
  }
  if (status == SP_OK && *look == SP_LOOK_WHOLE && fd) {
    *fd = file;
  } else {
    close(file);
  }
  return status;
}

bool sp_is_locked(int fd) {
  if (flock(fd, LOCK_SH | LOCK_NB) != 0) {
    return true;
  }
  flock(fd, LOCK_UN);
  return false;
}
