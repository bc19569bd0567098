/* folder.h - the files of one directory by name: on disk, or in memory, when another process read
 * them.  A view that owns nothing; readers of models take one, so that both ways are one code. */
#ifndef SP_BASE_FOLDER_H
#define SP_BASE_FOLDER_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_folder_file {
  const char *name;
  struct sp_text bytes;
};

struct sp_folder {
  const char *path; /* of the directory; it begins messages in memory too */
  bool in_memory;
  const struct sp_folder_file *files; /* (n_files) in memory: all there are */
  size_t n_files;
};

/* A directory on disk. `path` must outlive it. */
static inline struct sp_folder sp_folder_at(const char *path) {
  struct sp_folder folder = {path, false, NULL, 0};
  return folder;
}

/* Replaces `out` by PATH/NAME with its NUL; the result is out->data. */
SP_MUST_CHECK enum sp_status sp_folder_path(const struct sp_folder *folder, const char *name,
                                            struct sp_buf *out, struct sp_error *err);
/* False also when memory is out. */
bool sp_folder_has(const struct sp_folder *folder, const char *name);
/* Appends a file's bytes to `out`, whose ceiling bounds them (SP_EINPUT when larger). SP_EIO when there is
 * none. */
SP_MUST_CHECK enum sp_status sp_folder_read(const struct sp_folder *folder, const char *name,
                                            struct sp_buf *out, struct sp_error *err);
/* Bytes to look at: mapped from disk (sp_file_map tells of `other`), or lent by the folder, which must
 * outlive them. An empty file gives no data. */
SP_MUST_CHECK enum sp_status sp_folder_map(const struct sp_folder *folder, const char *name,
                                           enum sp_status other, struct sp_text *out,
                                           struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
