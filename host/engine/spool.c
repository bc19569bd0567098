#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"

static size_t count_stdin(const struct sp_score_options *options) {
  size_t count = 0;
  for (size_t i = 0; i < options->n_archives; i++) {
    count += strcmp(options->archives[i], "-") == 0;
  }
  return count;
}

bool sp_spool_is_needed(const struct sp_score_options *options) {
  return count_stdin(options) > 0;
}

static enum sp_status copy_stdin(int to, const char *path, const struct sp_score_options *options,
                                 struct sp_error *err) {
  static const size_t step = 1 << 20;
  char *block = malloc(step);
  enum sp_status status = block ? SP_OK : sp_fail_memory(err, step);
  while (status == SP_OK) {
    ssize_t got = read(STDIN_FILENO, block, step);
    if (options->stop && *options->stop) {
      status = sp_fail(err, SP_EINTERRUPTED, "interrupted while standard input was read");
    } else if (got < 0 && errno != EINTR) {
      status = sp_fail_errno(err, SP_EIO, "cannot read standard input");
    } else if (got == 0) {
      break;
    } else if (got > 0) {
      status = sp_file_write_all(to, block, (size_t)got, path, err);
    }
  }
  free(block);
  return status;
}

enum sp_status sp_spool_make(struct sp_spool *spool, const char *run,
                             const struct sp_score_options *options, struct sp_error *err) {
  size_t from_stdin = count_stdin(options);
  if (from_stdin > 1) {
    return sp_fail(err, SP_EUSAGE, "standard input ('-') was named twice");
  }
  spool->paths = calloc(options->n_archives, sizeof *spool->paths);
  if (!spool->paths) {
    return sp_fail_memory(err, options->n_archives * sizeof *spool->paths);
  }
  spool->n_paths = options->n_archives;
  memcpy(spool->paths, options->archives, options->n_archives * sizeof *spool->paths);
  if (from_stdin == 0) {
    return SP_OK;
  }
  struct sp_buf name = {0};
  SP_TRY(sp_buf_printf(&name, err, "%s/.stdin", run));
  spool->file = name.data;
  if (!sp_buf_cstr(&name)) {
    return sp_fail_memory(err, name.len);
  }
  spool->file = name.data;
  for (size_t i = 0; i < spool->n_paths; i++) {
    spool->paths[i] = strcmp(spool->paths[i], "-") == 0 ? spool->file : spool->paths[i];
  }
  int fd = open(spool->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) {
    return sp_fail_errno(err, SP_EIO, "cannot create %s", spool->file);
  }
  enum sp_status status = copy_stdin(fd, spool->file, options, err);
  if (close(fd) != 0 && status == SP_OK) {
    status = sp_fail_errno(err, SP_EIO, "cannot close %s", spool->file);
  }
  return status;
}

void sp_spool_sweep(const char *run) {
  struct sp_buf name = {0};
  if (sp_buf_printf(&name, NULL, "%s/.stdin", run) == SP_OK && sp_buf_cstr(&name)) {
    unlink(name.data);
  }
  sp_buf_release(&name);
}

void sp_spool_remove(struct sp_spool *spool) {
  if (spool->file) {
    unlink(spool->file);
  }
}

void sp_spool_release(struct sp_spool *spool) {
  free(spool->paths);
  free(spool->file);
  *spool = (struct sp_spool){0};
}
