/* data_groups.h - which files are read as one archive, and with which teacher; private to data*.c.
 *
 * mlm       each file by itself: text, whose lines are numbered
 * teachers  successive files that one run scored are one archive, as they were to the run, so that its
 *           ids are those of the archive
 * else      all files are one archive */
#ifndef SP_TRAIN_DATA_GROUPS_H
#define SP_TRAIN_DATA_GROUPS_H

#include "archive.h"

struct sp_data_input {
  const char *const *files; /* (n_files) */
  size_t n_files;
  const char *const *teacher; /* (n_teacher) */
  size_t n_teacher;
  enum sp_archive_format format;
  bool single; /* each file by itself */
};

struct sp_data_group {
  size_t from, n;      /* files */
  const char *teacher; /* NULL: none */
};

struct sp_data_groups {
  struct sp_data_group *group; /* (n) */
  size_t n;
};

/* SP_EINPUT when a file was scored by none of the runs (by the hash of its bytes), or a run scored none
 * of the files. */
SP_MUST_CHECK enum sp_status sp_data_groups_make(struct sp_data_groups *groups,
                                                 const struct sp_data_input *input,
                                                 struct sp_error *err);
void sp_data_groups_release(struct sp_data_groups *groups);

#endif
