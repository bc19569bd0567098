#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "run_claims.h"
#include "run_files.h"
#include "run_manifest.h"
#include "run_owner.h"

/* flock decides among processes of one host, and the system drops it when its holder dies. On
 * shared file systems it may not reach other hosts: there the host named in the file decides. The file gets
 * its name by link(2), locked and with its owner in it, so that of several hosts one makes it. */

enum { content_bytes = 4096, attempts = 1000 };

/* False when the file names nobody: empty, or cut off in a crash. */
static bool read_owner(int fd, struct sp_run_owner *owner) {
  char text[content_bytes];
  ssize_t got = pread(fd, text, sizeof text, 0);
  json_t *root = got > 0 ? json_loadb(text, (size_t)got, 0, NULL) : NULL;
  bool named = root && sp_owner_parse(root, owner);
  json_decref(root);
  return named;
}

static enum sp_status refuse_live(int fd, const char *run, struct sp_error *err) {
  struct sp_run_owner owner;
  if (!read_owner(fd, &owner)) {
    return sp_fail(err, SP_ELOCK, "another process works on %s", run);
  }
  return sp_fail(err, SP_ELOCK, "process %" PRId64 " on host %s works on %s", owner.pid, owner.host,
                 run);
}

static enum sp_status refuse_other_host(int fd, const char *run, const char *path,
                                        struct sp_error *err) {
  struct sp_run_owner owner, self;
  sp_owner_self(fd, &self);
  if (read_owner(fd, &owner) && strcmp(owner.host, self.host) != 0) {
    return sp_fail(err, SP_ELOCK,
                   "process %" PRId64 " on host %s works on %s, or died there: if so, remove %s",
                   owner.pid, owner.host, run, path);
  }
  return SP_OK;
}

/* Who only looks shares the lock for an instant: that is waited for. */
static bool lock_alone(int fd) {
  const struct timespec instant = {.tv_nsec = 2000000};
  for (int k = 0; k < 3; k++) {
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
      return true;
    }
    if (errno != EWOULDBLOCK) {
      return false;
    }
    nanosleep(&instant, NULL);
  }
  errno = EWOULDBLOCK;
  return false;
}

static enum sp_status write_owner(int fd, const char *path, struct sp_error *err) {
  struct sp_run_owner self;
  struct sp_buf text = {0};
  sp_owner_self(fd, &self);
  enum sp_status status;
  SP_TRY_GOTO(sp_buf_append(&text, "{", 1, err), release);
  SP_TRY_GOTO(sp_owner_write(&self, &text, err), release);
  SP_TRY_GOTO(sp_buf_append(&text, "}\n", 2, err), release);
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

/* A locked file that names us; it is `name`, which is not yet the lock's. */
static enum sp_status make_file(const char *name, int *out, struct sp_error *err) {
  int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd < 0) {
    return sp_fail_errno(err, SP_EIO, "cannot create %s", name);
  }
  enum sp_status status = flock(fd, LOCK_EX | LOCK_NB) == 0
                              ? write_owner(fd, name, err)
                              : sp_fail_errno(err, SP_EIO, "cannot lock %s", name);
  if (status != SP_OK) {
    close(fd);
    unlink(name);
    return status;
  }
  *out = fd;
  return SP_OK;
}

/* *fd is -1 when somebody else has made the lock file, or a holder's sweep has taken ours. */
static enum sp_status make_locked(const char *run, const char *path, int *fd,
                                  struct sp_error *err) {
  struct sp_buf name = {0};
  bool existed;
  enum sp_status status;
  *fd = -1;
  SP_TRY_GOTO(sp_buf_printf(&name, err, "%s/" SP_TEMPORARY_LOCK "%ld.%016" PRIx64, run,
                            (long)getpid(), sp_random_bits()),
              release);
  if (!sp_buf_cstr(&name)) {
    status = sp_fail_memory(err, name.len);
    goto release;
  }
  SP_TRY_GOTO(make_file(name.data, fd, err), release);
  status = sp_file_link(name.data, path, &existed, err);
  if (status != SP_OK && !sp_file_exists(name.data)) {
    status = SP_OK;
    existed = true;
  }
  if (status != SP_OK || existed) {
    close(*fd);
    *fd = -1;
  }
  unlink(name.data);
release:
  sp_buf_release(&name);
  return status;
}

/* Locks a file that is there; *fd stays -1 when it is gone. A holder removes it on release, so that after
 * waiting in between, the lock may be on a file without a name. */
static enum sp_status lock_existing(const char *run, const char *path, int *fd,
                                    struct sp_error *err) {
  *fd = -1;
  int file = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file < 0) {
    return errno == ENOENT || errno == ESTALE ? SP_OK
                                              : sp_fail_errno(err, SP_EIO, "cannot open %s", path);
  }
  enum sp_status status = SP_OK;
  if (!lock_alone(file)) {
    status = errno == EWOULDBLOCK ? refuse_live(file, run, err)
                                  : sp_fail_errno(err, SP_EIO, "cannot lock %s", path);
  } else if (sp_file_is_named(file, path)) {
    status = refuse_other_host(file, run, path, err);
    if (status == SP_OK) {
      status = write_owner(file, path, err);
    }
    *fd = status == SP_OK ? file : -1;
  }
  if (*fd < 0) {
    close(file);
  }
  return status;
}

static enum sp_status take(const char *run, const char *path, int *fd, struct sp_error *err) {
  for (int k = 0; k < attempts; k++) {
    SP_TRY(lock_existing(run, path, fd, err));
    if (*fd < 0) {
      SP_TRY(make_locked(run, path, fd, err));
    }
    if (*fd >= 0) {
      return SP_OK;
    }
  }
  return sp_fail(err, SP_ELOCK, "%s changes hands all the time", path);
}

enum sp_status sp_run_lock_take(const char *run, struct sp_run_lock *lock, struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status;
  lock->fd = -1;
  SP_TRY_GOTO(sp_claims_refuse(run, err),
              release); /* else workers that start would meet the lock */
  SP_TRY_GOTO(sp_run_path(&path, run, SP_RUN_LOCK, err), release);
  status = take(run, path.data, &lock->fd, err);
  /* Each side shows itself before it looks for the other: workers make their file, then look here. */
  if (status == SP_OK || status == SP_ELOCK) {
    enum sp_status shared = sp_claims_refuse(run, err);
    status = shared != SP_OK ? shared : status;
  }
  if (status == SP_OK) {
    status = sp_claims_remove_all(run, err); /* left by workers that are gone */
  }
  if (status != SP_OK) {
    sp_run_lock_release(run, lock);
  }
release:
  sp_buf_release(&path);
  return status;
}

void sp_run_lock_release(const char *run, struct sp_run_lock *lock) {
  if (lock->fd < 0) {
    return;
  }
  struct sp_buf path = {0};
  /* Removed while the lock is held, and only if no hand has put another file there. */
  if (sp_run_path(&path, run, SP_RUN_LOCK, NULL) == SP_OK &&
      sp_file_is_named(lock->fd, path.data)) {
    unlink(path.data);
  }
  sp_buf_release(&path);
  close(lock->fd);
  lock->fd = -1;
}

enum sp_status sp_run_lock_look(const char *run, struct sp_run_owner *out, bool *found,
                                struct sp_error *err) {
  struct sp_buf path = {0};
  struct sp_run_owner self;
  char text[content_bytes];
  size_t len;
  enum sp_look look;
  int fd = -1;
  enum sp_status status;
  *out = (struct sp_run_owner){0};
  *found = false;
  SP_TRY_GOTO(sp_run_path(&path, run, SP_RUN_LOCK, err), release);
  SP_TRY_GOTO(sp_look_at(path.data, text, sizeof text, &len, &look, &fd, err), release);
  *found = look == SP_LOOK_WHOLE && read_owner(fd, out);
  if (*found) {
    sp_owner_self(fd, &self);
    out->here = strcmp(out->host, self.host) == 0;
    out->locked = sp_is_locked(fd);
  }
release:
  if (fd >= 0) {
    close(fd);
  }
  sp_buf_release(&path);
  return status;
}

enum sp_status sp_run_lock_refuse(const char *run, struct sp_error *err) {
  struct sp_run_owner owner;
  bool found;
  SP_TRY(sp_run_lock_look(run, &owner, &found, err));
  if (!found || (owner.here && !owner.locked)) {
    return SP_OK;
  }
  return sp_fail(err, SP_ELOCK,
                 "process %" PRId64 " on host %s works on %s alone: wait for its end%s%s%s",
                 owner.pid, owner.host, run, owner.here ? "" : ", or if it died there, remove ",
                 owner.here ? "" : run, owner.here ? "" : "/" SP_RUN_LOCK);
}
