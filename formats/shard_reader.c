#define XXH_STATIC_LINKING_ONLY /* for the size of XXH64_state_t */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "shard_format.h"

enum { input_bytes = 1 << 17, output_step = 1 << 17, window_log_max = 23 };

struct reader {
  const char *path;
  int fd;
  unsigned char *input; /* (input_bytes); [at, filled) is not consumed yet */
  size_t at, filled;
  uint64_t offset; /* of input[at] in the file */
  bool at_end;     /* the file has no more bytes than those in `input` */
  ZSTD_DCtx *zstd;
  struct sp_buf raw; /* the beginning of a line whose end is still to come */
  sp_shard_line_fn each;
  void *context;
  XXH64_state_t raw_hash, zst_hash, table_hash;
  uint64_t raw_bytes;
  uint64_t frames;
};

static enum sp_status damaged(const struct reader *reader, struct sp_error *err,
                              const char *reason) {
  return sp_fail(err, SP_EDAMAGED, "%s: offset %" PRIu64 ": %s", reader->path, reader->offset,
                 reason);
}

/* Reads on until `want` bytes are at hand or the file ends. */
static enum sp_status fill(struct reader *reader, size_t want, struct sp_error *err) {
  if (reader->filled - reader->at >= want || reader->at_end) {
    return SP_OK;
  }
  memmove(reader->input, reader->input + reader->at, reader->filled - reader->at);
  reader->filled -= reader->at;
  reader->at = 0;
  while (reader->filled < want && !reader->at_end) {
    ssize_t got = read(reader->fd, reader->input + reader->filled, input_bytes - reader->filled);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return sp_fail_errno(err, SP_EIO, "cannot read %s", reader->path);
    }
    reader->at_end = got == 0;
    reader->filled += (size_t)got;
  }
  return SP_OK;
}

static size_t available(const struct reader *reader) {
  return reader->filled - reader->at;
}

static void consume(struct reader *reader, size_t bytes) {
  XXH64_update(&reader->zst_hash, reader->input + reader->at, bytes);
  reader->at += bytes;
  reader->offset += bytes;
}

/* Hands out the whole lines of `raw`, of which the bytes before `from` hold no line end, and keeps
 * the rest. */
static enum sp_status hand_out_lines(struct reader *reader, size_t from, struct sp_error *err) {
  struct sp_buf *raw = &reader->raw;
  size_t start = 0;
  for (;;) {
    const char *end = memchr(raw->data + from, '\n', raw->len - from);
    if (!end) {
      break;
    }
    size_t stop = (size_t)(end - raw->data);
    struct sp_text line = {raw->data + start, stop - start};
    SP_TRY(reader->each(reader->context, line, err));
    start = from = stop + 1;
  }
  memmove(raw->data, raw->data + start, raw->len - start);
  raw->len -= start;
  return SP_OK;
}

/* What a frame's header must say for the frame to be one of ours. */
static enum sp_status check_frame_header(struct reader *reader, unsigned long long *raw_bytes,
                                         struct sp_error *err) {
  enum { descriptor_at = 4, checksum_bit = 1 << 2, unused_bits = 3 << 3, dictionary_bits = 3 };
  const unsigned char *header = reader->input + reader->at;
  *raw_bytes = ZSTD_getFrameContentSize(header, available(reader));
  if (*raw_bytes == ZSTD_CONTENTSIZE_ERROR) {
    return damaged(reader, err, "not a zstd frame");
  }
  if (*raw_bytes == ZSTD_CONTENTSIZE_UNKNOWN) {
    return damaged(reader, err, "a frame without its size");
  }
  unsigned descriptor = header[descriptor_at];
  if (!(descriptor & checksum_bit) || (descriptor & (unused_bits | dictionary_bits))) {
    return damaged(reader, err, "a frame without checksum, or with foreign header bits");
  }
  if (*raw_bytes > SP_SCORE_LINE_CEILING) {
    return damaged(reader, err, "a frame is too large");
  }
  return SP_OK;
}

/* One step of decompression into `raw`; *more is false when the frame is complete. */
static enum sp_status decompress_step(struct reader *reader, XXH64_state_t *frame_hash, bool *more,
                                      struct sp_error *err) {
  struct sp_buf *raw = &reader->raw;
  SP_TRY(fill(reader, 1, err));
  if (raw->len > SP_SCORE_LINE_CEILING) {
    return damaged(reader, err, "a line is too long");
  }
  SP_TRY(sp_buf_reserve(raw, output_step, err));
  ZSTD_inBuffer in = {reader->input + reader->at, available(reader), 0};
  ZSTD_outBuffer out = {raw->data + raw->len, output_step, 0};
  size_t code = ZSTD_decompressStream(reader->zstd, &out, &in);
  if (ZSTD_isError(code)) {
    return damaged(reader, err, ZSTD_getErrorName(code));
  }
  if (in.size == 0 && out.pos == 0 && code != 0) {
    return damaged(reader, err, "the file ends within a frame");
  }
  consume(reader, in.pos);
  size_t from = raw->len;
  XXH64_update(frame_hash, raw->data + from, out.pos);
  XXH64_update(&reader->raw_hash, raw->data + from, out.pos);
  raw->len += out.pos;
  reader->raw_bytes += out.pos;
  *more = code != 0;
  return hand_out_lines(reader, from, err);
}

static enum sp_status read_frame(struct reader *reader, struct sp_error *err) {
  unsigned long long raw_bytes;
  SP_TRY(check_frame_header(reader, &raw_bytes, err));
  uint64_t start = reader->offset;
  XXH64_state_t frame_hash;
  XXH64_reset(&frame_hash, 0);
  ZSTD_DCtx_reset(reader->zstd, ZSTD_reset_session_only);
  for (bool more = true; more;) {
    SP_TRY(decompress_step(reader, &frame_hash, &more, err));
  }
  if (reader->raw.len > 0) {
    return damaged(reader, err, "a frame ends within a line");
  }
  uint64_t zst_bytes = reader->offset - start;
  if (zst_bytes > UINT32_MAX || reader->frames == UINT32_MAX) {
    return damaged(reader, err, "a frame, or the number of frames, is too large");
  }
  unsigned char entry[SP_SEEK_ENTRY];
  sp_seek_entry(entry, (size_t)zst_bytes, (size_t)raw_bytes, XXH64_digest(&frame_hash));
  XXH64_update(&reader->table_hash, entry, sizeof entry);
  reader->frames++;
  return SP_OK;
}

/* The table must be, byte for byte, the one that the frames before it call for. Only its hash was
 * kept, so that a file of very many frames takes no memory. */
static enum sp_status read_seek_table(struct reader *reader, struct sp_error *err) {
  uint64_t body = reader->frames * SP_SEEK_ENTRY + SP_SEEK_FOOTER;
  if (sp_get_le32(reader->input + reader->at + 4) != body) {
    return damaged(reader, err, "the seek table has another size than the frames call for");
  }
  consume(reader, SP_SEEK_HEADER);
  XXH64_state_t hash;
  XXH64_reset(&hash, 0);
  for (uint64_t left = body - SP_SEEK_FOOTER; left > 0;) {
    SP_TRY(fill(reader, 1, err));
    size_t piece = available(reader) < left ? available(reader) : (size_t)left;
    if (piece == 0) {
      return damaged(reader, err, "the file ends within the seek table");
    }
    XXH64_update(&hash, reader->input + reader->at, piece);
    consume(reader, piece);
    left -= piece;
  }
  if (XXH64_digest(&hash) != XXH64_digest(&reader->table_hash)) {
    return damaged(reader, err, "the seek table before this place does not fit the frames");
  }
  unsigned char footer[SP_SEEK_FOOTER];
  sp_seek_footer(footer, (uint32_t)reader->frames);
  SP_TRY(fill(reader, sizeof footer + 1, err));
  if (available(reader) < sizeof footer ||
      memcmp(reader->input + reader->at, footer, sizeof footer) != 0) {
    return damaged(reader, err, "the end of the seek table is wrong");
  }
  consume(reader, sizeof footer);
  return available(reader) == 0 ? SP_OK : damaged(reader, err, "bytes after the seek table");
}

static enum sp_status read_all(struct reader *reader, struct sp_error *err) {
  enum { frame_header_max = 18 };
  for (;;) {
    SP_TRY(fill(reader, frame_header_max, err));
    if (available(reader) < SP_SEEK_HEADER) {
      return damaged(reader, err, "the file ends without a seek table");
    }
    uint32_t magic = sp_get_le32(reader->input + reader->at);
    if (magic == SP_SEEK_FRAME_MAGIC && reader->frames > 0) {
      return read_seek_table(reader, err);
    }
    if (magic != SP_ZSTD_MAGIC) {
      return damaged(reader, err, "neither a zstd frame nor, after one, a seek table");
    }
    SP_TRY(read_frame(reader, err));
  }
}

static enum sp_status open_reader(struct reader *reader, struct sp_error *err) {
  XXH64_reset(&reader->raw_hash, 0);
  XXH64_reset(&reader->zst_hash, 0);
  XXH64_reset(&reader->table_hash, 0);
  reader->raw.ceiling = SP_SCORE_LINE_CEILING + 2 * output_step;
  reader->input = malloc(input_bytes);
  reader->zstd = ZSTD_createDCtx();
  if (!reader->input || !reader->zstd) {
    return sp_fail_memory(err, input_bytes);
  }
  size_t code = ZSTD_DCtx_setParameter(reader->zstd, ZSTD_d_windowLogMax, window_log_max);
  if (ZSTD_isError(code)) {
    return sp_fail(err, SP_EIO, "zstd: %s", ZSTD_getErrorName(code));
  }
  reader->fd = open(reader->path, O_RDONLY | O_CLOEXEC);
  return reader->fd < 0 ? sp_fail_errno(err, SP_EIO, "cannot open %s", reader->path) : SP_OK;
}

enum sp_status sp_shard_read(const char *path, sp_shard_line_fn each, void *context,
                             struct sp_shard_done *measured, struct sp_error *err) {
  struct reader reader = {.path = path, .fd = -1, .each = each, .context = context};
  enum sp_status status;
  SP_TRY_GOTO(open_reader(&reader, err), release);
  SP_TRY_GOTO(read_all(&reader, err), release);
  if (measured) {
    *measured = (struct sp_shard_done){
        .raw_bytes = reader.raw_bytes,
        .zst_bytes = reader.offset,
        .raw_xxh64 = XXH64_digest(&reader.raw_hash),
        .zst_xxh64 = XXH64_digest(&reader.zst_hash),
    };
  }
release:
  if (reader.fd >= 0) {
    close(reader.fd);
  }
  free(reader.input);
  ZSTD_freeDCtx(reader.zstd);
  sp_buf_release(&reader.raw);
  return status;
}
