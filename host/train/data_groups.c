#include "data_groups.h"

#include <stdlib.h>

#include "checked.h"
#include "score_run.h"

struct maker {
  const struct sp_data_input *input;
  struct sp_data_groups *groups;
  struct sp_score_run **runs; /* (n_teacher) */
  bool *used;                 /* (n_teacher) */
};

static bool read_all(const struct sp_score_run *run, const struct sp_archive_file *files,
                     size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (!sp_score_run_read_file(run, files[i].digest.xxh128)) {
      return false;
    }
  }
  return true;
}

/* The first run that read the file, or all files of the directory. */
static enum sp_status find_run(struct maker *maker, const char *path, size_t *run,
                               struct sp_error *err) {
  const struct sp_archive_file *files;
  struct sp_archive *archive;
  size_t n;
  SP_TRY(sp_archive_open(&path, 1, maker->input->format, &archive, err));
  enum sp_status status = sp_archive_files(archive, &files, &n, err);
  for (*run = 0; status == SP_OK && *run < maker->input->n_teacher; (*run)++) {
    if (read_all(maker->runs[*run], files, n)) {
      break;
    }
  }
  if (status == SP_OK && *run == maker->input->n_teacher) {
    status = sp_fail(err, SP_EINPUT,
                     "%s is not what the teacher scored: %s%s read other files (by their hashes)",
                     path, maker->input->teacher[0], maker->input->n_teacher > 1 ? ", .." : "");
  }
  sp_archive_close(archive);
  return status;
}

static enum sp_status open_runs(struct maker *maker, struct sp_error *err) {
  for (size_t i = 0; i < maker->input->n_teacher; i++) {
    SP_TRY(sp_score_run_open(maker->input->teacher[i], &maker->runs[i], err));
  }
  return SP_OK;
}

static enum sp_status match(struct maker *maker, struct sp_error *err) {
  const struct sp_data_input *input = maker->input;
  struct sp_data_groups *groups = maker->groups;
  SP_TRY(open_runs(maker, err));
  for (size_t i = 0; i < input->n_files; i++) {
    size_t run;
    SP_TRY(find_run(maker, input->files[i], &run, err));
    if (i == 0 || groups->group[groups->n - 1].teacher != input->teacher[run]) {
      groups->group[groups->n++] = (struct sp_data_group){i, 0, input->teacher[run]};
    }
    groups->group[groups->n - 1].n++;
    maker->used[run] = true;
  }
  for (size_t i = 0; i < input->n_teacher; i++) {
    if (!maker->used[i]) {
      return sp_fail(err, SP_EINPUT, "%s scored none of the files (by their hashes)",
                     input->teacher[i]);
    }
  }
  return SP_OK;
}

static enum sp_status match_runs(struct maker *maker, struct sp_error *err) {
  size_t n = maker->input->n_teacher;
  maker->runs = calloc(n, sizeof *maker->runs);
  maker->used = calloc(n, sizeof *maker->used);
  enum sp_status status =
      maker->runs && maker->used ? match(maker, err) : sp_fail_memory(err, n * sizeof(void *));
  for (size_t i = 0; maker->runs && i < n; i++) {
    sp_score_run_close(maker->runs[i]);
  }
  free(maker->runs);
  free(maker->used);
  return status;
}

enum sp_status sp_data_groups_make(struct sp_data_groups *groups, const struct sp_data_input *input,
                                   struct sp_error *err) {
  *groups = (struct sp_data_groups){.group = calloc(input->n_files + 1, sizeof *groups->group)};
  if (!groups->group) {
    return sp_fail_memory(err, sp_mul_sat(input->n_files, sizeof *groups->group));
  }
  if (input->n_files == 0) {
    return SP_OK;
  }
  if (input->n_teacher > 0) {
    struct maker maker = {.input = input, .groups = groups};
    return match_runs(&maker, err);
  }
  groups->n = input->single ? input->n_files : 1;
  for (size_t i = 0; i < groups->n; i++) {
    groups->group[i] = (struct sp_data_group){i, input->single ? 1 : input->n_files, NULL};
  }
  return SP_OK;
}

void sp_data_groups_release(struct sp_data_groups *groups) {
  free(groups->group);
  *groups = (struct sp_data_groups){0};
}
