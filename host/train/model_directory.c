#include "model_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "run_files.h"
#include "run_scan.h"
#include "safetensors_writer.h"

const char *const sp_tokenizer_files[SP_TOKENIZER_FILES] = {
    "vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json"};
static const char *const other_files[] = {"config.json", SP_MODEL_WEIGHTS, "README.md"};

enum { n_other_files = sizeof other_files / sizeof *other_files };

/* One of the files of a model, or such a file half written. */
static bool is_model_file(const char *name) {
  const char *tail = strstr(name, ".tmp.");
  size_t len = tail ? (size_t)(tail - name) : strlen(name);
  for (size_t i = 0; i < SP_TOKENIZER_FILES + n_other_files; i++) {
    const char *known =
        i < SP_TOKENIZER_FILES ? sp_tokenizer_files[i] : other_files[i - SP_TOKENIZER_FILES];
    if (strlen(known) == len && strncmp(known, name, len) == 0) {
      return true;
    }
  }
  return false;
}

static enum sp_status remove_model_file(void *directory, const char *name, struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status = sp_run_path(&path, directory, name, err);
  if (status == SP_OK && is_model_file(name) && unlink(path.data) != 0 && errno != ENOENT) {
    status = sp_fail_errno(err, SP_EIO, "cannot remove %s", path.data);
  }
  sp_buf_release(&path);
  return status;
}

enum sp_status sp_model_directory_remove(const char *directory, struct sp_error *err) {
  SP_TRY(sp_run_scan(directory, remove_model_file, (void *)(uintptr_t)directory, err));
  return rmdir(directory) == 0 ? SP_OK : sp_fail_errno(err, SP_EIO, "cannot remove %s", directory);
}

struct listing {
  const char *directory;
  size_t files;
};

static enum sp_status check_file(void *context, const char *name, struct sp_error *err) {
  struct listing *listing = context;
  listing->files++;
  return is_model_file(name)
             ? SP_OK
             : sp_fail(err, SP_EUSAGE,
                       "%s exists and holds %s, which training did not write: it is not replaced",
                       listing->directory, name);
}

/* An empty directory may be replaced too. */
static enum sp_status check_replaceable(const char *directory, struct sp_error *err) {
  struct listing listing = {.directory = directory};
  struct sp_buf weights = {0};
  char link;
  enum sp_status status;
  if (!sp_file_exists(directory)) {
    return SP_OK;
  }
  if (!sp_file_is_directory(directory) || readlink(directory, &link, 1) >= 0) {
    return sp_fail(err, SP_EUSAGE, "%s exists and is no directory", directory);
  }
  SP_TRY_GOTO(sp_run_scan(directory, check_file, &listing, err), release);
  SP_TRY_GOTO(sp_run_path(&weights, directory, SP_MODEL_WEIGHTS, err), release);
  if (listing.files > 0 && !sp_safetensors_is_ours(weights.data)) {
    status =
        sp_fail(err, SP_EUSAGE, "%s exists and is no model that training wrote: it is not replaced",
                directory);
  }
release:
  sp_buf_release(&weights);
  return status;
}

/* The fallback: two renames, between which no directory has the name. */
static enum sp_status swap_by_steps(const char *temporary, const char *directory,
                                    struct sp_error *err) {
  struct sp_buf old = {0};
  enum sp_status status;
  SP_TRY_GOTO(sp_buf_printf(&old, err, "%s0", temporary), release);
  if (!sp_buf_cstr(&old)) {
    status = sp_fail_memory(err, old.len);
  } else if (rename(directory, old.data) != 0) {
    status = sp_fail_errno(err, SP_EIO, "cannot rename %s", directory);
  } else if (rename(temporary, directory) != 0) {
    status = sp_fail_errno(err, SP_EIO, "cannot rename %s to %s", temporary, directory);
  } else {
    SP_TRY_GOTO(sp_file_sync_directory_of(directory, err), release);
    status = sp_model_directory_remove(old.data, err);
  }
release:
  sp_buf_release(&old);
  return status;
}

enum sp_status sp_model_directory_swap(const char *temporary, const char *directory,
                                       struct sp_error *err) {
  if (rename(temporary, directory) == 0) { /* there was none, or an empty one */
    return sp_file_sync_directory_of(directory, err);
  }
  if (errno != EEXIST && errno != ENOTEMPTY) {
    return sp_fail_errno(err, SP_EIO, "cannot rename %s to %s", temporary, directory);
  }
  if (renameat2(AT_FDCWD, temporary, AT_FDCWD, directory, RENAME_EXCHANGE) != 0) {
    return swap_by_steps(temporary, directory, err);
  }
  SP_TRY(sp_file_sync_directory_of(directory, err));
  return sp_model_directory_remove(temporary, err);
}

struct siblings {
  const char *parent, *base; /* the directory's, "model" say */
};

/* BASE.tmp.PID of a process that was killed. */
static enum sp_status remove_leftover(void *context, const char *name, struct sp_error *err) {
  const struct siblings *of = context;
  size_t len = strlen(of->base);
  struct sp_buf path = {0};
  if (strncmp(name, of->base, len) != 0 || strncmp(name + len, ".tmp.", 5) != 0) {
    return SP_OK;
  }
  const char *pid = name + len + 5;
  if (*pid == '\0' || pid[strspn(pid, "0123456789")] != '\0') {
    return SP_OK;
  }
  enum sp_status status = sp_run_path(&path, of->parent, name, err);
  if (status == SP_OK && sp_file_is_directory(path.data)) {
    status = sp_model_directory_remove(path.data, err);
  }
  sp_buf_release(&path);
  return status;
}

static enum sp_status remove_leftovers(char *directory, struct sp_error *err) {
  char *slash = strrchr(directory, '/');
  struct siblings of = {slash == directory ? "/" : ".", slash ? slash + 1 : directory};
  if (!slash || slash == directory) {
    return sp_run_scan(of.parent, remove_leftover, &of, err);
  }
  *slash = '\0';
  of.parent = directory;
  enum sp_status status = sp_run_scan(of.parent, remove_leftover, &of, err);
  *slash = '/';
  return status;
}

enum sp_status sp_model_directory_prepare(char *directory, const char *temporary,
                                          struct sp_error *err) {
  SP_TRY(check_replaceable(directory, err));
  SP_TRY(sp_file_check_parent(directory, err));
  SP_TRY(remove_leftovers(directory, err));
  return sp_file_make_directory(temporary, err);
}
