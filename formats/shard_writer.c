#define XXH_STATIC_LINKING_ONLY /* for the size of XXH64_state_t */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "clock.h"
#include "file.h"
#include "run_files.h"
#include "shard_format.h"

struct sp_shard_writer {
  char *run;
  size_t index, count;
  struct sp_buf path, temporary; /* the final and the temporary name */
  int fd;                        /* -1: closed, or never opened */
  ZSTD_CCtx *zstd;
  struct sp_buf frame;  /* raw lines of the frame under work */
  struct sp_buf packed; /* one compressed frame */
  struct sp_buf table;  /* seek table entries */
  uint32_t frames;
  XXH64_state_t raw_hash, zst_hash;
  struct sp_shard_done done;
  struct sp_buf last_id;
};

static void destroy(struct sp_shard_writer *writer) {
  if (writer->fd >= 0) {
    close(writer->fd);
  }
  ZSTD_freeCCtx(writer->zstd);
  sp_shard_done_release(&writer->done);
  sp_buf_release(&writer->path);
  sp_buf_release(&writer->temporary);
  sp_buf_release(&writer->frame);
  sp_buf_release(&writer->packed);
  sp_buf_release(&writer->table);
  sp_buf_release(&writer->last_id);
  free(writer->run);
  free(writer);
}

void sp_shard_writer_abandon(struct sp_shard_writer *writer) {
  if (!writer) {
    return;
  }
  if (writer->fd >= 0) {
    unlink(writer->temporary.data);
  }
  destroy(writer);
}

/* The process id alone is not unique: other hosts may share the file system. */
static enum sp_status name_temporary(struct sp_shard_writer *writer, struct sp_error *err) {
  sp_buf_clear(&writer->temporary);
  SP_TRY(sp_buf_printf(&writer->temporary, err,
                       "%s/" SP_TEMPORARY_PREFIX SP_SHARD_PREFIX "%05zu-of-%05zu.%ld.%016" PRIx64,
                       writer->run, writer->index, writer->count, (long)getpid(), sp_clock_ns()));
  return sp_buf_cstr(&writer->temporary) ? SP_OK : sp_fail_memory(err, 1);
}

static enum sp_status open_temporary(struct sp_shard_writer *writer, struct sp_error *err) {
  enum { attempts = 100 };
  for (int k = 0; k < attempts; k++) {
    SP_TRY(name_temporary(writer, err));
    writer->fd = open(writer->temporary.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (writer->fd >= 0) {
      return SP_OK;
    }
    if (errno != EEXIST) {
      break;
    }
  }
  return sp_fail_errno(err, SP_EIO, "cannot create %s", writer->temporary.data);
}

static enum sp_status set_up_zstd(struct sp_shard_writer *writer, struct sp_error *err) {
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

enum sp_status sp_shard_writer_create(const char *run, size_t index, size_t count,
                                      struct sp_shard_writer **out, struct sp_error *err) {
  struct sp_shard_writer *writer = calloc(1, sizeof *writer);
  if (!writer) {
    return sp_fail_memory(err, sizeof *writer);
  }
  writer->fd = -1;
  writer->index = index;
  writer->count = count;
  writer->frame.ceiling = SP_SCORE_LINE_CEILING;
  XXH64_reset(&writer->raw_hash, 0);
  XXH64_reset(&writer->zst_hash, 0);
  enum sp_status status;
  writer->run = strdup(run);
  if (!writer->run) {
    status = sp_fail_memory(err, strlen(run));
    goto abandon;
  }
  SP_TRY_GOTO(sp_shard_path(&writer->path, run, index, count, SP_SHARD_DATA, err), abandon);
  SP_TRY_GOTO(set_up_zstd(writer, err), abandon);
  SP_TRY_GOTO(open_temporary(writer, err), abandon);
  *out = writer;
  return SP_OK;
abandon:
  sp_shard_writer_abandon(writer);
  return status;
}

static enum sp_status write_bytes(struct sp_shard_writer *writer, const void *data, size_t len,
                                  struct sp_error *err) {
  SP_TRY(sp_file_write_all(writer->fd, data, len, writer->temporary.data, err));
  XXH64_update(&writer->zst_hash, data, len);
  writer->done.zst_bytes += len;
  return SP_OK;
}

static enum sp_status write_frame(struct sp_shard_writer *writer, struct sp_error *err) {
  struct sp_buf *frame = &writer->frame, *packed = &writer->packed;
  sp_buf_clear(packed);
  SP_TRY(sp_buf_reserve(packed, ZSTD_compressBound(frame->len), err));
  size_t got =
      ZSTD_compress2(writer->zstd, packed->data, packed->capacity, frame->data, frame->len);
  if (ZSTD_isError(got)) {
    return sp_fail(err, SP_EIO, "zstd: %s", ZSTD_getErrorName(got));
  }
  unsigned char entry[SP_SEEK_ENTRY];
  sp_seek_entry(entry, got, frame->len, XXH64(frame->data, frame->len, 0));
  SP_TRY(sp_buf_append(&writer->table, entry, sizeof entry, err));
  SP_TRY(write_bytes(writer, packed->data, got, err));
  XXH64_update(&writer->raw_hash, frame->data, frame->len);
  writer->done.raw_bytes += frame->len;
  writer->frames++;
  sp_buf_clear(frame);
  return SP_OK;
}

static enum sp_status remember_id(struct sp_shard_writer *writer, struct sp_text id,
                                  struct sp_error *err) {
  if (id.len > 0 && memchr(id.data, '\0', id.len)) {
    return sp_fail(err, SP_EINPUT, "the utterance id %s.. holds a NUL character", id.data);
  }
  sp_buf_clear(&writer->last_id);
  SP_TRY(sp_buf_append(&writer->last_id, id.data, id.len, err));
  if (!sp_buf_cstr(&writer->last_id)) {
    return sp_fail_memory(err, id.len);
  }
  if (!writer->done.first_id && !(writer->done.first_id = strdup(writer->last_id.data))) {
    return sp_fail_memory(err, id.len);
  }
  return SP_OK;
}

enum sp_status sp_shard_writer_append(struct sp_shard_writer *writer, struct sp_text line,
                                      struct sp_text id, uint64_t hyps, uint64_t tokens,
                                      struct sp_error *err) {
  assert(line.len > 0 && line.data[line.len - 1] == '\n');
  SP_TRY(remember_id(writer, id, err));
  struct sp_buf *frame = &writer->frame;
  if (frame->len > 0 && (line.len > SP_FRAME_RAW || frame->len > SP_FRAME_RAW - line.len)) {
    SP_TRY(write_frame(writer, err));
  }
  SP_TRY(sp_buf_append(frame, line.data, line.len, err));
  writer->done.utts++;
  writer->done.hyps += hyps;
  writer->done.tokens += tokens;
  return SP_OK;
}

enum sp_status sp_shard_writer_add_latency(struct sp_shard_writer *writer,
                                           const struct sp_latency_counts *counts,
                                           struct sp_error *err) {
  writer->done.has_latency = true;
  return sp_latency_counts_add(&writer->done.latency, counts, err);
}

static enum sp_status write_seek_table(struct sp_shard_writer *writer, struct sp_error *err) {
  unsigned char header[SP_SEEK_HEADER], footer[SP_SEEK_FOOTER];
  if (writer->table.len > UINT32_MAX - sizeof footer) {
    return sp_fail(err, SP_EUSAGE, "%s: too many frames; use smaller shards", writer->path.data);
  }
  sp_put_le32(header, SP_SEEK_FRAME_MAGIC);
  sp_put_le32(header + 4, (uint32_t)(writer->table.len + sizeof footer));
  sp_seek_footer(footer, writer->frames);
  SP_TRY(write_bytes(writer, header, sizeof header, err));
  SP_TRY(write_bytes(writer, writer->table.data, writer->table.len, err));
  return write_bytes(writer, footer, sizeof footer, err);
}

/* The last frame, the table, and all of it on the disk. A shard without lines has one empty frame:
 * readers tell a zstd file by its first bytes, which must not be those of a skippable frame. */
static enum sp_status seal(struct sp_shard_writer *writer, struct sp_error *err) {
  if (writer->frame.len > 0 || writer->frames == 0) {
    SP_TRY(write_frame(writer, err));
  }
  SP_TRY(write_seek_table(writer, err));
  writer->done.raw_xxh64 = XXH64_digest(&writer->raw_hash);
  writer->done.zst_xxh64 = XXH64_digest(&writer->zst_hash);
  if (writer->done.utts > 0) {
    writer->done.last_id = strdup(writer->last_id.data);
    if (!writer->done.last_id) {
      return sp_fail_memory(err, writer->last_id.len);
    }
  }
  if (fsync(writer->fd) != 0) {
    return sp_fail_errno(err, SP_EIO, "cannot sync %s", writer->temporary.data);
  }
  return SP_OK;
}

/* Is the file of the same name, written by somebody else, byte for byte what we have? */
static enum sp_status compare_existing(struct sp_shard_writer *writer, struct sp_error *err) {
  const char *path = writer->path.data;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return sp_fail_errno(err, SP_EIO, "cannot open %s", path);
  }
  enum { step = 1 << 16 };
  unsigned char piece[step];
  XXH64_state_t hash;
  XXH64_reset(&hash, 0);
  uint64_t bytes = 0;
  ssize_t got;
  while ((got = read(fd, piece, step)) > 0 || (got < 0 && errno == EINTR)) {
    if (got > 0) {
      XXH64_update(&hash, piece, (size_t)got);
      bytes += (uint64_t)got;
    }
  }
  enum sp_status status = SP_OK;
  if (got < 0) {
    status = sp_fail_errno(err, SP_EIO, "cannot read %s", path);
  } else if (bytes != writer->done.zst_bytes || XXH64_digest(&hash) != writer->done.zst_xxh64) {
    status = sp_fail(err, SP_ESHARD,
                     "%s is there already with other bytes than this process computed; remove it "
                     "to have the shard scored again",
                     path);
  }
  close(fd);
  return status;
}

static enum sp_status publish(struct sp_shard_writer *writer, struct sp_error *err) {
  bool existed;
  SP_TRY(seal(writer, err));
  SP_TRY(sp_file_publish(writer->temporary.data, writer->path.data, &existed, err));
  if (existed) {
    SP_TRY(compare_existing(writer, err));
  }
  return sp_shard_done_write(writer->run, writer->index, writer->count, &writer->done, err);
}

enum sp_status sp_shard_writer_publish(struct sp_shard_writer *writer, struct sp_error *err) {
  enum sp_status status = publish(writer, err);
  sp_shard_writer_abandon(writer); /* the temporary name is gone already when all went well */
  return status;
}
