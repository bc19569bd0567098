#include "run_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "run_scan.h"

enum sp_status sp_run_path(struct sp_buf *out, const char *run, const char *name,
                           struct sp_error *err) {
  SP_TRY(sp_buf_printf(out, err, "%s/%s", run, name));
  return sp_buf_cstr(out) ? SP_OK : sp_fail_memory(err, out->len);
}

/* *stale: the file was replaced or removed on another host after its name was looked up. */
static enum sp_status read_once(const char *path, size_t ceiling, struct sp_buf *out, bool *found,
                                bool *stale, struct sp_error *err) {
  struct stat info;
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe of that name must not stop us */
  *found = fd >= 0;
  *stale = fd < 0 && errno == ESTALE;
  if (fd < 0 && errno != ENXIO) { /* a socket */
    return errno == ENOENT || errno == ENOTDIR ? SP_OK
                                               : sp_fail_errno(err, SP_EIO, "cannot read %s", path);
  }
  enum sp_status status = SP_OK;
  if (fd >= 0 && fstat(fd, &info) != 0) {
    *stale = errno == ESTALE;
    status = sp_fail_errno(err, SP_EIO, "cannot read %s", path);
  } else if (fd < 0 || !S_ISREG(info.st_mode)) {
    status = sp_fail(err, SP_EDAMAGED, "%s is not a plain file", path);
  } else if (info.st_size < 0 || (uint64_t)info.st_size > ceiling) {
    status = sp_fail(err, SP_EDAMAGED, "%s is larger than %zu bytes", path, ceiling);
  } else {
    errno = 0;
    status = sp_file_read_all(fd, path, out, err);
    *stale = status == SP_EIO && errno == ESTALE;
  }
  if (fd >= 0) {
    close(fd);
  }
  return status;
}

enum sp_status sp_run_file_read(const char *path, size_t ceiling, struct sp_buf *out, bool *found,
                                struct sp_error *err) {
  size_t before = out->len;
  bool stale;
  enum sp_status status = read_once(path, ceiling, out, found, &stale, err);
  if (stale) { /* what has the name now, if anything */
    out->len = before;
    status = read_once(path, ceiling, out, found, &stale, err);
  }
  return status;
}

struct emptiness {
  const char *run, *manifest;
};

/* `file`, or its unfinished NAME.tmp.PID. */
static bool is_or_was_to_be(const char *name, const char *file) {
  size_t len = strlen(file);
  return strncmp(name, file, len) == 0 &&
         (name[len] == '\0' || strncmp(name + len, ".tmp.", 5) == 0);
}

static enum sp_status refuse_name(void *context, const char *name, struct sp_error *err) {
  const struct emptiness *of = context;
  if (name[0] == '.' || is_or_was_to_be(name, of->manifest) || is_or_was_to_be(name, SP_RUN_PLAN)) {
    return SP_OK;
  }
  return sp_fail(err, SP_EIDENTITY,
                 "%s is not a run directory and not empty ('%s'); choose another --out", of->run,
                 name);
}

enum sp_status sp_run_check_empty(const char *run, const char *manifest, struct sp_error *err) {
  struct emptiness of = {run, manifest};
  return sp_run_scan(run, refuse_name, &of, err);
}
