/* run_owner.h - who made a small file of a run directory: written into it, read from it, compared.
 *
 * Files that others wrote are hostile: looks are bounded, follow no link and wait for nothing. */
#ifndef SP_FORMATS_RUN_OWNER_H
#define SP_FORMATS_RUN_OWNER_H

#include <jansson.h>

#include "buf.h"
#include "run_manifest.h"

#ifdef __cplusplus
extern "C" {
#endif

/* This process, as the maker of the file open at `fd`. */
void sp_owner_self(int fd, struct sp_run_owner *owner);
/* Appends the members "host", "pid", "start", "mount" of an object, without its braces. */
SP_MUST_CHECK enum sp_status sp_owner_write(const struct sp_run_owner *owner, struct sp_buf *out,
                                            struct sp_error *err);
/* False when `root` names nobody. "start" and "mount" may be missing. */
bool sp_owner_parse(const json_t *root, struct sp_run_owner *owner);

/* Does a lock of `owner` on a file show to this process? Sure only when both have the file from one mount of
 * one running kernel (equal "mount") and one host name; containers and hosts may share either alone. */
bool sp_owner_shares_locks(const struct sp_run_owner *owner, const struct sp_run_owner *self);

enum sp_look {
  SP_LOOK_ABSENT,
  SP_LOOK_WHOLE,
  SP_LOOK_DAMAGED, /* no plain file, not ours to read, or larger than the room */
};
/* Reads a file of at most `room` bytes; *fd stays open when the look is whole and `fd` is not NULL. SP_EIO
 * when that cannot be told now (too many open files, a failing disk). */
SP_MUST_CHECK enum sp_status sp_look_at(const char *path, char *text, size_t room, size_t *len,
                                        enum sp_look *look, int *fd, struct sp_error *err);
/* Asks by a shared lock, given back at once: askers are not in one another's way. What cannot be asked for
 * counts as held. */
bool sp_is_locked(int fd);

/* Copies what a terminal and a JSON string take as it is; any other byte becomes '?'. */
void sp_copy_printable(char *out, size_t room, const char *text);

#ifdef __cplusplus
}
#endif
#endif
