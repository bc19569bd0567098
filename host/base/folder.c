#include "folder.h"

#include <errno.h>
#include <string.h>

#include "file.h"

static const struct sp_folder_file *find(const struct sp_folder *folder, const char *name) {
  for (size_t i = 0; i < folder->n_files; i++) {
    if (strcmp(folder->files[i].name, name) == 0) {
      return &folder->files[i];
    }
  }
  return NULL;
}

enum sp_status sp_folder_path(const struct sp_folder *folder, const char *name, struct sp_buf *out,
                              struct sp_error *err) {
  sp_buf_clear(out);
  SP_TRY(sp_buf_printf(out, err, "%s/%s", folder->path, name));
  return sp_buf_cstr(out) ? SP_OK : sp_fail_memory(err, out->len + 1);
}

bool sp_folder_has(const struct sp_folder *folder, const char *name) {
  if (folder->in_memory) {
    return find(folder, name) != NULL;
  }
  struct sp_buf path = {0};
  bool has = sp_folder_path(folder, name, &path, NULL) == SP_OK && sp_file_exists(path.data);
  sp_buf_release(&path);
  return has;
}

/* What a file in memory is to sp_file_read and sp_file_map of one on disk. */
static enum sp_status lend(const struct sp_folder *folder, const char *name, struct sp_text *out,
                           struct sp_error *err) {
  const struct sp_folder_file *file = find(folder, name);
  if (!file) {
    errno = ENOENT;
    return sp_fail_errno(err, SP_EIO, "cannot open %s/%s", folder->path, name);
  }
  *out = file->bytes;
  return SP_OK;
}

static enum sp_status copy(const struct sp_folder *folder, const char *name, struct sp_buf *out,
                           struct sp_error *err) {
  struct sp_text bytes = {0};
  size_t ceiling = out->ceiling ? out->ceiling : SP_BUF_CEILING;
  SP_TRY(lend(folder, name, &bytes, err));
  if (out->len > ceiling || bytes.len > ceiling - out->len) {
    return sp_fail(err, SP_EINPUT, "%s/%s is larger than %zu bytes", folder->path, name, ceiling);
  }
  return sp_buf_append(out, bytes.data, bytes.len, err);
}

enum sp_status sp_folder_read(const struct sp_folder *folder, const char *name, struct sp_buf *out,
                              struct sp_error *err) {
  if (folder->in_memory) {
    return copy(folder, name, out, err);
  }
  struct sp_buf path = {0};
  enum sp_status status = sp_folder_path(folder, name, &path, err);
  if (status == SP_OK) {
    status = sp_file_read(path.data, out, err);
  }
  sp_buf_release(&path);
  return status;
}

enum sp_status sp_folder_map(const struct sp_folder *folder, const char *name, enum sp_status other,
                             struct sp_text *out, struct sp_error *err) {
  *out = (struct sp_text){0};
  if (folder->in_memory) {
    return lend(folder, name, out, err);
  }
  struct sp_buf path = {0};
  enum sp_status status = sp_folder_path(folder, name, &path, err);
  if (status == SP_OK) {
    status = sp_file_map(path.data, other, out, err);
  }
  sp_buf_release(&path);
  return status;
}
