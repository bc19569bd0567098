/* file.h - whole-file and durable-write helpers over POSIX. All paths are NUL-terminated. */
#ifndef SP_BASE_FILE_H
#define SP_BASE_FILE_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Appends the file's bytes to `out`, whose ceiling bounds them (SP_EINPUT when larger). */
SP_MUST_CHECK enum sp_status sp_file_read(const char *path, struct sp_buf *out,
                                          struct sp_error *err);

/* The bytes of a regular file, mapped to read; an empty file gives no data. `other`: the status of what is
 * no regular file. */
SP_MUST_CHECK enum sp_status sp_file_map(const char *path, enum sp_status other,
                                         struct sp_text *out, struct sp_error *err);
/* What was not mapped is fine. */
void sp_file_unmap(struct sp_text mapped);

/* Writes all of `data`, retrying short writes and EINTR. `path` is for the message. */
SP_MUST_CHECK enum sp_status sp_file_write_all(int fd, const void *data, size_t len,
                                               const char *path, struct sp_error *err);

/* Durable replace: writes path.tmp.<pid>, fsyncs, renames over `path`, fsyncs the directory. On
 * failure nothing of it stays. */
SP_MUST_CHECK enum sp_status sp_file_replace(const char *path, const void *data, size_t len,
                                             struct sp_error *err);

/* Gives a finished, fsynced file or directory its final name, replacing a file, and fsyncs the directory
 * that it stands in. */
SP_MUST_CHECK enum sp_status sp_file_rename(const char *temporary, const char *path,
                                            struct sp_error *err);

/* Publishes a finished, fsynced temporary file under its final name with link(2), then unlinks the
 * temporary. *existed is set when `path` was there already: the caller compares and decides. */
SP_MUST_CHECK enum sp_status sp_file_publish(const char *temporary, const char *path, bool *existed,
                                             struct sp_error *err);

SP_MUST_CHECK enum sp_status sp_file_sync_directory_of(const char *path, struct sp_error *err);

/* mkdir -p for the last component only; an existing directory is fine. */
SP_MUST_CHECK enum sp_status sp_file_make_directory(const char *path, struct sp_error *err);

/* A file without a name, to write and read back: made in `directory` as PREFIX-XXXXXX and unlinked at
 * once. The caller closes it. */
SP_MUST_CHECK enum sp_status sp_file_temporary(const char *directory, const char *prefix, int *fd,
                                               struct sp_error *err);

bool sp_file_exists(const char *path);
bool sp_file_is_directory(const char *path);
/* SP_EIO unless the directory that `path` stands in exists and may be written to. */
SP_MUST_CHECK enum sp_status sp_file_check_parent(const char *path, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
