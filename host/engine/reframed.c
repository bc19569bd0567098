#include "reframed.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checked.h"
#include "file.h"
#include "reframe.h"
#include "run_files.h"
#include "run_scan.h"
#include "worker.h"

#define PREFIX ".input-"

static enum sp_status path_of(struct sp_buf *out, const struct sp_directory *d, size_t file,
                              struct sp_error *err) {
  SP_TRY(
      sp_buf_printf(out, err, "%s/" PREFIX "%s.zst", d->path, d->scan.files[file].digest.xxh128));
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

/* ---- removing ---- */

struct removal {
  const char *run;
  bool unfinished; /* those alone */
};

static enum sp_status remove_one(void *context, const char *name, struct sp_error *err) {
  const struct removal *removal = context;
  struct sp_buf path = {0};
  (void)err;
  if (strncmp(name, PREFIX, strlen(PREFIX)) == 0 &&
      (!removal->unfinished || strstr(name, ".tmp.")) &&
      sp_run_path(&path, removal->run, name, NULL) == SP_OK) {
    unlink(path.data);
  }
  sp_buf_release(&path);
  return SP_OK;
}

static void remove_all(const char *run, bool unfinished) {
  struct removal removal = {run, unfinished};
  struct sp_error ignored;
  if (sp_run_scan(run, remove_one, &removal, &ignored) != SP_OK) {
    return; /* who finds the run complete tries again */
  }
}

void sp_reframed_remove(const char *run) {
  remove_all(run, false);
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

static enum sp_status tell_failure(const struct sp_directory *d, const char *file,
                                   const struct sp_error *why) {
  struct sp_error text;
  sp_fail(&text, SP_EIO, "%s stays as it is: %s", file, why->message);
  sp_warn(d->run->settings->options, text.message);
  return SP_OK;
}

static enum sp_status reframe(const struct sp_directory *d, size_t file, struct sp_error *err) {
  struct sp_buf to = {0};
  struct sp_error why = {0};
  bool may_go_on = false;
  enum sp_status status = path_of(&to, d, file, &why);
  if (status == SP_OK && !sp_file_exists(to.data)) {
    struct sp_reframe_rules rules = {.from = d->archives[file],
                                     .to = to.data,
                                     .xxh128 = d->scan.files[file].digest.xxh128,
                                     .stop = stop,
                                     .context = (void *)d->run->settings->options};
    status = sp_reframe(&rules, &may_go_on, &why);
  }
  sp_buf_release(&to);
  if (status == SP_OK) {
    return SP_OK;
  }
  return may_go_on ? tell_failure(d, d->archives[file], &why)
                   : sp_fail(err, status, "%s", why.message);
}

static void tell_beginning(const struct sp_directory *d, size_t file) {
  struct sp_error text;
  sp_fail(&text, SP_EINPUT,
          "%s cannot be entered in its middle: such files are written once more, in small frames, "
          "into %s until the run is complete",
          d->archives[file], d->path);
  sp_warn(d->run->settings->options, text.message);
}

static bool has(const struct sp_directory *d, const char *name) {
  struct sp_buf path = {0};
  bool there = sp_run_path(&path, d->path, name, NULL) == SP_OK && sp_file_exists(path.data);
  sp_buf_release(&path);
  return there;
}

/* Who slept through its lease may meet the run made by another; who died left a file that is as large as the
 * archive. */
static enum sp_status make_all(const struct sp_directory *d, struct sp_error *err) {
  const struct sp_marks *marks = &d->scan.marks;
  bool told = false;
  if (!has(d, SP_RUN_MANIFEST)) {
    remove_all(d->path, true);
  }
  for (size_t at = 0, n; at < marks->n && !has(d, SP_RUN_MANIFEST);) {
    const struct sp_plan_shard *mark = marks_of(marks, &at, &n);
    if (sp_shard_input_is_forward(mark, NULL, n, NULL)) {
      if (!told) {
        tell_beginning(d, (size_t)mark->place.file);
      }
      told = true;
      SP_TRY(reframe(d, (size_t)mark->place.file, err));
    }
  }
  return SP_OK;
}

enum sp_status sp_reframed_make(struct sp_directory *d, struct sp_error *err) {
  if (!has_files(d) || !sp_has_other_workers(d->run->settings->options)) {
    return SP_OK;
  }
  enum sp_status status = make_all(d, err);
  if (status != SP_OK && !has(d, SP_RUN_MANIFEST)) {
    sp_reframed_remove(d->path);
  }
  return status;
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

bool sp_reframed_drop_lost(struct sp_reframed *reframed) {
  bool lost = false;
  for (size_t i = 0; i < reframed->n; i++) {
    if (sp_reframed_has(reframed, i) && !sp_file_exists(reframed->paths[i])) {
      free((void *)reframed->paths[i]);
      reframed->paths[i] = reframed->archives[i];
      lost = true;
    }
  }
  return lost;
}

static enum sp_status find_one(const struct sp_directory *d, size_t file, const char **path,
                               struct sp_error *err) {
  struct sp_buf own = {0};
  const char *digest = d->scan.files[file].digest.xxh128; /* from run.json */
  if (strspn(digest, "0123456789abcdef") != strlen(digest) || !*digest) {
    return SP_OK;
  }
  SP_TRY(path_of(&own, d, file, err));
  if (sp_file_exists(own.data)) {
    *path = own.data;
  } else {
    sp_buf_release(&own);
  }
  return SP_OK;
}

/* Only files whose places all count from the first byte, and some are far. */
enum sp_status sp_reframed_find(const struct sp_directory *d, const struct sp_plan_shard *plan,
                                struct sp_reframed *out, struct sp_error *err) {
  *out = (struct sp_reframed){.archives = d->archives, .n = d->n_archives};
  out->paths = calloc(d->n_archives, sizeof *out->paths);
  if (!out->paths) {
    return sp_fail_memory(err, sp_mul_sat(d->n_archives, sizeof *out->paths));
  }
  memcpy(out->paths, d->archives, d->n_archives * sizeof *out->paths);
  for (size_t at = 0; at < d->shards && plan[at].has_place && d->scan.n_files == d->n_archives;) {
    const uint64_t file = plan[at].place.file;
    bool turned = file < d->n_archives, far = false;
    for (; at < d->shards && plan[at].place.file == file; at++) {
      turned = turned && plan[at].place.stored == 0;
      far = far || plan[at].place.raw > 0;
    }
    if (turned && far) {
      SP_TRY(find_one(d, (size_t)file, &out->paths[file], err));
    }
  }
  return SP_OK;
}
