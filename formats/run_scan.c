#include "run_scan.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "run_files.h"
#include "run_manifest.h"
#include "run_plan.h"

static bool starts_with(const char *text, const char *prefix) {
  return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Writes the name out again from the index that it begins with and compares. */
bool sp_run_shard_name(const char *name, size_t shards, size_t *index, bool *marker) {
  static const char *const suffixes[] = {SP_SHARD_DATA, SP_SHARD_DONE};
  if (!starts_with(name, SP_SHARD_PREFIX)) {
    return false;
  }
  const char *digits = name + strlen(SP_SHARD_PREFIX);
  unsigned long at = *digits >= '0' && *digits <= '9' ? strtoul(digits, NULL, 10) : shards;
  for (size_t k = 0; at < shards && k < sizeof suffixes / sizeof suffixes[0]; k++) {
    char again[96];
    snprintf(again, sizeof again, SP_SHARD_PREFIX "%05lu-of-%05zu%s", at, shards, suffixes[k]);
    if (strcmp(again, name) == 0) {
      *index = at;
      *marker = k == 1;
      return true;
    }
  }
  return false;
}

/* NAME.tmp.N, as sp_file_replace calls it. */
static bool is_replacement(const char *name) {
  const char *tail = strstr(name, ".tmp.");
  return tail && tail[5] != '\0' && tail[5 + strspn(tail + 5, "0123456789")] == '\0' &&
         (starts_with(name, SP_RUN_MANIFEST ".") || starts_with(name, SP_RUN_SUCCESS ".") ||
          starts_with(name, SP_RUN_PLAN ".") || starts_with(name, SP_SHARD_PREFIX));
}

enum sp_run_name sp_run_name_of(const char *name, size_t shards) {
  if (starts_with(name, SP_TEMPORARY_PREFIX SP_SHARD_PREFIX) ||
      starts_with(name, SP_TEMPORARY_LOCK) || starts_with(name, SP_TEMPORARY_LOOK) ||
      is_replacement(name)) {
    return SP_NAME_TEMPORARY;
  }
  if (!starts_with(name, SP_SHARD_PREFIX)) {
    return SP_NAME_OTHER;
  }
  size_t index;
  bool marker;
  return sp_run_shard_name(name, shards, &index, &marker) ? SP_NAME_SHARD : SP_NAME_FOREIGN;
}

enum sp_status sp_run_scan(const char *run, sp_run_scan_fn each, void *context,
                           struct sp_error *err) {
  DIR *folder = opendir(run);
  if (!folder) {
    return sp_fail_errno(err, SP_EIO, "cannot open the directory %s", run);
  }
  enum sp_status status = SP_OK;
  struct dirent *entry;
  while (status == SP_OK && (errno = 0, entry = readdir(folder))) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
      status = each(context, entry->d_name, err);
    }
  }
  if (status == SP_OK && errno != 0) {
    status = sp_fail_errno(err, SP_EIO, "cannot read the directory %s", run);
  }
  closedir(folder);
  return status;
}

static enum sp_status remove_temporary(void *context, const char *name, struct sp_error *err) {
  if (sp_run_name_of(name, 0) != SP_NAME_TEMPORARY) {
    return SP_OK;
  }
  struct sp_buf path = {0};
  enum sp_status status;
  SP_TRY_GOTO(sp_run_path(&path, context, name, err), release);
  if (unlink(path.data) != 0 && errno != ENOENT) {
    status = sp_fail_errno(err, SP_EIO, "cannot remove %s", path.data);
  }
release:
  sp_buf_release(&path);
  return status;
}

enum sp_status sp_run_sweep(const char *run, struct sp_error *err) {
  return sp_run_scan(run, remove_temporary, (void *)run, err);
}

enum sp_status sp_run_look_afresh(const char *run, struct sp_error *err) {
  int fd;
  SP_TRY(sp_file_temporary(run, SP_TEMPORARY_LOOK, &fd, err));
  close(fd);
  return SP_OK;
}
