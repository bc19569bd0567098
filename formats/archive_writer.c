#include "archive_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "file.h"
#include "float_text.h"
#include "score_line.h"

enum { flush_bytes = 1 << 20, zstd_level = 3 };

struct sp_archive_writer {
  enum sp_archive_format format;
  char *path, *temporary; /* NULL: standard output */
  int fd;
  ZSTD_CCtx *zstd; /* NULL: not compressed */
  struct sp_buf text, packed;
};

static const struct {
  const char *name;
  enum sp_archive_format format;
} outputs[] = {{"jsonl", SP_FORMAT_JSONL},
               {"trn", SP_FORMAT_TRN},
               {"kaldi-text", SP_FORMAT_KALDI_TEXT},
               {"text", SP_FORMAT_TEXT}};

enum sp_status sp_archive_output_parse(const char *name, enum sp_archive_format *out,
                                       struct sp_error *err) {
  for (size_t k = 0; k < sizeof outputs / sizeof *outputs; k++) {
    if (strcmp(name, outputs[k].name) == 0) {
      *out = outputs[k].format;
      return SP_OK;
    }
  }
  return sp_fail(err, SP_EUSAGE,
                 "unknown output format '%s'; known are jsonl, trn, kaldi-text and text", name);
}

void sp_archive_writer_discard(struct sp_archive_writer *writer) {
  if (!writer) {
    return;
  }
  if (writer->temporary) {
    if (writer->fd >= 0) {
      close(writer->fd);
    }
    unlink(writer->temporary);
  }
  ZSTD_freeCCtx(writer->zstd);
  sp_buf_release(&writer->text);
  sp_buf_release(&writer->packed);
  free(writer->path);
  free(writer->temporary);
  free(writer);
}

static bool ends_in_zst(const char *path) {
  size_t len = strlen(path);
  return len > 4 && strcmp(path + len - 4, ".zst") == 0;
}

static enum sp_status open_file(struct sp_archive_writer *writer, const char *path,
                                struct sp_error *err) {
  SP_TRY(sp_file_check_parent(path, err));
  writer->path = strdup(path);
  if (!writer->path || asprintf(&writer->temporary, "%s.tmp.%ld", path, (long)getpid()) < 0) {
    writer->temporary = NULL;
    return sp_fail_memory(err, strlen(path));
  }
  writer->fd = open(writer->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (writer->fd < 0) {
    return sp_fail_errno(err, SP_EIO, "cannot create %s", path);
  }
  if (ends_in_zst(path)) {
    writer->zstd = ZSTD_createCCtx();
    if (!writer->zstd) {
      return sp_fail_memory(err, 0);
    }
    ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_compressionLevel, zstd_level);
    ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_checksumFlag, 1);
  }
  return SP_OK;
}

enum sp_status sp_archive_writer_open(const char *path, enum sp_archive_format format,
                                      struct sp_archive_writer **out, struct sp_error *err) {
  struct sp_archive_writer *writer = calloc(1, sizeof *writer);
  *out = NULL;
  if (!writer) {
    return sp_fail_memory(err, sizeof *writer);
  }
  writer->format = format;
  writer->fd = STDOUT_FILENO;
  enum sp_status status = strcmp(path, "-") == 0 ? SP_OK : open_file(writer, path, err);
  if (status != SP_OK) {
    sp_archive_writer_discard(writer);
    return status;
  }
  *out = writer;
  return SP_OK;
}

static const char *shown_path(const struct sp_archive_writer *writer) {
  return writer->path ? writer->path : "standard output";
}

static enum sp_status pack(struct sp_archive_writer *writer, ZSTD_EndDirective directive,
                           struct sp_error *err) {
  ZSTD_inBuffer in = {writer->text.data, writer->text.len, 0};
  for (size_t left = 1; left > 0 || in.pos < in.size;) {
    SP_TRY(sp_buf_reserve(&writer->packed, ZSTD_CStreamOutSize(), err));
    ZSTD_outBuffer packed = {writer->packed.data, writer->packed.capacity, 0};
    left = ZSTD_compressStream2(writer->zstd, &packed, &in, directive);
    if (ZSTD_isError(left)) {
      return sp_fail(err, SP_EIO, "%s: zstd: %s", shown_path(writer), ZSTD_getErrorName(left));
    }
    SP_TRY(sp_file_write_all(writer->fd, packed.dst, packed.pos, shown_path(writer), err));
    left = directive == ZSTD_e_end ? left : 0;
  }
  return SP_OK;
}

static enum sp_status flush_text(struct sp_archive_writer *writer, bool last,
                                 struct sp_error *err) {
  SP_TRY(writer->zstd ? pack(writer, last ? ZSTD_e_end : ZSTD_e_continue, err)
                      : sp_file_write_all(writer->fd, writer->text.data, writer->text.len,
                                          shown_path(writer), err));
  sp_buf_clear(&writer->text);
  return SP_OK;
}

static enum sp_status put_number(struct sp_buf *out, const char *key, double value,
                                 struct sp_error *err) {
  char number[SP_DOUBLE_TEXT_MAX];
  sp_double_text(value, number);
  return sp_buf_printf(out, err, ",\"%s\":%s", key, number);
}

static enum sp_status put_hyp(struct sp_buf *out, const struct sp_hyp *hyp, struct sp_error *err) {
  SP_TRY(sp_buf_append(out, "{\"text\":", 8, err));
  SP_TRY(sp_json_string_write(out, hyp->text, err));
  if (hyp->has_score) {
    SP_TRY(put_number(out, "score", hyp->score, err));
  }
  if (hyp->has_rank) {
    SP_TRY(sp_buf_printf(out, err, ",\"i\":%lu", (unsigned long)hyp->rank));
  }
  if (hyp->has_total) {
    SP_TRY(put_number(out, "total", hyp->total, err));
  }
  return sp_buf_append(out, "}", 1, err);
}

static enum sp_status put_jsonl(struct sp_buf *out, const struct sp_utt *utt,
                                struct sp_error *err) {
  SP_TRY(sp_buf_append(out, "{\"id\":", 6, err));
  SP_TRY(sp_json_string_write(out, utt->id, err));
  if (utt->has_ref) {
    SP_TRY(sp_buf_append(out, ",\"ref\":", 7, err));
    SP_TRY(sp_json_string_write(out, utt->ref, err));
  }
  SP_TRY(sp_buf_append(out, ",\"hyps\":[", 9, err));
  for (size_t i = 0; i < utt->n_hyps; i++) {
    SP_TRY(sp_buf_append(out, ",", i > 0, err));
    SP_TRY(put_hyp(out, &utt->hyps[i], err));
  }
  return sp_buf_append(out, "]}\n", 3, err);
}

/* One line: text (id), id text, or text. */
static enum sp_status put_line(struct sp_archive_writer *writer, const struct sp_utt *utt,
                               struct sp_error *err) {
  struct sp_text text = utt->n_hyps > 0 ? utt->hyps[0].text : (struct sp_text){"", 0};
  const char *fault = NULL;
  if (text.len > 0 && (memchr(text.data, '\n', text.len) || memchr(text.data, '\r', text.len))) {
    fault = "a text with a line end";
  } else if (writer->format == SP_FORMAT_KALDI_TEXT && memchr(utt->id.data, ' ', utt->id.len)) {
    fault = "an id with a space";
  }
  if (fault) {
    return sp_fail(err, SP_EINPUT, "%s: utterance %.*s: %s cannot be written in this format",
                   shown_path(writer), utt->id.len < 200 ? (int)utt->id.len : 200, utt->id.data,
                   fault);
  }
  struct sp_buf *out = &writer->text;
  if (writer->format == SP_FORMAT_KALDI_TEXT) {
    SP_TRY(sp_buf_append(out, utt->id.data, utt->id.len, err));
    SP_TRY(sp_buf_append(out, " ", 1, err));
  }
  SP_TRY(sp_buf_append(out, text.data, text.len, err));
  if (writer->format == SP_FORMAT_TRN) {
    SP_TRY(sp_buf_append(out, " (", 2, err));
    SP_TRY(sp_buf_append(out, utt->id.data, utt->id.len, err));
    SP_TRY(sp_buf_append(out, ")", 1, err));
  }
  return sp_buf_append(out, "\n", 1, err);
}

enum sp_status sp_archive_writer_put(struct sp_archive_writer *writer, const struct sp_utt *utt,
                                     struct sp_error *err) {
  SP_TRY(writer->format == SP_FORMAT_JSONL ? put_jsonl(&writer->text, utt, err)
                                           : put_line(writer, utt, err));
  return writer->text.len >= flush_bytes ? flush_text(writer, false, err) : SP_OK;
}

static enum sp_status publish(struct sp_archive_writer *writer, struct sp_error *err) {
  if (fsync(writer->fd) != 0) {
    return sp_fail_errno(err, SP_EIO, "cannot sync %s", writer->path);
  }
  int fd = writer->fd;
  writer->fd = -1;
  if (close(fd) != 0) {
    return sp_fail_errno(err, SP_EIO, "cannot close %s", writer->path);
  }
  if (rename(writer->temporary, writer->path) != 0) {
    return sp_fail_errno(err, SP_EIO, "cannot rename %s to %s", writer->temporary, writer->path);
  }
  return sp_file_sync_directory_of(writer->path, err);
}

enum sp_status sp_archive_writer_close(struct sp_archive_writer *writer, struct sp_error *err) {
  enum sp_status status = flush_text(writer, true, err);
  if (status == SP_OK && writer->path) {
    status = publish(writer, err);
  }
  sp_archive_writer_discard(writer); /* after a rename there is no temporary file to remove */
  return status;
}
