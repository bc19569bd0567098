#include "run_files.h"

#include <errno.h>
#include <sys/stat.h>

#include "file.h"

enum sp_status sp_run_path(struct sp_buf *out, const char *run, const char *name,
                           struct sp_error *err) {
  SP_TRY(sp_buf_printf(out, err, "%s/%s", run, name));
  return sp_buf_cstr(out) ? SP_OK : sp_fail_memory(err, out->len);
}

enum sp_status sp_run_file_read(const char *path, size_t ceiling, struct sp_buf *out, bool *found,
                                struct sp_error *err) {
  struct stat info;
  *found = stat(path, &info) == 0;
  if (!*found && (errno == ENOENT || errno == ENOTDIR)) {
    return SP_OK;
  }
  if (!*found) {
    return sp_fail_errno(err, SP_EIO, "cannot read %s", path);
  }
  if (!S_ISREG(info.st_mode)) {
    return sp_fail(err, SP_EDAMAGED, "%s is not a plain file", path);
  }
  if (info.st_size < 0 || (uint64_t)info.st_size > ceiling) {
    return sp_fail(err, SP_EDAMAGED, "%s is larger than %zu bytes", path, ceiling);
  }
  return sp_file_read(path, out, err);
}
