#include "history.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "float_text.h"
#include "score_line.h"
#include "source.h"

enum sp_status sp_history_add(struct sp_history_line *line, const char *name, double value,
                              struct sp_error *err) {
  if (line->n_numbers == sp_history_max_numbers) {
    return sp_fail(err, SP_EINPUT, "\"numbers\" has more than %d members", sp_history_max_numbers);
  }
  struct sp_history_number *number = &line->numbers[line->n_numbers];
  size_t len = strlen(name);
  if (len == 0 || len >= sizeof number->name) {
    return sp_fail(err, SP_EINPUT, "\"numbers\" has a name that is empty or over %zu bytes",
                   sizeof number->name - 1);
  }
  memcpy(number->name, name, len + 1);
  number->value = isfinite(value) ? value : NAN;
  line->n_numbers++;
  return SP_OK;
}

/* ---- reading ---- */

static bool is_date(const char *text) {
  static const char shape[] = "dddd-dd-ddTdd:dd:ddZ";
  for (size_t i = 0; i < sizeof shape; i++) {
    if (shape[i] == 'd' ? !isdigit((unsigned char)text[i]) : text[i] != shape[i]) {
      return false; /* also at an early end */
    }
  }
  return true;
}

static enum sp_status copy_text(const json_t *root, const char *member, char *out, size_t capacity,
                                struct sp_error *err) {
  const char *text = json_string_value(json_object_get(root, member));
  if (!text || strlen(text) >= capacity) {
    return sp_fail(err, SP_EINPUT, "\"%s\" is missing, no string or too long", member);
  }
  memcpy(out, text, strlen(text) + 1);
  return SP_OK;
}

static enum sp_status read_numbers(const json_t *object, struct sp_history_line *out,
                                   struct sp_error *err) {
  const char *name;
  json_t *value;
  if (!json_is_object(object)) {
    return sp_fail(err, SP_EINPUT, "\"numbers\" is missing or no object");
  }
  json_object_foreach((json_t *)object, name, value) {
    if (!json_is_number(value) && !json_is_null(value)) {
      return sp_fail(err, SP_EINPUT, "\"%.60s\" is neither a number nor null", name);
    }
    SP_TRY(sp_history_add(out, name, json_is_null(value) ? NAN : json_number_value(value), err));
  }
  return SP_OK;
}

static enum sp_status read_root(const json_t *root, struct sp_history_line *out,
                                struct sp_error *err) {
  const json_t *code = json_object_get(root, "exit_code");
  if (!json_is_object(root) || json_object_size(root) != 5) {
    return sp_fail(err, SP_EINPUT,
                   "not an object of date, signature_a, signature_b, exit_code and numbers");
  }
  SP_TRY(copy_text(root, "date", out->date, sizeof out->date, err));
  if (!is_date(out->date)) {
    return sp_fail(err, SP_EINPUT, "\"date\" is not of the form 2025-01-31T23:59:59Z");
  }
  SP_TRY(copy_text(root, "signature_a", out->signature_a, sizeof out->signature_a, err));
  SP_TRY(copy_text(root, "signature_b", out->signature_b, sizeof out->signature_b, err));
  if (!json_is_integer(code) || json_integer_value(code) < 0 || json_integer_value(code) > 1) {
    return sp_fail(err, SP_EINPUT, "\"exit_code\" is neither 0 nor 1");
  }
  out->exit_code = (int)json_integer_value(code);
  return read_numbers(json_object_get(root, "numbers"), out, err);
}

enum sp_status sp_history_parse(struct sp_text text, struct sp_history_line *out,
                                struct sp_error *err) {
  json_error_t fault;
  *out = (struct sp_history_line){0};
  json_t *root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &fault);
  if (!root) {
    return sp_fail(err, SP_EINPUT, "not a JSON object: %s", fault.text);
  }
  enum sp_status status = read_root(root, out, err);
  json_decref(root);
  return status;
}

/* Keeps the last `last` of the lines that were read, as a ring. */
static enum sp_status read_lines(struct sp_source *source, size_t last, struct sp_history *out,
                                 uint64_t *seen, struct sp_error *err) {
  for (*seen = 0;; ++*seen) {
    struct sp_text text;
    struct sp_error inner = {0};
    bool found;
    SP_TRY(sp_source_line(source, SP_HISTORY_CEILING, &text, &found, err));
    if (!found) {
      return SP_OK;
    }
    if (sp_history_parse(text, &out->lines[*seen % last], &inner) != SP_OK) {
      return sp_fail(err, SP_EINPUT, "%s:%" PRIu64 ": %s", sp_source_path(source),
                     sp_source_line_number(source), inner.message);
    }
  }
}

/* A ring of `n` lines whose oldest is at `from`, to oldest first. */
static enum sp_status unroll(struct sp_history *history, size_t from, struct sp_error *err) {
  struct sp_history_line *lines = malloc(history->n * sizeof *lines);
  if (!lines) {
    return sp_fail_memory(err, history->n * sizeof *lines);
  }
  memcpy(lines, history->lines + from, (history->n - from) * sizeof *lines);
  memcpy(lines + (history->n - from), history->lines, from * sizeof *lines);
  free(history->lines);
  history->lines = lines;
  return SP_OK;
}

enum sp_status sp_history_read(const char *path, size_t last, struct sp_history *out,
                               struct sp_error *err) {
  struct sp_source *source;
  uint64_t seen = 0;
  *out = (struct sp_history){0};
  if (!sp_file_exists(path)) {
    return SP_OK;
  }
  out->lines = calloc(last, sizeof *out->lines);
  if (!out->lines) {
    return sp_fail_memory(err, last * sizeof *out->lines);
  }
  enum sp_status status = sp_source_open(path, &source, err);
  if (status == SP_OK) {
    status = read_lines(source, last, out, &seen, err);
    sp_source_close(source);
  }
  out->n = seen < last ? (size_t)seen : last;
  if (status == SP_OK && seen > last) {
    status = unroll(out, (size_t)(seen % last), err);
  }
  if (status != SP_OK) {
    sp_history_release(out);
  }
  return status;
}

void sp_history_release(struct sp_history *history) {
  free(history->lines);
  *history = (struct sp_history){0};
}

/* ---- writing ---- */

static enum sp_status put_member(struct sp_buf *out, const char *before, const char *text,
                                 struct sp_error *err) {
  SP_TRY(sp_buf_printf(out, err, "%s", before));
  return sp_json_string_write(out, (struct sp_text){text, strlen(text)}, err);
}

enum sp_status sp_history_text(const struct sp_history_line *line, struct sp_buf *out,
                               struct sp_error *err) {
  SP_TRY(put_member(out, "{\"date\":", line->date, err));
  SP_TRY(put_member(out, ",\"signature_a\":", line->signature_a, err));
  SP_TRY(put_member(out, ",\"signature_b\":", line->signature_b, err));
  SP_TRY(sp_buf_printf(out, err, ",\"exit_code\":%d,\"numbers\":{", line->exit_code));
  for (size_t i = 0; i < line->n_numbers; i++) {
    char value[SP_DOUBLE_TEXT_MAX];
    sp_double_text(line->numbers[i].value, value);
    SP_TRY(put_member(out, i ? "," : "", line->numbers[i].name, err));
    SP_TRY(sp_buf_printf(out, err, ":%s", value));
  }
  return sp_buf_printf(out, err, "}}\n");
}

/* A last line without its end gets one first, so that two lines never become one. */
static enum sp_status end_last_line(int fd, off_t size, const char *path, struct sp_buf *text,
                                    struct sp_error *err) {
  char last = '\n';
  if (size > 0 && pread(fd, &last, 1, size - 1) != 1) {
    return sp_fail_errno(err, SP_EIO, "cannot read %s", path);
  }
  return last == '\n' ? SP_OK : sp_buf_append(text, "\n", 1, err);
}

static enum sp_status append_locked(int fd, const char *path, const struct sp_history_line *line,
                                    struct sp_buf *text, struct sp_error *err) {
  struct stat info;
  if (fstat(fd, &info) != 0) {
    return sp_fail_errno(err, SP_EIO, "cannot read %s", path);
  }
  SP_TRY(end_last_line(fd, info.st_size, path, text, err));
  SP_TRY(sp_history_text(line, text, err));
  ssize_t written = write(fd, text->data, text->len);
  if (written != (ssize_t)text->len) {
    errno = written < 0 ? errno : ENOSPC;
    enum sp_status status = sp_fail_errno(err, SP_EIO, "cannot append to %s", path);
    int taken_back = written > 0 ? ftruncate(fd, info.st_size) : 0;
    (void)taken_back; /* if not, the next reader names the torn line */
    return status;
  }
  return fsync(fd) == 0 ? SP_OK : sp_fail_errno(err, SP_EIO, "cannot write %s", path);
}

enum sp_status sp_history_append(const char *path, const struct sp_history_line *line,
                                 struct sp_error *err) {
  struct sp_buf text = {0};
  bool existed = sp_file_exists(path);
  int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) {
    return sp_fail_errno(err, SP_EIO, "cannot open %s", path);
  }
  enum sp_status status = flock(fd, LOCK_EX) == 0
                              ? append_locked(fd, path, line, &text, err)
                              : sp_fail_errno(err, SP_EIO, "cannot lock %s", path);
  close(fd);
  sp_buf_release(&text);
  return status == SP_OK && !existed ? sp_file_sync_directory_of(path, err) : status;
}

/* ---- drift ---- */

static double value_of(const struct sp_history_line *line, const char *name) {
  for (size_t i = 0; i < line->n_numbers; i++) {
    if (strcmp(line->numbers[i].name, name) == 0) {
      return line->numbers[i].value;
    }
  }
  return NAN;
}

/* The earlier values (n) of a number, oldest first. */
static size_t gather(const struct sp_history *history, const char *name, double *values) {
  size_t n = 0;
  for (size_t i = 0; i < history->n; i++) {
    values[n] = value_of(&history->lines[i], name);
    n += !isnan(values[n]);
  }
  return n;
}

/* Sums are of differences from the first value: equal values have that very mean, deviation 0. */
static void measure(const double *values, size_t n, struct sp_drift *out) {
  double sum = 0, squares = 0;
  for (size_t i = 0; i < n; i++) {
    sum += values[i] - values[0];
  }
  out->n = n;
  out->mean = values[0] + sum / (double)n;
  for (size_t i = 0; i < n; i++) {
    squares += (values[i] - out->mean) * (values[i] - out->mean);
  }
  out->deviation = n > 1 ? sqrt(squares / (double)(n - 1)) : 0;
}

/* Does every value, the new one included, go beyond the one before it, in the sense of `sign`? */
static bool is_trend(const double *values, size_t n, double value, double sign) {
  if (n + 1 < sp_drift_least_trend) {
    return false;
  }
  for (size_t i = 0; i < n; i++) {
    double next = i + 1 < n ? values[i + 1] : value;
    if (!(sign * next > sign * values[i])) {
      return false;
    }
  }
  return true;
}

static size_t judge(const double *values, size_t n, const struct sp_history_number *number,
                    struct sp_drift *out) {
  struct sp_drift drift = {.name = number->name, .value = number->value};
  size_t found = 0;
  if (n == 0 || isnan(number->value)) {
    return 0;
  }
  measure(values, n, &drift);
  if (n >= sp_drift_least_lines && fabs(drift.value - drift.mean) > 3 * drift.deviation) {
    out[found] = drift;
    out[found++].kind = SP_DRIFT_OUTSIDE;
  }
  bool rising = is_trend(values, n, number->value, 1);
  if (rising || is_trend(values, n, number->value, -1)) {
    out[found] = drift;
    out[found++].kind = rising ? SP_DRIFT_RISING : SP_DRIFT_FALLING;
  }
  return found;
}

enum sp_status sp_history_drift(const struct sp_history *history,
                                const struct sp_history_line *line, struct sp_drift **drifts,
                                size_t *n_drifts, struct sp_error *err) {
  double *values = calloc(history->n + 1, sizeof *values);
  *drifts = calloc(2 * line->n_numbers + 1, sizeof **drifts);
  *n_drifts = 0;
  if (!values || !*drifts) {
    free(values);
    free(*drifts);
    *drifts = NULL;
    return sp_fail_memory(err, (history->n + 1) * sizeof *values);
  }
  for (size_t i = 0; i < line->n_numbers; i++) {
    size_t n = gather(history, line->numbers[i].name, values);
    *n_drifts += judge(values, n, &line->numbers[i], *drifts + *n_drifts);
  }
  free(values);
  return SP_OK;
}
