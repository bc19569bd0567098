#include "run_files.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "file.h"
#include "run_scan.h"

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

struct emptiness {
  const char *run, *manifest;
};

static enum sp_status refuse_name(void *context, const char *name, struct sp_error *err) {
  const struct emptiness *of = context;
  size_t len = strlen(of->manifest);
  if (name[0] == '.' ||
      (strncmp(name, of->manifest, len) == 0 && strncmp(name + len, ".tmp.", 5) == 0)) {
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
