#include "state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checked.h"
#include "file.h"
#include "run_files.h"
#include "run_scan.h"
#include "state_file.h"

enum { name_bytes = 48, steps_ceiling = 1 << 20 };

static void print_name(char out[name_bytes], uint64_t step) {
  snprintf(out, name_bytes, "state-%08" PRIu64 ".sptrain", step);
}

/* Writes the name out again from the number in it and compares; `temporary`: NAME.tmp.PID. */
static bool read_name(const char *name, uint64_t *step, bool *temporary) {
  char again[name_bytes];
  const char *tail = strstr(name, ".tmp.");
  size_t len = tail ? (size_t)(tail - name) : strlen(name);
  if (strncmp(name, "state-", 6) != 0 || name[6] < '0' || name[6] > '9') {
    return false;
  }
  errno = 0;
  *step = strtoull(name + 6, NULL, 10);
  *temporary = tail != NULL;
  print_name(again, *step);
  return errno == 0 && strlen(again) == len && strncmp(again, name, len) == 0 &&
         (!tail || tail[5 + strspn(tail + 5, "0123456789")] == '\0');
}

struct steps {
  const char *directory;
  uint64_t *items; /* (count); owned */
  size_t count, room;
};

static enum sp_status remove_file(const char *directory, const char *name, struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status;
  SP_TRY_GOTO(sp_run_path(&path, directory, name, err), release);
  if (unlink(path.data) != 0 && errno != ENOENT) {
    status = sp_fail_errno(err, SP_EIO, "cannot remove %s", path.data);
  }
release:
  sp_buf_release(&path);
  return status;
}

static enum sp_status note_step(void *context, const char *name, struct sp_error *err) {
  struct steps *steps = context;
  uint64_t step;
  bool temporary;
  if (!read_name(name, &step, &temporary) || temporary) {
    return SP_OK;
  }
  if (steps->count == steps_ceiling) {
    return sp_fail(err, SP_EIO, "%s holds too many states", steps->directory);
  }
  if (steps->count == steps->room) {
    size_t room = sp_max_size(16, 2 * steps->room);
    uint64_t *grown = realloc(steps->items, room * sizeof *grown);
    if (!grown) {
      return sp_fail_memory(err, room * sizeof *grown);
    }
    steps->items = grown;
    steps->room = room;
  }
  steps->items[steps->count++] = step;
  return SP_OK;
}

static int newest_first(const void *left, const void *right) {
  uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return (a < b) - (a > b);
}

/* The steps of the directory's states, newest first. */
static enum sp_status list_steps(const char *directory, struct steps *steps, struct sp_error *err) {
  *steps = (struct steps){.directory = directory};
  SP_TRY(sp_run_scan(directory, note_step, steps, err));
  if (steps->count > 0) {
    qsort(steps->items, steps->count, sizeof *steps->items, newest_first);
  }
  return SP_OK;
}

static enum sp_status remove_temporary(void *context, const char *name, struct sp_error *err) {
  uint64_t step;
  bool temporary;
  return read_name(name, &step, &temporary) && temporary ? remove_file(context, name, err) : SP_OK;
}

/* Those of later steps are what a load passed over: they are not of this run any more. */
static enum sp_status remove_others(const char *directory, uint64_t step, size_t keep,
                                    struct sp_error *err) {
  struct steps steps;
  size_t kept = 0;
  enum sp_status status;
  SP_TRY_GOTO(list_steps(directory, &steps, err), free_steps);
  for (size_t i = 0; i < steps.count; i++) {
    char name[name_bytes];
    if (steps.items[i] <= step && kept++ < sp_max_size(keep, 1)) {
      continue;
    }
    print_name(name, steps.items[i]);
    SP_TRY_GOTO(remove_file(directory, name, err), free_steps);
  }
  status = sp_run_scan(directory, remove_temporary, (void *)(uintptr_t)directory, err);
free_steps:
  free(steps.items);
  return status;
}

enum sp_status sp_state_save(const char *directory, uint64_t step, const json_t *facts,
                             const struct sp_train_arrays *arrays, size_t keep,
                             struct sp_error *err) {
  struct sp_buf path = {0};
  char name[name_bytes];
  enum sp_status status;
  print_name(name, step);
  SP_TRY_GOTO(sp_run_path(&path, directory, name, err), release);
  SP_TRY_GOTO(sp_state_file_write(path.data, step, facts, arrays, err), release);
  status = remove_others(directory, step, keep, err);
release:
  sp_buf_release(&path);
  return status;
}

static enum sp_status load_step(const char *directory, uint64_t step,
                                struct sp_train_arrays *arrays, json_t **facts,
                                struct sp_error *err) {
  struct sp_buf path = {0};
  struct sp_text bytes = {0};
  char name[name_bytes];
  enum sp_status status;
  print_name(name, step);
  SP_TRY_GOTO(sp_run_path(&path, directory, name, err), release);
  SP_TRY_GOTO(sp_file_map(path.data, SP_EDAMAGED, &bytes, err), release);
  status = sp_state_file_parse(bytes, path.data, step, arrays, facts, err);
release:
  sp_file_unmap(bytes);
  sp_buf_release(&path);
  return status;
}

/* Appends a line's part to the note, cut at the room. */
static void add_note(char *note, size_t room, const char *text) {
  size_t len = room > 0 ? strlen(note) : 0;
  if (room > 0) {
    snprintf(note + len, room - len, "%s%s", len ? "; " : "", text);
  }
}

enum sp_status sp_state_load(const char *directory, struct sp_train_arrays *arrays, json_t **facts,
                             char *note, size_t room, struct sp_error *err) {
  struct steps steps;
  struct sp_error fault = {0};
  enum sp_status status;
  *facts = NULL;
  if (room > 0) {
    note[0] = '\0';
  }
  SP_TRY_GOTO(list_steps(directory, &steps, err), free_steps);
  for (size_t i = 0; i < steps.count; i++) {
    status = load_step(directory, steps.items[i], arrays, facts, &fault);
    if (status != SP_EDAMAGED) {
      break;
    }
    add_note(note, room, fault.message);
  }
  if (status == SP_EDAMAGED) {
    sp_fail(err, status, "%s holds no whole state: %s", directory, fault.message);
  } else if (status != SP_OK) {
    sp_fail(err, status, "%s", fault.message);
  }
free_steps:
  free(steps.items);
  return status;
}
