/* frame_writer.h - bytes of lines to independent zstd frames, with a seek table behind them; private to
 * formats/.  FORMATS.md, "Shard", describes the bytes.
 *
 * A frame has at most SP_FRAME_RAW raw bytes and ends at a line end; a longer line has a frame of its own,
 * or several of `longest_line` bytes.  The frames depend on the bytes alone, not on how the calls cut them.
 *
 * Flow       create over a file; write; finish; destroy. The file stays the caller's, and unsynced.
 * Memory     a frame, raw and compressed. */
#ifndef SP_FORMATS_FRAME_WRITER_H
#define SP_FORMATS_FRAME_WRITER_H

#include "shard.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_frame_writer;

/* What was written; hashes are XXH64. */
struct sp_frame_sums {
  uint64_t raw_bytes, zst_bytes;
  uint64_t raw_xxh64, zst_xxh64;
};

/* `path` names the file in messages and must outlive the writer. */
SP_MUST_CHECK enum sp_status sp_frame_writer_create(int fd, const char *path, size_t longest_line,
                                                    struct sp_frame_writer **out,
                                                    struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_frame_writer_write(struct sp_frame_writer *writer, const void *data,
                                                   size_t len, struct sp_error *err);
/* The last frame and the table.  What has no bytes has one empty frame: readers tell a zstd file by its
 * first bytes, which must not be those of a skippable frame. `sums` may be NULL. */
SP_MUST_CHECK enum sp_status sp_frame_writer_finish(struct sp_frame_writer *writer,
                                                    struct sp_frame_sums *sums,
                                                    struct sp_error *err);
/* NULL is fine. */
void sp_frame_writer_destroy(struct sp_frame_writer *writer);

#ifdef __cplusplus
}
#endif
#endif
