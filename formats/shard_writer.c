#define XXH_STATIC_LINKING_ONLY /* for the size of XXH64_state_t */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "file.h"
#include "frame_writer.h"
#include "run_files.h"
#include "shard_format.h"

struct sp_shard_writer {
  char *run;
  size_t index, count;
  char *worker;                  /* owned; NULL: none */
  struct sp_buf path, temporary; /* the final and the temporary name */
  int fd;                        /* -1: closed, or never opened */
  struct sp_frame_writer *frames;
  struct sp_shard_done done;
  struct sp_buf last_id;
};

static void destroy(struct sp_shard_writer *writer) {
  if (writer->fd >= 0) {
    close(writer->fd);
  }
  sp_frame_writer_destroy(writer->frames);
  sp_shard_done_release(&writer->done);
  sp_buf_release(&writer->path);
  sp_buf_release(&writer->temporary);
  sp_buf_release(&writer->last_id);
  free(writer->run);
  free(writer->worker);
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

/* The process id alone is not unique: other hosts may share the file system. The worker's id says to the
 * others whose the file is (run_claims_sweep.c). */
static enum sp_status name_temporary(struct sp_shard_writer *writer, struct sp_error *err) {
  char pid[32];
  snprintf(pid, sizeof pid, "%ld", (long)getpid());
  sp_buf_clear(&writer->temporary);
  SP_TRY(sp_buf_printf(&writer->temporary, err,
                       "%s/" SP_TEMPORARY_PREFIX SP_SHARD_PREFIX "%05zu-of-%05zu.%s.%016" PRIx64,
                       writer->run, writer->index, writer->count,
                       writer->worker ? writer->worker : pid, sp_random_bits()));
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

enum sp_status sp_shard_writer_create(const char *run, size_t index, size_t count,
                                      struct sp_shard_writer **out, struct sp_error *err) {
  return sp_shard_writer_create_for(run, index, count, NULL, out, err);
}

enum sp_status sp_shard_writer_create_for(const char *run, size_t index, size_t count,
                                          const char *worker, struct sp_shard_writer **out,
                                          struct sp_error *err) {
  struct sp_shard_writer *writer = calloc(1, sizeof *writer);
  if (!writer) {
    return sp_fail_memory(err, sizeof *writer);
  }
  writer->fd = -1;
  writer->index = index;
  writer->count = count;
  enum sp_status status;
  writer->run = strdup(run);
  writer->worker = worker ? strdup(worker) : NULL;
  if (!writer->run || (worker && !writer->worker)) {
    status = sp_fail_memory(err, strlen(run));
    goto abandon;
  }
  SP_TRY_GOTO(sp_shard_path(&writer->path, run, index, count, SP_SHARD_DATA, err), abandon);
  SP_TRY_GOTO(open_temporary(writer, err), abandon);
  SP_TRY_GOTO(sp_frame_writer_create(writer->fd, writer->temporary.data, SP_SCORE_LINE_CEILING,
                                     &writer->frames, err),
              abandon);
  *out = writer;
  return SP_OK;
abandon:
  sp_shard_writer_abandon(writer);
  return status;
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
  if (line.len > SP_SCORE_LINE_CEILING) {
    return sp_fail(err, SP_EINPUT, "the score line of utterance %s is longer than %zu bytes",
                   writer->last_id.data, SP_SCORE_LINE_CEILING);
  }
  SP_TRY(sp_frame_writer_write(writer->frames, line.data, line.len, err));
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

/* The last frame, the table, and all of it on the disk. */
static enum sp_status seal(struct sp_shard_writer *writer, struct sp_error *err) {
  struct sp_frame_sums sums;
  SP_TRY(sp_frame_writer_finish(writer->frames, &sums, err));
  writer->done.raw_bytes = sums.raw_bytes;
  writer->done.zst_bytes = sums.zst_bytes;
  writer->done.raw_xxh64 = sums.raw_xxh64;
  writer->done.zst_xxh64 = sums.zst_xxh64;
  if (writer->done.utts > 0) {
    writer->done.last_id = strdup(writer->last_id.data);
    if (!writer->done.last_id) {
      return sp_fail_memory(err, writer->last_id.len);
    }
  }
  /* A network file system forgets a file that another host swept, and it only sweeps where all is published:
   * link(2) will tell. */
  if (fsync(writer->fd) != 0 && (errno != ESTALE || sp_file_exists(writer->temporary.data))) {
    return sp_fail_errno(err, SP_EIO, "cannot sync %s", writer->temporary.data);
  }
  return SP_OK;
}

/* Is the file of the same name, written by somebody else, byte for byte what we have? */
static enum sp_status check_existing(const struct sp_shard_writer *writer, struct sp_error *err) {
  const char *path = writer->path.data;
  bool same;
  SP_TRY(sp_shard_file_compare(path, &writer->done, &same, err));
  return same ? SP_OK
              : sp_fail(err, SP_ESHARD,
                        "%s is there already with other bytes than this process computed; remove "
                        "it to have the shard scored again",
                        path);
}

static enum sp_status publish(struct sp_shard_writer *writer, bool *existed, struct sp_error *err) {
  *existed = false;
  SP_TRY(seal(writer, err));
  SP_TRY(sp_file_publish(writer->temporary.data, writer->path.data, existed, err));
  if (*existed) {
    SP_TRY(check_existing(writer, err));
  }
  return sp_shard_done_write(writer->run, writer->index, writer->count, &writer->done, err);
}

enum sp_status sp_shard_writer_publish_late(struct sp_shard_writer *writer, bool *late,
                                            struct sp_error *err) {
  enum sp_status status = publish(writer, late, err);
  sp_shard_writer_abandon(writer); /* the temporary name is gone already when all went well */
  return status;
}

enum sp_status sp_shard_writer_publish(struct sp_shard_writer *writer, struct sp_error *err) {
  bool late;
  return sp_shard_writer_publish_late(writer, &late, err);
}
