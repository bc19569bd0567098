#define XXH_STATIC_LINKING_ONLY /* for the size of XXH64_state_t */

#include "frame_writer.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "checked.h"
#include "file.h"
#include "shard_format.h"

struct sp_frame_writer {
  int fd;
  const char *path;
  size_t longest_line;
  ZSTD_CCtx *zstd;
  struct sp_buf raw;    /* of the frame under work, and the beginning of the next line */
  size_t lines_end;     /* of the whole lines in it */
  struct sp_buf packed; /* one compressed frame */
  struct sp_buf table;  /* seek table entries */
  uint32_t frames;
  uint64_t raw_bytes, zst_bytes;
  XXH64_state_t raw_hash, zst_hash;
};

void sp_frame_writer_destroy(struct sp_frame_writer *writer) {
  if (!writer) {
    return;
  }
  ZSTD_freeCCtx(writer->zstd);
  sp_buf_release(&writer->raw);
  sp_buf_release(&writer->packed);
  sp_buf_release(&writer->table);
  free(writer);
}

static enum sp_status set_up_zstd(struct sp_frame_writer *writer, struct sp_error *err) {
  writer->zstd = ZSTD_createCCtx();
  if (!writer->zstd) {
    return sp_fail_memory(err, 1);
  }
  size_t code = ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_compressionLevel, SP_ZSTD_LEVEL);
  if (!ZSTD_isError(code)) {
    code = ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_checksumFlag, 1);
  }
  return ZSTD_isError(code) ? sp_fail(err, SP_EIO, "zstd: %s", ZSTD_getErrorName(code)) : SP_OK;
}

enum sp_status sp_frame_writer_create(int fd, const char *path, size_t longest_line,
                                      struct sp_frame_writer **out, struct sp_error *err) {
  struct sp_frame_writer *writer = calloc(1, sizeof *writer);
  if (!writer) {
    return sp_fail_memory(err, sizeof *writer);
  }
  writer->fd = fd;
  writer->path = path;
  writer->longest_line = longest_line;
  XXH64_reset(&writer->raw_hash, 0);
  XXH64_reset(&writer->zst_hash, 0);
  enum sp_status status = set_up_zstd(writer, err);
  if (status != SP_OK) {
    sp_frame_writer_destroy(writer);
    return status;
  }
  *out = writer;
  return SP_OK;
}

static enum sp_status put(struct sp_frame_writer *writer, const void *data, size_t len,
                          struct sp_error *err) {
  SP_TRY(sp_file_write_all(writer->fd, data, len, writer->path, err));
  XXH64_update(&writer->zst_hash, data, len);
  writer->zst_bytes += len;
  return SP_OK;
}

/* Makes a frame of the first `len` bytes, and keeps those behind them. */
static enum sp_status put_frame(struct sp_frame_writer *writer, size_t len, struct sp_error *err) {
  struct sp_buf *raw = &writer->raw, *packed = &writer->packed;
  const char *data = len > 0 ? raw->data : "";
  SP_TRY(sp_buf_reserve(packed, ZSTD_compressBound(len), err));
  size_t got = ZSTD_compress2(writer->zstd, packed->data, packed->capacity, data, len);
  if (ZSTD_isError(got)) {
    return sp_fail(err, SP_EIO, "cannot compress %s: %s", writer->path, ZSTD_getErrorName(got));
  }
  unsigned char entry[SP_SEEK_ENTRY];
  sp_seek_entry(entry, got, len, XXH64(data, len, 0));
  SP_TRY(sp_buf_append(&writer->table, entry, sizeof entry, err));
  SP_TRY(put(writer, packed->data, got, err));
  XXH64_update(&writer->raw_hash, data, len);
  writer->raw_bytes += len;
  writer->frames++;
  raw->len -= len;
  if (raw->len > 0) {
    memmove(raw->data, raw->data + len, raw->len);
  }
  writer->lines_end = 0;
  return SP_OK;
}

/* Takes a piece of a line, maybe with its end. */
static enum sp_status take(struct sp_frame_writer *writer, const char *piece, size_t len,
                           struct sp_error *err) {
  struct sp_buf *raw = &writer->raw;
  if (writer->lines_end > 0 && (len > SP_FRAME_RAW || raw->len > SP_FRAME_RAW - len)) {
    SP_TRY(put_frame(writer, writer->lines_end, err));
  }
  SP_TRY(sp_buf_append(raw, piece, len, err));
  writer->lines_end = piece[len - 1] == '\n' ? raw->len : writer->lines_end;
  return SP_OK;
}

enum sp_status sp_frame_writer_write(struct sp_frame_writer *writer, const void *data, size_t len,
                                     struct sp_error *err) {
  const char *at = data;
  while (len > 0) {
    const char *end = memchr(at, '\n', len);
    size_t line = end ? (size_t)(end - at) + 1 : len;
    size_t begun = writer->raw.len - writer->lines_end; /* of this line */
    size_t piece = sp_min_size(line, writer->longest_line - begun);
    if (piece == 0) {
      SP_TRY(put_frame(writer, writer->raw.len, err));
      continue;
    }
    SP_TRY(take(writer, at, piece, err));
    at += piece;
    len -= piece;
  }
  return SP_OK;
}

static enum sp_status put_table(struct sp_frame_writer *writer, struct sp_error *err) {
  unsigned char header[SP_SEEK_HEADER], footer[SP_SEEK_FOOTER];
  if (writer->table.len > UINT32_MAX - sizeof footer) {
    return sp_fail(err, SP_EUSAGE, "%s: too many frames; use smaller files", writer->path);
  }
  sp_put_le32(header, SP_SEEK_FRAME_MAGIC);
  sp_put_le32(header + 4, (uint32_t)(writer->table.len + sizeof footer));
  sp_seek_footer(footer, writer->frames);
  SP_TRY(put(writer, header, sizeof header, err));
  SP_TRY(put(writer, writer->table.data, writer->table.len, err));
  return put(writer, footer, sizeof footer, err);
}

enum sp_status sp_frame_writer_finish(struct sp_frame_writer *writer, struct sp_frame_sums *sums,
                                      struct sp_error *err) {
  if (writer->raw.len > 0 || writer->frames == 0) {
    SP_TRY(put_frame(writer, writer->raw.len, err));
  }
  SP_TRY(put_table(writer, err));
  if (sums) {
    *sums = (struct sp_frame_sums){.raw_bytes = writer->raw_bytes,
                                   .zst_bytes = writer->zst_bytes,
                                   .raw_xxh64 = XXH64_digest(&writer->raw_hash),
                                   .zst_xxh64 = XXH64_digest(&writer->zst_hash)};
  }
  return SP_OK;
}
