#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "run_files.h"
#include "run_manifest.h"
#include "score_line.h"

/* flock decides among processes of one host, and the system drops it when its holder dies. On
 * shared file systems it may not reach other hosts: there the host named in the file decides. */

enum { host_bytes = 256, content_bytes = 1024 };

struct owner {
  char host[host_bytes];
  intmax_t pid;
};

/* False when the file names nobody: empty, or cut off in a crash. */
static bool read_owner(int fd, struct owner *owner) {
  char text[content_bytes];
  ssize_t got = pread(fd, text, sizeof text, 0);
  json_t *root = got > 0 ? json_loadb(text, (size_t)got, 0, NULL) : NULL;
  const char *host = json_string_value(json_object_get(root, "host"));
  const json_t *pid = json_object_get(root, "pid");
  bool named = host && json_is_integer(pid);
  if (named) {
    snprintf(owner->host, sizeof owner->host, "%s", host);
    owner->pid = json_integer_value(pid);
  }
  json_decref(root);
  return named;
}

static void own_host(char host[host_bytes]) {
  if (gethostname(host, host_bytes) != 0) {
    snprintf(host, host_bytes, "unknown");
  }
  host[host_bytes - 1] = '\0';
}

/* Is the file that `fd` holds still the one that has the name? */
static bool is_named(int fd, const char *path) {
  struct stat held, named;
  return fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_dev == named.st_dev &&
         held.st_ino == named.st_ino;
}

static enum sp_status refuse_live(int fd, const char *run, struct sp_error *err) {
  struct owner owner;
  if (!read_owner(fd, &owner)) {
    return sp_fail(err, SP_ELOCK, "another process works on %s", run);
  }
  return sp_fail(err, SP_ELOCK, "process %jd on host %s works on %s", owner.pid, owner.host, run);
}

/* Opens and locks the file. A holder removes it on release, so that after waiting in between, the
 * lock may be on a file without a name: then again. */
static enum sp_status open_locked(const char *run, const char *path, int *out,
                                  struct sp_error *err) {
  enum { attempts = 1000 };
  for (int k = 0; k < attempts; k++) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0) {
      return sp_fail_errno(err, SP_EIO, "cannot open %s", path);
    }
    enum sp_status status = SP_OK;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      status = errno == EWOULDBLOCK ? refuse_live(fd, run, err)
                                    : sp_fail_errno(err, SP_EIO, "cannot lock %s", path);
    } else if (is_named(fd, path)) {
      *out = fd;
      return SP_OK;
    }
    close(fd);
    SP_TRY(status);
  }
  return sp_fail(err, SP_ELOCK, "%s changes hands all the time", path);
}

static enum sp_status refuse_other_host(int fd, const char *run, const char *path,
                                        struct sp_error *err) {
  struct owner owner;
  char host[host_bytes];
  own_host(host);
  if (read_owner(fd, &owner) && strcmp(owner.host, host) != 0) {
    return sp_fail(err, SP_ELOCK,
                   "process %jd on host %s works on %s, or died there: if so, remove %s", owner.pid,
                   owner.host, run, path);
  }
  return SP_OK;
}

static enum sp_status write_owner(int fd, const char *path, struct sp_error *err) {
  char host[host_bytes], start[32];
  own_host(host);
  time_t now = time(NULL);
  struct tm utc;
  gmtime_r(&now, &utc);
  strftime(start, sizeof start, "%Y-%m-%dT%H:%M:%SZ", &utc);
  struct sp_buf text = {0};
  enum sp_status status;
  SP_TRY_GOTO(sp_buf_append(&text, "{\"host\":", 8, err), release);
  SP_TRY_GOTO(sp_json_string_write(&text, (struct sp_text){host, strlen(host)}, err), release);
  SP_TRY_GOTO(
      sp_buf_printf(&text, err, ",\"pid\":%jd,\"start\":\"%s\"}\n", (intmax_t)getpid(), start),
      release);
  if (ftruncate(fd, 0) != 0) {
    status = sp_fail_errno(err, SP_EIO, "cannot write %s", path);
    goto release;
  }
  SP_TRY_GOTO(sp_file_write_all(fd, text.data, text.len, path, err), release);
  if (fsync(fd) != 0) {
    status = sp_fail_errno(err, SP_EIO, "cannot sync %s", path);
  }
release:
  sp_buf_release(&text);
  return status;
}

enum sp_status sp_run_lock_take(const char *run, struct sp_run_lock *lock, struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status;
  lock->fd = -1;
  SP_TRY_GOTO(sp_run_path(&path, run, SP_RUN_LOCK, err), release_path);
  SP_TRY_GOTO(open_locked(run, path.data, &lock->fd, err), release_path);
  SP_TRY_GOTO(refuse_other_host(lock->fd, run, path.data, err), close_fd);
  status = write_owner(lock->fd, path.data, err);
  if (status != SP_OK) {
    sp_run_lock_release(run, lock);
  }
  goto release_path;
close_fd:
  close(lock->fd);
  lock->fd = -1;
release_path:
  sp_buf_release(&path);
  return status;
}

void sp_run_lock_release(const char *run, struct sp_run_lock *lock) {
  if (lock->fd < 0) {
    return;
  }
  struct sp_buf path = {0};
  /* Removed while the lock is held, and only if no hand has put another file there. */
  if (sp_run_path(&path, run, SP_RUN_LOCK, NULL) == SP_OK && is_named(lock->fd, path.data)) {
    unlink(path.data);
  }
  sp_buf_release(&path);
  close(lock->fd);
  lock->fd = -1;
}
