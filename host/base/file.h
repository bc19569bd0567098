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
/* The same from where the descriptor stands on. `path` is for the message. */
SP_MUST_CHECK enum sp_status sp_file_read_all(int fd, const char *path, struct sp_buf *out,
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

/* Makes a new file path.tmp.N, N the process id and ten random digits; its name goes to `name`, NUL-terminated.
 * The caller closes, and renames or unlinks it. */
SP_MUST_CHECK enum sp_status sp_file_create_beside(const char *path, struct sp_buf *name, int *fd,
                                                   struct sp_error *err);

/* Durable replace: writes path.tmp.N, N the process id and ten random digits, fsyncs, renames over `path`,
 * fsyncs the directory. On failure nothing of it stays. */
SP_MUST_CHECK enum sp_status sp_file_replace(const char *path, const void *data, size_t len,
                                             struct sp_error *err);

/* The same where a file that is there already stays as it is: link(2) instead of rename. */
SP_MUST_CHECK enum sp_status sp_file_make(const char *path, const void *data, size_t len,
                                          struct sp_error *err);

/* Gives a finished, fsynced file or directory its final name, replacing a file, and fsyncs the directory
 * that it stands in. */
SP_MUST_CHECK enum sp_status sp_file_rename(const char *temporary, const char *path,
                                            struct sp_error *err);

/* link(2), with the answer that counts.  Of a server's answer that was lost the second one may be EEXIST
 * though the first attempt succeeded: then the file of one name has two.  *existed: `path` was there already;
 * also when `temporary` is gone, swept by who saw that `path` was there. */
SP_MUST_CHECK enum sp_status sp_file_link(const char *temporary, const char *path, bool *existed,
                                          struct sp_error *err);
/* Publishes a finished, fsynced temporary file under its final name with sp_file_link, then unlinks the
 * temporary. *existed: the caller compares and decides. */
SP_MUST_CHECK enum sp_status sp_file_publish(const char *temporary, const char *path, bool *existed,
                                             struct sp_error *err);

SP_MUST_CHECK enum sp_status sp_file_sync_directory_of(const char *path, struct sp_error *err);

/* mkdir -p for the last component only; an existing directory is fine. */
SP_MUST_CHECK enum sp_status sp_file_make_directory(const char *path, struct sp_error *err);

/* A file without a name, to write and read back: made in `directory` as PREFIX-XXXXXX and unlinked at
 * once. The caller closes it. */
SP_MUST_CHECK enum sp_status sp_file_temporary(const char *directory, const char *prefix, int *fd,
                                               struct sp_error *err);

/* Is the open file still the one of that name? */
bool sp_file_is_named(int fd, const char *path);
/* For names that no other process, on any host, makes too. */
uint64_t sp_random_bits(void);

bool sp_file_exists(const char *path);
bool sp_file_is_directory(const char *path);
/* SP_EIO unless the directory that `path` stands in exists and may be written to. */
SP_MUST_CHECK enum sp_status sp_file_check_parent(const char *path, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
