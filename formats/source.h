/* source.h - bytes of an input file, decompressed on the way.
 *
 * A source reads a plain, .zst or .gz file (told by its magic bytes, not by its name), standard
 * input ("-") or memory as one stream; concatenated frames and members are one stream, skippable
 * frames are skipped.  It hashes the file's own (compressed) bytes while reading.
 *
 * Flow       open; peek, skip_bom; read or line until the end; digest; close. seek at any time.
 * Memory     bounded: a stored block, the longest line, and for zstd a window of at most 128 MiB.
 * Errors     SP_EIO when the file cannot be opened or read; SP_EINPUT with path and byte offset
 *            when the compressed data is corrupt or ends early.
 * Threads    a source belongs to one thread at a time. */
#ifndef SP_FORMATS_SOURCE_H
#define SP_FORMATS_SOURCE_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_source;

SP_MUST_CHECK enum sp_status sp_source_open(const char *path, struct sp_source **out,
                                            struct sp_error *err);
/* Reads `bytes` as if they were the file `name`; they must live as long as the source. */
SP_MUST_CHECK enum sp_status sp_source_open_memory(const char *name, struct sp_text bytes,
                                                   struct sp_source **out, struct sp_error *err);
/* NULL is fine. */
void sp_source_close(struct sp_source *source);

/* Reads up to `capacity` bytes; *got is 0 only at the end. */
SP_MUST_CHECK enum sp_status sp_source_read(struct sp_source *source, void *data, size_t capacity,
                                            size_t *got, struct sp_error *err);

/* The next `want` bytes, fewer only before the end, without consuming them. Valid until the next
 * call. */
SP_MUST_CHECK enum sp_status sp_source_peek(struct sp_source *source, size_t want,
                                            struct sp_text *head, struct sp_error *err);
/* Consumes a UTF-8 byte order mark if the next bytes are one. */
SP_MUST_CHECK enum sp_status sp_source_skip_bom(struct sp_source *source, struct sp_error *err);

/* One line without its "\n" or "\r\n"; *found is false at the end. The text (followed by
 * SP_BUF_PADDING readable bytes) is valid until the next call.  A line over `ceiling` bytes is
 * SP_EINPUT. */
SP_MUST_CHECK enum sp_status sp_source_line(struct sp_source *source, size_t ceiling,
                                            struct sp_text *line, bool *found,
                                            struct sp_error *err);
/* The line number of the last line handed out, from 1. */
uint64_t sp_source_line_number(const struct sp_source *source);

/* Where a line, or any byte, stands. Decoding can start at any zstd frame, gzip member or plain byte; of small frames not
 * every one is used, so `raw` may go over several of them. */
struct sp_source_place {
  uint64_t stored; /* offset in the file that decoding begins at */
  uint64_t raw;    /* decompressed bytes from there to it */
  uint64_t line;   /* lines of the file before it */
  uint64_t offset; /* decompressed bytes of the file before it; 0 after a seek, which does not look at it */
};
/* Whether seek can be had: of regular files and memory, not of standard input. */
bool sp_source_seekable(const struct sp_source *source);
/* Of the last line handed out. */
struct sp_source_place sp_source_line_place(const struct sp_source *source);
/* Of the byte `offset` of what the last read gave; its `line` counts the lines handed out. */
struct sp_source_place sp_source_read_place(const struct sp_source *source, size_t offset);
/* Makes the line, or byte, at that place of an equal file the next one.  Decompresses from place->stored, from
 * where the source is when that is on the way, or from a frame that the file's own table (frame_table.h) tells
 * to be nearer. SP_EINPUT when the file ends before that, or has no frame
 * there; SP_EUSAGE when it cannot be had. */
SP_MUST_CHECK enum sp_status sp_source_seek(struct sp_source *source,
                                            const struct sp_source_place *place,
                                            struct sp_error *err);

/* For messages: the path, or "(standard input)". */
const char *sp_source_path(const struct sp_source *source);

/* What the manifest keeps of a file. */
struct sp_file_digest {
  uint64_t bytes;  /* as stored, before decompression */
  char xxh128[33]; /* XXH3-128 of those bytes, lower-case hexadecimal */
  uint64_t stamp;  /* sp_source_stamp when it was opened; 0: no file */
};

/* A number that changes when the file of that path is written or replaced: of device, inode, size and
 * time of change.  0 when there is none. */
uint64_t sp_source_stamp(const char *path);
/* What it was when the source was opened. */
uint64_t sp_source_opened_stamp(const struct sp_source *source);

/* Reads what is left of the file's bytes, without decompressing them, and gives the digest of all
 * of them. The source is at its end afterwards. SP_EUSAGE after a seek. */
SP_MUST_CHECK enum sp_status sp_source_digest(struct sp_source *source,
                                              struct sp_file_digest *digest, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
