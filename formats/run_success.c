#include "run_success.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "file.h"
#include "run_files.h"
#include "run_manifest.h"
#include "shard.h"

/* A line is "<16 hexadecimal digits>  <name>\n"; the last is of _SUCCESS and hashes the lines
 * before it. The text follows from the other files alone, so that checking is writing and
 * comparing. */

#define FILE_CEILING ((size_t)1 << 30)

static enum sp_status append_line(struct sp_buf *text, uint64_t hash, const char *name,
                                  struct sp_error *err) {
  return sp_buf_printf(text, err, "%016" PRIx64 "  %s\n", hash, name);
}

/* Appends the line of the file `path`, whose name in the run is what follows the last slash. */
static enum sp_status append_file(struct sp_buf *text, const char *path, struct sp_error *err) {
  struct sp_buf bytes = {0};
  bool found;
  enum sp_status status;
  SP_TRY_GOTO(sp_run_file_read(path, FILE_CEILING, &bytes, &found, err), release);
  if (!found) {
    status = sp_fail(err, SP_EDAMAGED, "%s is missing", path);
    goto release;
  }
  status = append_line(text, XXH64(bytes.data, bytes.len, 0), strrchr(path, '/') + 1, err);
release:
  sp_buf_release(&bytes);
  return status;
}

/* Appends the line of run.json (position 0) or of the marker of shard position - 1. */
static enum sp_status append_position(struct sp_buf *text, const char *run, size_t shards,
                                      size_t position, struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status;
  SP_TRY_GOTO(position == 0 ? sp_run_path(&path, run, SP_RUN_MANIFEST, err)
                            : sp_shard_path(&path, run, position - 1, shards, SP_SHARD_DONE, err),
              release);
  status = append_file(text, path.data, err);
release:
  sp_buf_release(&path);
  return status;
}

static enum sp_status append_own_line(struct sp_buf *text, struct sp_error *err) {
  return append_line(text, XXH64(text->data, text->len, 0), SP_RUN_SUCCESS, err);
}

/* The same of a marker whose bytes are known by their hash. */
static enum sp_status append_marker(struct sp_buf *text, size_t shard, size_t shards, uint64_t hash,
                                    struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status;
  SP_TRY_GOTO(sp_shard_path(&path, "", shard, shards, SP_SHARD_DONE, err), release);
  status = append_line(text, hash, strrchr(path.data, '/') + 1, err);
release:
  sp_buf_release(&path);
  return status;
}

/* markers NULL: they are read. */
static enum sp_status write_lines(const char *run, size_t shards, const uint64_t *markers,
                                  struct sp_error *err) {
  struct sp_buf path = {0}, text = {0};
  enum sp_status status;
  SP_TRY_GOTO(sp_run_path(&path, run, SP_RUN_SUCCESS, err), release);
  SP_TRY_GOTO(append_position(&text, run, shards, 0, err), release);
  for (size_t k = 0; k < shards; k++) {
    SP_TRY_GOTO(markers ? append_marker(&text, k, shards, markers[k], err)
                        : append_position(&text, run, shards, k + 1, err),
                release);
  }
  SP_TRY_GOTO(append_own_line(&text, err), release);
  status = sp_file_replace(path.data, text.data, text.len, err);
release:
  sp_buf_release(&path);
  sp_buf_release(&text);
  return status;
}

enum sp_status sp_run_success_write(const char *run, size_t shards, struct sp_error *err) {
  return write_lines(run, shards, NULL, err);
}

enum sp_status sp_run_success_seal(const char *run, size_t shards, const uint64_t *markers,
                                   struct sp_error *err) {
  return write_lines(run, shards, markers, err);
}

bool sp_run_success_is_whole(struct sp_text text) {
  enum { own_line = 16 + 2 + sizeof SP_RUN_SUCCESS - 1 + 1 };
  if (text.len < own_line) {
    return false;
  }
  size_t before = text.len - own_line;
  char line[own_line + 1];
  snprintf(line, sizeof line, "%016" PRIx64 "  " SP_RUN_SUCCESS "\n",
           (uint64_t)XXH64(text.data, before, 0));
  return memcmp(text.data + before, line, own_line) == 0;
}

/* Compares line by line, so that the message can name the file. */
static enum sp_status compare_lines(const char *run, size_t shards, struct sp_text text,
                                    const char *path, struct sp_error *err) {
  struct sp_buf line = {0};
  enum sp_status status = SP_OK;
  size_t at = 0;
  for (size_t position = 0; position <= shards; position++) {
    sp_buf_clear(&line);
    SP_TRY_GOTO(append_position(&line, run, shards, position, err), release);
    if (text.len - at < line.len || memcmp(text.data + at, line.data, line.len) != 0) {
      enum { name_at = 18 };
      status = sp_fail(err, SP_EDAMAGED,
                       "%s/%.*s has changed since the run was finished, or %s is of another run",
                       run, (int)(line.len - name_at - 1), line.data + name_at, path);
      goto release;
    }
    at += line.len;
  }
  const char *own = memchr(text.data + at, '\n', text.len - at);
  if (!own || own + 1 != text.data + text.len) {
    status = sp_fail(err, SP_EDAMAGED, "%s lists more files than the run has", path);
  }
release:
  sp_buf_release(&line);
  return status;
}

enum sp_status sp_run_success_check(const char *run, size_t shards, bool *found,
                                    struct sp_error *err) {
  struct sp_buf path = {0}, text = {0};
  enum sp_status status;
  *found = false;
  SP_TRY_GOTO(sp_run_path(&path, run, SP_RUN_SUCCESS, err), release);
  SP_TRY_GOTO(sp_run_file_read(path.data, FILE_CEILING, &text, found, err), release);
  if (!*found) {
    goto release;
  }
  struct sp_text all = {text.data, text.len};
  status = sp_run_success_is_whole(all)
               ? compare_lines(run, shards, all, path.data, err)
               : sp_fail(err, SP_EDAMAGED, "%s is damaged: its own hash is wrong", path.data);
release:
  sp_buf_release(&path);
  sp_buf_release(&text);
  return status;
}
