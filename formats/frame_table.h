/* frame_table.h - the table of frames at the end of a seekable zstd file; private to formats/.  FORMATS.md,
 * "Shard", describes the bytes, which are those of zstd's seekable format.
 *
 * It only shortens the way to a place: of what it says the stored sizes are checked against the file, and where
 * the decompressed ones are wrong, the way ends at other bytes: what is read there has its own hash (run_plan.h).
 * Memory     16 bytes a frame, of which a file has no more than an eighth of its bytes. */
#ifndef SP_FORMATS_FRAME_TABLE_H
#define SP_FORMATS_FRAME_TABLE_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Frame k begins at stored[k] in the file, and raw[k] decompressed bytes are before it. */
struct sp_frame_table {
  uint64_t *stored, *raw; /* (n + 1) the last is the end */
  size_t n;               /* 0: there is no table */
};

/* Reads the table of an open file, or with fd -1 of `memory`.  None, or one that does not fit the file exactly or
 * cannot be read, leaves n at 0 and is no error. The caller releases it. */
SP_MUST_CHECK enum sp_status sp_frame_table_read(int fd, struct sp_text memory,
                                                 struct sp_frame_table *out, struct sp_error *err);
void sp_frame_table_release(struct sp_frame_table *table);

/* Of the byte that is *raw decompressed bytes behind the frame at *stored: its own frame, and what is before
 * it in that. Where no frame of the table begins at *stored, or the byte is behind the last, nothing changes. */
void sp_frame_table_enter(const struct sp_frame_table *table, uint64_t *stored, uint64_t *raw);

#ifdef __cplusplus
}
#endif
#endif
