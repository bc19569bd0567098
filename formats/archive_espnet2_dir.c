/* archive_espnet2_dir.c - finds the groups of {k}best_recog lists under a directory. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive_espnet2.h"
#include "file.h"

enum { most_lists = 1000, most_groups = 100000 };

/* The number in "<prefix>N<suffix>", 0 when `name` is not of this shape or N is not plain. */
static size_t number_in(const char *name, const char *prefix, const char *suffix) {
  size_t skip = strlen(prefix);
  if (strncmp(name, prefix, skip) != 0 || name[skip] == '0') {
    return 0;
  }
  size_t number = 0;
  const char *at = name + skip;
  for (; *at >= '0' && *at <= '9' && number <= most_groups; at++) {
    number = number * 10 + (size_t)(*at - '0');
  }
  return strcmp(at, suffix) == 0 ? number : 0;
}

static enum sp_status fail_gap(const char *dir, const char *prefix, const char *suffix,
                               size_t highest, struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status = SP_OK;
  for (size_t n = 1; n < highest && status == SP_OK; n++) {
    sp_buf_clear(&path);
    status = sp_buf_printf(&path, err, "%s/%s%zu%s", dir, prefix, n, suffix);
    if (status == SP_OK && !sp_file_exists(sp_buf_cstr(&path))) {
      status = sp_fail(err, SP_EINPUT, "%s is missing, but %s%zu%s is there", path.data, prefix,
                       highest, suffix);
    }
  }
  sp_buf_release(&path);
  return status;
}

/* Entries "<prefix>1<suffix>" to "<prefix>N<suffix>": *count is N, 0 when there are none. */
static enum sp_status count_numbered(const char *dir, const char *prefix, const char *suffix,
                                     size_t most, size_t *count, struct sp_error *err) {
  DIR *stream = opendir(dir);
  if (!stream) {
    return sp_fail_errno(err, SP_EIO, "cannot open directory %s", dir);
  }
  size_t highest = 0;
  *count = 0;
  for (struct dirent *entry; (entry = readdir(stream));) {
    size_t number = number_in(entry->d_name, prefix, suffix);
    *count += number > 0;
    highest = number > highest ? number : highest;
  }
  closedir(stream);
  if (highest > most) {
    return sp_fail(err, SP_EINPUT, "%s/%s%zu%s: numbers beyond %zu are not read", dir, prefix,
                   highest, suffix, most);
  }
  return highest == *count ? SP_OK : fail_gap(dir, prefix, suffix, highest, err);
}

enum sp_status sp_espnet2_count_lists(const char *dir, size_t *n_lists, struct sp_error *err) {
  return count_numbered(dir, "", "best_recog", most_lists, n_lists, err);
}

void sp_espnet2_dirs_release(struct sp_espnet2_dirs *dirs) {
  for (size_t i = 0; i < dirs->n_dirs; i++) {
    free(dirs->dirs[i]);
  }
  free(dirs->dirs);
  free(dirs->ref_path);
  *dirs = (struct sp_espnet2_dirs){0};
}

/* The path of dir/name, to be freed. */
static enum sp_status join(const char *dir, const char *name, char **out, struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status = sp_buf_printf(&path, err, "%s/%s", dir, name);
  if (status == SP_OK && sp_buf_cstr(&path)) {
    *out = path.data;
    return SP_OK;
  }
  sp_buf_release(&path);
  return status == SP_OK ? sp_fail_memory(err, strlen(dir)) : status;
}

/* Adds dir/output.<job>, or `dir` itself for job 0. */
static enum sp_status add_dir(struct sp_espnet2_dirs *out, const char *dir, size_t job,
                              struct sp_error *err) {
  size_t bytes = (out->n_dirs + 1) * sizeof *out->dirs;
  char **dirs = realloc(out->dirs, bytes);
  if (!dirs) {
    return sp_fail_memory(err, bytes);
  }
  out->dirs = dirs;
  char name[32];
  snprintf(name, sizeof name, "output.%zu", job);
  if (job > 0) {
    SP_TRY(join(dir, name, &dirs[out->n_dirs], err));
  } else if (!(dirs[out->n_dirs] = strdup(dir))) {
    return sp_fail_memory(err, strlen(dir));
  }
  out->n_dirs++;
  return SP_OK;
}

/* The groups of `dir` itself: its lists, or else its output.J. */
static enum sp_status find_groups(const char *dir, struct sp_espnet2_dirs *out,
                                  struct sp_error *err) {
  size_t n_lists, n_jobs;
  SP_TRY(sp_espnet2_count_lists(dir, &n_lists, err));
  if (n_lists > 0) {
    return add_dir(out, dir, 0, err);
  }
  SP_TRY(count_numbered(dir, "output.", "", most_groups, &n_jobs, err));
  for (size_t job = 1; job <= n_jobs; job++) {
    SP_TRY(add_dir(out, dir, job, err));
    SP_TRY(sp_espnet2_count_lists(out->dirs[job - 1], &n_lists, err));
    if (n_lists == 0) {
      return sp_fail(err, SP_EINPUT, "%s holds no 1best_recog", out->dirs[job - 1]);
    }
  }
  return SP_OK;
}

/* dir/ref.text if it exists and no reference file is found yet. */
static enum sp_status find_refs(const char *dir, struct sp_espnet2_dirs *out,
                                struct sp_error *err) {
  if (out->ref_path) {
    return SP_OK;
  }
  char *path = NULL;
  SP_TRY(join(dir, "ref.text", &path, err));
  if (sp_file_exists(path)) {
    out->ref_path = path;
  } else {
    free(path);
  }
  return SP_OK;
}

static enum sp_status find(const char *path, char **logdir, char **parent,
                           struct sp_espnet2_dirs *out, struct sp_error *err) {
  SP_TRY(join(path, "logdir", logdir, err));
  SP_TRY(join(path, "..", parent, err));
  SP_TRY(find_groups(path, out, err));
  bool in_logdir = out->n_dirs == 0 && sp_file_exists(*logdir);
  if (in_logdir) {
    SP_TRY(find_groups(*logdir, out, err));
  }
  if (out->n_dirs == 0) {
    return sp_fail(err, SP_EINPUT,
                   "%s: no 1best_recog, output.1 or logdir in this directory: not "
                   "an ESPnet2 decoding directory",
                   path);
  }
  SP_TRY(find_refs(path, out, err));
  bool is_logdir = !in_logdir && strcmp(out->dirs[0], path) != 0;
  return is_logdir ? find_refs(*parent, out, err) : SP_OK;
}

enum sp_status sp_espnet2_find(const char *path, struct sp_espnet2_dirs *out,
                               struct sp_error *err) {
  char *logdir = NULL, *parent = NULL;
  *out = (struct sp_espnet2_dirs){0};
  enum sp_status status = find(path, &logdir, &parent, out, err);
  if (status != SP_OK) {
    sp_espnet2_dirs_release(out);
  }
  free(logdir);
  free(parent);
  return status;
}
