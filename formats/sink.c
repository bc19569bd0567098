#include "sink.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "archive.h"
#include "file.h"
#include "frame_writer.h"

enum { block = 128 * 1024, gzip_level = 6 };

struct sp_sink {
  int fd;
  char *path;              /* owned; for messages, and the name in the end */
  struct sp_buf temporary; /* its name until then; empty: written in place */
  struct sp_frame_writer *zstd;
  z_stream *gzip;
  char out[block];
};

static bool ends_with(const char *path, const char *tail) {
  size_t len = strlen(path), wide = strlen(tail);
  return len > wide && strcmp(path + len - wide, tail) == 0;
}

static enum sp_status start_gzip(struct sp_sink *sink, struct sp_error *err) {
  enum { window = 15, as_gzip = 16, memory = 8 };
  sink->gzip = calloc(1, sizeof *sink->gzip);
  if (sink->gzip && deflateInit2(sink->gzip, gzip_level, Z_DEFLATED, window + as_gzip, memory,
                                 Z_DEFAULT_STRATEGY) == Z_OK) {
    return SP_OK;
  }
  free(sink->gzip);
  sink->gzip = NULL;
  return sp_fail_memory(err, 0);
}

static enum sp_status open_file(struct sp_sink *sink, struct sp_error *err) {
  struct stat info;
  if (strcmp(sink->path, "-") == 0) {
    sink->fd = STDOUT_FILENO;
    return SP_OK;
  }
  if (stat(sink->path, &info) != 0 || S_ISREG(info.st_mode)) {
    return sp_file_create_beside(sink->path, &sink->temporary, &sink->fd, err);
  }
  sink->fd = open(sink->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  return sink->fd >= 0 ? SP_OK : sp_fail_errno(err, SP_EIO, "cannot create %s", sink->path);
}

enum sp_status sp_sink_open(const char *path, struct sp_sink **out, struct sp_error *err) {
  struct sp_sink *sink = calloc(1, sizeof *sink);
  if (!sink) {
    return sp_fail_memory(err, sizeof *sink);
  }
  sink->fd = -1;
  sink->path = strdup(path);
  enum sp_status status = sink->path ? open_file(sink, err) : sp_fail_memory(err, 0);
  if (status == SP_OK && ends_with(path, ".zst")) {
    status = sp_frame_writer_create(sink->fd, sink->path, SP_RECORD_CEILING, &sink->zstd, err);
  } else if (status == SP_OK && ends_with(path, ".gz")) {
    status = start_gzip(sink, err);
  }
  if (status != SP_OK) {
    sp_sink_discard(sink);
    return status;
  }
  *out = sink;
  return SP_OK;
}

static enum sp_status write_zstd(struct sp_sink *sink, const void *data, size_t len, bool end,
                                 struct sp_error *err) {
  return end ? sp_frame_writer_finish(sink->zstd, NULL, err)
             : sp_frame_writer_write(sink->zstd, data, len, err);
}

/* zlib counts in 32 bits. */
static enum sp_status write_gzip(struct sp_sink *sink, const void *data, size_t len, bool end,
                                 struct sp_error *err) {
  static const size_t most = 1 << 30;
  const unsigned char *from = data;
  int code;
  do {
    size_t now = len < most ? len : most;
    sink->gzip->next_in = (unsigned char *)from;
    sink->gzip->avail_in = (unsigned)now;
    do {
      sink->gzip->next_out = (unsigned char *)sink->out;
      sink->gzip->avail_out = sizeof sink->out;
      code = deflate(sink->gzip, end ? Z_FINISH : Z_NO_FLUSH);
      if (code == Z_STREAM_ERROR) {
        return sp_fail(err, SP_EIO, "cannot compress %s", sink->path);
      }
      SP_TRY(sp_file_write_all(sink->fd, sink->out, sizeof sink->out - sink->gzip->avail_out,
                               sink->path, err));
    } while (sink->gzip->avail_out == 0);
    from += now;
    len -= now;
  } while (len > 0 || (end && code != Z_STREAM_END));
  return SP_OK;
}

static enum sp_status write_any(struct sp_sink *sink, const void *data, size_t len, bool end,
                                struct sp_error *err) {
  return sink->zstd   ? write_zstd(sink, data, len, end, err)
         : sink->gzip ? write_gzip(sink, data, len, end, err)
                      : sp_file_write_all(sink->fd, data, len, sink->path, err);
}

enum sp_status sp_sink_write(struct sp_sink *sink, const void *data, size_t len,
                             struct sp_error *err) {
  return len > 0 ? write_any(sink, data, len, false, err) : SP_OK;
}

static void release(struct sp_sink *sink) {
  if (sink->fd >= 0 && sink->fd != STDOUT_FILENO) {
    close(sink->fd);
  }
  sp_frame_writer_destroy(sink->zstd);
  if (sink->gzip) {
    deflateEnd(sink->gzip);
  }
  free(sink->gzip);
  free(sink->path);
  sp_buf_release(&sink->temporary);
  free(sink);
}

/* existed NULL: a file of that name is replaced. */
static enum sp_status publish(struct sp_sink *sink, bool *existed, struct sp_error *err) {
  if (sink->temporary.len == 0) {
    return SP_OK;
  }
  if (fsync(sink->fd) != 0) {
    return sp_fail_errno(err, SP_EIO, "cannot sync %s", sink->temporary.data);
  }
  const char *name = sink->temporary.data;
  SP_TRY(existed ? sp_file_publish(name, sink->path, existed, err)
                 : sp_file_rename(name, sink->path, err));
  sp_buf_clear(&sink->temporary); /* nothing to remove any more */
  return SP_OK;
}

static enum sp_status finish(struct sp_sink *sink, bool *existed, struct sp_error *err) {
  enum sp_status status = write_any(sink, "", 0, true, err);
  if (status == SP_OK) {
    status = publish(sink, existed, err);
  }
  sp_sink_discard(sink);
  return status;
}

enum sp_status sp_sink_close(struct sp_sink *sink, struct sp_error *err) {
  return finish(sink, NULL, err);
}

enum sp_status sp_sink_close_first(struct sp_sink *sink, bool *existed, struct sp_error *err) {
  *existed = false;
  return finish(sink, existed, err);
}

void sp_sink_discard(struct sp_sink *sink) {
  if (!sink) {
    return;
  }
  if (sink->fd >= 0 && sink->temporary.len > 0) {
    unlink(sink->temporary.data);
  }
  release(sink);
}
