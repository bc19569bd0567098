#include "reframed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checked.h"
#include "file.h"
#include "ranks.h"
#include "reframe.h"
#include "run_files.h"
#include "run_scan.h"
#include "shard_input.h"

#define PREFIX ".input-"

static enum sp_status path_of(struct sp_buf *out, const char *run, size_t file,
                              struct sp_error *err) {
  sp_buf_clear(out);
  SP_TRY(sp_buf_printf(out, err, "%s/" PREFIX "%05zu.zst", run, file));
  return sp_buf_cstr(out) ? SP_OK : sp_fail_memory(err, out->len);
}

/* The marks that begin in a file are one after the other: from *at on, as far as the next file. */
static struct sp_plan_shard *marks_of(const struct sp_marks *marks, size_t *at, size_t *n) {
  struct sp_plan_shard *first = &marks->mark[*at];
  *n = 0;
  while (*at < marks->n && marks->mark[*at].place.file == first->place.file) {
    *at += 1;
    *n += 1;
  }
  return first;
}

/* ---- turning ---- */

/* Tables of scores have no places; directories have others. */
static bool has_files(const struct sp_directory *d) {
  const struct sp_scan *scan = &d->scan;
  return scan->marks.n > 0 && scan->marks.mark[0].has_place && scan->n_files == d->n_archives &&
         !sp_file_is_directory(d->archives[0]);
}

void sp_reframed_turn(struct sp_directory *d) {
  const struct sp_marks *marks = &d->scan.marks;
  for (size_t at = 0, n; has_files(d) && at < marks->n;) {
    struct sp_plan_shard *mark = marks_of(marks, &at, &n);
    const bool far = sp_shard_input_is_forward(mark, NULL, n, NULL);
    for (size_t i = 0; far && i < n; i++) {
      mark[i].place.raw = mark[i].place.offset;
      mark[i].place.stored = 0;
    }
  }
}

/* ---- making ---- */

static bool stop(void *options) {
  return sp_stop_wanted(options);
}

static enum sp_status tell_failure(const struct sp_directory *d, const struct sp_error *why) {
  struct sp_error text;
  sp_fail(&text, SP_EIO, "it stays as it is, and every worker reads it from its start: %s",
          why->message);
  sp_warn(d->run->settings->options, text.message);
  return SP_OK;
}

static enum sp_status reframe(const struct sp_directory *d, size_t file, struct sp_error *err) {
  struct sp_buf to = {0};
  struct sp_file_digest digest;
  struct sp_error why = {0}, text;
  bool may_go_on;
  SP_TRY(path_of(&to, d->path, file, err));
  struct sp_reframe_rules rules = {.from = d->archives[file],
                                   .to = to.data,
                                   .stop = stop,
                                   .context = (void *)d->run->settings->options};
  sp_fail(&text, SP_EINPUT,
          "%s cannot be entered in its middle: it is written once more, in small frames, into %s "
          "until the run is complete",
          rules.from, d->path);
  sp_warn(d->run->settings->options, text.message);
  enum sp_status status = sp_reframe(&rules, &digest, &may_go_on, &why);
  if (status == SP_OK && strcmp(digest.xxh128, d->scan.files[file].digest.xxh128) != 0) {
    unlink(to.data);
    status = sp_fail(&why, SP_EINPUT, "%s: the file changed while it was being read", rules.from);
  }
  sp_buf_release(&to);
  if (status == SP_OK) {
    return SP_OK;
  }
  return may_go_on ? tell_failure(d, &why) : sp_fail(err, status, "%s", why.message);
}

/* One worker alone reads on from shard to shard. */
static bool has_others(const struct sp_score_options *options) {
  return options->prepare || options->parts > 1 || (options->ranks && options->ranks->count > 1);
}

enum sp_status sp_reframed_make(struct sp_directory *d, struct sp_error *err) {
  const struct sp_marks *marks = &d->scan.marks;
  SP_TRY(sp_reframed_remove(d->path, err));
  if (!has_files(d) || !has_others(d->run->settings->options)) {
    return SP_OK;
  }
  for (size_t at = 0, n; at < marks->n;) {
    struct sp_plan_shard *mark = marks_of(marks, &at, &n);
    if (sp_shard_input_is_forward(mark, NULL, n, NULL)) {
      SP_TRY(reframe(d, (size_t)mark->place.file, err));
    }
  }
  return SP_OK;
}

/* ---- finding ---- */

void sp_reframed_release(struct sp_reframed *reframed) {
  for (size_t i = 0; reframed->paths && i < reframed->n; i++) {
    if (sp_reframed_has(reframed, i)) {
      free((void *)reframed->paths[i]);
    }
  }
  free((void *)reframed->paths);
  *reframed = (struct sp_reframed){0};
}

bool sp_reframed_has(const struct sp_reframed *reframed, uint64_t file) {
  return file < reframed->n && reframed->paths[file] != reframed->archives[file];
}

bool sp_reframed_is_lost(struct sp_reframed *reframed, uint64_t file) {
  if (!sp_reframed_has(reframed, file) || sp_file_exists(reframed->paths[file])) {
    return false;
  }
  free((void *)reframed->paths[file]);
  reframed->paths[file] = reframed->archives[file];
  return true;
}

enum sp_status sp_reframed_find(const char *run, const struct sp_score_options *options,
                                struct sp_reframed *out, struct sp_error *err) {
  enum sp_status status = SP_OK;
  *out = (struct sp_reframed){.archives = options->archives};
  out->paths = calloc(options->n_archives, sizeof *out->paths);
  if (!out->paths) {
    return sp_fail_memory(err, sp_mul_sat(options->n_archives, sizeof *out->paths));
  }
  for (; out->n < options->n_archives && status == SP_OK; out->n++) {
    struct sp_buf path = {0};
    status = path_of(&path, run, out->n, err);
    bool there = status == SP_OK && sp_file_exists(path.data);
    out->paths[out->n] = there ? path.data : options->archives[out->n];
    if (!there) {
      sp_buf_release(&path);
    }
  }
  return status;
}

/* ---- removing ---- */

static enum sp_status remove_one(void *run, const char *name, struct sp_error *err) {
  struct sp_buf path = {0};
  if (strncmp(name, PREFIX, strlen(PREFIX)) != 0) {
    return SP_OK;
  }
  enum sp_status status = sp_run_path(&path, run, name, err);
  if (status == SP_OK && unlink(path.data) != 0 && errno != ENOENT) {
    status = sp_fail_errno(err, SP_EIO, "cannot remove %s", path.data);
  }
  sp_buf_release(&path);
  return status;
}

enum sp_status sp_reframed_remove(const char *run, struct sp_error *err) {
  return sp_run_scan(run, remove_one, (void *)run, err);
}
