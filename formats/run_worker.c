#include "run_worker.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "file.h"
#include "run_files.h"

/* ---- ids ---- */

static bool is_letter_or_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

void sp_worker_make_id(char id[SP_WORKER_ID]) {
  char host[256] = "";
  if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0') {
    snprintf(host, sizeof host, "unknown");
  }
  host[strcspn(host, ".")] = '\0';
  for (char *c = host; *c; c++) {
    *c = is_letter_or_digit(*c) ? *c : '_';
  }
  snprintf(id, SP_WORKER_ID, "%.24s-%ld-%jx-%016" PRIx64, host, (long)getpid(),
           (uintmax_t)time(NULL), sp_random_bits());
}

bool sp_worker_is_id(const char *text, size_t len) {
  bool dash = false;
  for (size_t k = 0; k < len; k++) {
    if (!is_letter_or_digit(text[k]) && text[k] != '_' && text[k] != '-') {
      return false;
    }
    dash = dash || text[k] == '-';
  }
  return dash && len < SP_WORKER_ID;
}

/* ---- bytes ---- */

static const double rate_ceiling = 1e15;

static double within(double value, double most) {
  return value >= 0.0 ? fmin(value, most) : 0.0; /* NaN is 0 */
}

enum sp_status sp_worker_write(const struct sp_worker *worker, struct sp_buf *out,
                               struct sp_error *err) {
  size_t start = out->len;
  SP_TRY(sp_buf_append(out, "{", 1, err));
  SP_TRY(sp_owner_write(&worker->owner, out, err));
  SP_TRY(sp_buf_printf(out, err,
                       ",\"part\":\"%s\",\"flock\":%s,\"lease\":%.3f,\"beat\":\"%020" PRIu64
                       "\",\"hyps_done\":\"%020" PRIu64 "\",\"hyps_per_1000s\":\"%020" PRIu64 "\"}",
                       worker->part, worker->flocked ? "true" : "false",
                       within(worker->lease, SP_WORKER_LEASE_CEILING), worker->beat,
                       worker->hyps_done,
                       (uint64_t)llround(within(worker->hyps_per_second, rate_ceiling) * 1000.0)));
  return sp_buf_printf(out, err, "%*s\n", (int)(SP_WORKER_BYTES - 1 - (out->len - start)), "");
}

/* Of a string of digits. */
static uint64_t get_count(const json_t *root, const char *key) {
  const char *text = json_string_value(json_object_get(root, key));
  return text && text[strspn(text, "0123456789")] == '\0' ? strtoull(text, NULL, 10) : 0;
}

bool sp_worker_parse(struct sp_text text, struct sp_worker *worker) {
  json_t *root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
  const char *part = json_string_value(json_object_get(root, "part"));
  *worker = (struct sp_worker){0};
  bool whole = root && sp_owner_parse(root, &worker->owner);
  if (whole) {
    sp_copy_printable(worker->part, sizeof worker->part, part ? part : "");
    worker->flocked = json_is_true(json_object_get(root, "flock"));
    worker->lease =
        within(json_number_value(json_object_get(root, "lease")), SP_WORKER_LEASE_CEILING);
    worker->beat = get_count(root, "beat");
    worker->hyps_done = get_count(root, "hyps_done");
    worker->hyps_per_second =
        within((double)get_count(root, "hyps_per_1000s") / 1000.0, rate_ceiling);
  }
  json_decref(root);
  return whole;
}

/* ---- the own file ---- */

enum sp_status sp_claims_path(struct sp_buf *out, const char *run, const char *prefix,
                              const char *name, struct sp_error *err) {
  SP_TRY(sp_buf_printf(out, err, "%s/" SP_RUN_CLAIMS "/%s%s", run, prefix, name));
  return sp_buf_cstr(out) ? SP_OK : sp_fail_memory(err, out->len);
}

/* Not through a link: what is removed there later must be ours. */
static enum sp_status make_directory(const char *run, struct sp_error *err) {
  struct sp_buf path = {0};
  struct stat info;
  enum sp_status status;
  SP_TRY_GOTO(sp_run_path(&path, run, SP_RUN_CLAIMS, err), release);
  if (mkdir(path.data, 0777) != 0 && errno != EEXIST) {
    status = sp_fail_errno(err, SP_EIO, "cannot create the directory %s", path.data);
  } else if (lstat(path.data, &info) == 0 && !S_ISDIR(info.st_mode)) {
    status = sp_fail(err, SP_EIO, "%s is no directory; remove it", path.data);
  }
release:
  sp_buf_release(&path);
  return status;
}

/* What is said of a name under a directory that was removed; ESTALE: by a network file system. */
static bool is_gone(int reason) {
  return reason == ENOENT || reason == ESTALE;
}

/* In place, in one write; closing tells of what a network file system could not write before. */
static enum sp_status write_to(const char *path, const struct sp_worker *worker, int like,
                               struct sp_error *err) {
  struct sp_buf text = {0};
  int fd = -1;
  enum sp_status status;
  SP_TRY_GOTO(sp_worker_write(worker, &text, err), release);
  fd = open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0 && is_gone(errno)) {
    goto release; /* swept, or the run is completed */
  }
  if (fd < 0) {
    status = sp_fail_errno(err, SP_EIO, "cannot write %s", path);
    goto release;
  }
  if (sp_file_is_named(like, path)) {
    status = sp_file_write_all(fd, text.data, text.len, path, err);
  }
  if (close(fd) != 0 && status == SP_OK && !is_gone(errno)) {
    status = sp_fail_errno(err, SP_EIO, "cannot write %s", path);
  }
release:
  sp_buf_release(&text);
  return status;
}

/* Under a temporary name first: under its own it is locked and whole from the start. That one is unique, so
 * that rename(2) replaces nothing; and it keeps the open file's name, which after link(2) and unlink(2) a
 * network file system would keep hidden in the directory. */
static enum sp_status make_as(struct sp_worker_file *file, const char *temporary,
                              struct sp_error *err) {
  file->fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (file->fd < 0) {
    return is_gone(errno) ? SP_OK : sp_fail_errno(err, SP_EIO, "cannot create %s", temporary);
  }
  sp_owner_self(file->fd, &file->worker.owner);
  file->worker.flocked = flock(file->fd, LOCK_EX | LOCK_NB) == 0;
  enum sp_status status = write_to(temporary, &file->worker, file->fd, err);
  bool named = status == SP_OK && rename(temporary, file->path.data) == 0;
  if (status == SP_OK && !named) {
    int reason = errno;
    named = sp_file_is_named(file->fd, file->path.data); /* only the answer was lost */
    errno = reason;
    status = named || is_gone(reason)
                 ? SP_OK
                 : sp_fail_errno(err, SP_EIO, "cannot create %s", file->path.data);
  }
  if (!named) {
    unlink(temporary);
    close(file->fd);
    file->fd = -1;
  }
  return status;
}

/* The descriptor stays -1, which is no error, where .claims is removed meanwhile. */
static enum sp_status make_in(struct sp_worker_file *file, const char *run, struct sp_error *err) {
  struct sp_buf temporary = {0};
  enum sp_status status = sp_claims_path(&temporary, run, SP_CLAIMS_TEMPORARY, file->id, err);
  if (status == SP_OK) {
    unlink(temporary.data); /* after an unlink that failed */
    status = make_as(file, temporary.data, err);
  }
  sp_buf_release(&temporary);
  return status;
}

static enum sp_status make(struct sp_worker_file *file, const char *run, struct sp_error *err) {
  enum { attempts = 5 }; /* others remove the directory when they leave it empty */
  enum sp_status status = SP_OK;
  for (int k = 0; k < attempts; k++) {
    SP_TRY(make_directory(run, err));
    status = make_in(file, run, err);
    if (status == SP_OK && file->fd >= 0) {
      return SP_OK;
    }
  }
  return status != SP_OK ? status
                         : sp_fail(err, SP_EIO, "cannot create %s: its directory is gone again",
                                   file->path.data);
}

enum sp_status sp_worker_file_make(struct sp_worker_file *file, const char *run,
                                   struct sp_error *err) {
  file->fd = -1;
  SP_TRY(sp_claims_path(&file->path, run, SP_WORKER_PREFIX, file->id, err));
  return make(file, run, err);
}

/* True when it is still there; else nothing is held. */
static bool is_kept(struct sp_worker_file *file) {
  bool kept = file->fd >= 0 && sp_file_is_named(file->fd, file->path.data);
  if (!kept && file->fd >= 0) {
    close(file->fd);
    file->fd = -1;
  }
  return kept;
}

enum sp_status sp_worker_file_keep(struct sp_worker_file *file, const char *run,
                                   struct sp_error *err) {
  pthread_mutex_lock(&file->mutex);
  enum sp_status status = is_kept(file) ? SP_OK : make(file, run, err);
  pthread_mutex_unlock(&file->mutex);
  return status;
}

enum sp_status sp_worker_file_beat(struct sp_worker_file *file, const char *run, uint64_t hyps_done,
                                   double hyps_per_second, struct sp_error *err) {
  pthread_mutex_lock(&file->mutex);
  file->worker.beat++;
  file->worker.hyps_done = hyps_done;
  file->worker.hyps_per_second = hyps_per_second;
  enum sp_status status = is_kept(file) ? write_to(file->path.data, &file->worker, file->fd, err)
                                        : make_in(file, run, err);
  pthread_mutex_unlock(&file->mutex);
  return status;
}

void sp_worker_file_remove(struct sp_worker_file *file) {
  if (file->fd >= 0) {
    bool named = sp_file_is_named(file->fd, file->path.data);
    close(file->fd);
    if (named) {
      unlink(file->path.data);
    }
    file->fd = -1;
  }
  sp_buf_release(&file->path);
}

/* ---- others' files ---- */

double sp_worker_written(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 ? (double)info.st_mtim.tv_sec + 1e-9 * (double)info.st_mtim.tv_nsec
                               : 0;
}

enum sp_status sp_worker_look_at(const char *run, const char *id, struct sp_worker_look *out,
                                 struct sp_error *err) {
  struct sp_buf path = {0};
  struct sp_run_owner self;
  char text[SP_WORKER_BYTES];
  size_t len;
  int fd = -1;
  enum sp_status status;
  *out = (struct sp_worker_look){0};
  SP_TRY_GOTO(sp_claims_path(&path, run, SP_WORKER_PREFIX, id, err), release);
  SP_TRY_GOTO(sp_look_at(path.data, text, sizeof text, &len, &out->look, &fd, err), release);
  if (out->look == SP_LOOK_WHOLE) {
    out->hash = XXH64(text, len, 0) | 1; /* never that of no file */
    out->written = sp_worker_written(fd);
    if (!sp_worker_parse((struct sp_text){text, len}, &out->worker)) {
      out->look = SP_LOOK_DAMAGED;
    }
  }
  if (out->look == SP_LOOK_WHOLE) {
    sp_owner_self(fd, &self);
    out->here = sp_owner_shares_locks(&out->worker.owner, &self);
    out->locked = out->here && sp_is_locked(fd);
    out->gone = out->here && out->worker.flocked && !out->locked;
  }
release:
  if (fd >= 0) {
    close(fd);
  }
  sp_buf_release(&path);
  return status;
}
