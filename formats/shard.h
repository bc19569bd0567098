/* shard.h - score shards: seekable multi-frame zstd, written once and published whole.
 *
 * File       independent zstd frames of at most SP_FRAME_RAW raw bytes (cut at a line end, a longer
 *            line has a frame of its own), each with content size and checksum, then a seek table in
 *            a skippable frame (zstd's contrib/seekable_format). Never a skippable frame first.
 * Writing    sp_shard_writer_create -> append lines -> publish, or abandon. Nothing appears under
 *            the final name before publish: temporary file, fsync, link(2), then the .done marker.
 * Bytes      depend on the lines, the libzstd version and the level alone. */
#ifndef SP_FORMATS_SHARD_H
#define SP_FORMATS_SHARD_H

#include "latency_counts.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_FRAME_RAW ((size_t)2 << 20)
#define SP_ZSTD_LEVEL 3

/* Content of RUN/scores-IIIII-of-NNNNN.done. */
struct sp_shard_done {
  uint64_t utts, hyps, tokens; /* tokens: sum of "n" */
  uint64_t raw_bytes, zst_bytes;
  uint64_t raw_xxh64, zst_xxh64;
  char *first_id, *last_id; /* owned; NULL in an empty shard */
  bool has_latency;
  struct sp_latency_counts latency; /* of all hypotheses, where the run measures it */
  uint64_t marker_xxh64;            /* of the marker's own bytes, when it was read from its file */
};
void sp_shard_done_release(struct sp_shard_done *done);

/* RUN/scores-00003-of-00012 + suffix (".jsonl.zst", ".done"); appended to `out`, NUL-terminated. */
SP_MUST_CHECK enum sp_status sp_shard_path(struct sp_buf *out, const char *run, size_t index,
                                           size_t count, const char *suffix, struct sp_error *err);

struct sp_shard_writer;

SP_MUST_CHECK enum sp_status sp_shard_writer_create(const char *run, size_t index, size_t count,
                                                    struct sp_shard_writer **out,
                                                    struct sp_error *err);
/* As a worker among several: its id (run_claims.h) is in the temporary file's name; NULL: alone. */
SP_MUST_CHECK enum sp_status sp_shard_writer_create_for(const char *run, size_t index, size_t count,
                                                        const char *worker,
                                                        struct sp_shard_writer **out,
                                                        struct sp_error *err);
/* `line` ends in "\n"; `id` is the utterance's. */
SP_MUST_CHECK enum sp_status sp_shard_writer_append(struct sp_shard_writer *writer,
                                                    struct sp_text line, struct sp_text id,
                                                    uint64_t hyps, uint64_t tokens,
                                                    struct sp_error *err);
/* Adds to the latency that the marker will tell. */
SP_MUST_CHECK enum sp_status sp_shard_writer_add_latency(struct sp_shard_writer *writer,
                                                         const struct sp_latency_counts *counts,
                                                         struct sp_error *err);
/* Seals and publishes the shard and its marker and destroys the writer, also on failure. When the
 * shard exists already with equal bytes the own copy is dropped and the call succeeds; with other
 * bytes it is SP_ESHARD. */
SP_MUST_CHECK enum sp_status sp_shard_writer_publish(struct sp_shard_writer *writer,
                                                     struct sp_error *err);
/* The same; *late says that the shard existed already. */
SP_MUST_CHECK enum sp_status sp_shard_writer_publish_late(struct sp_shard_writer *writer,
                                                          bool *late, struct sp_error *err);
/* Removes the temporary file and destroys the writer; NULL is fine. */
void sp_shard_writer_abandon(struct sp_shard_writer *writer);

/* Reads and checks a marker: *found is false when there is none (an unfinished shard);
 * SP_EDAMAGED when it is malformed. */
SP_MUST_CHECK enum sp_status sp_shard_done_read(const char *run, size_t index, size_t count,
                                                struct sp_shard_done *done, bool *found,
                                                struct sp_error *err);

/* Streams the raw lines of a shard (.jsonl.zst) in order; the callback's line has no "\n" and
 * SP_BUF_PADDING readable bytes after it. Stops at the first status that is not SP_OK. Checks every
 * frame checksum and the seek table: SP_EDAMAGED names the file and the offset. When `measured` is
 * not NULL its raw and zst byte counts and hashes are filled. */
typedef enum sp_status (*sp_shard_line_fn)(void *context, struct sp_text line,
                                           struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_shard_read(const char *path, sp_shard_line_fn each, void *context,
                                           struct sp_shard_done *measured, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
