#include "output.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void sp_say(const char *format, ...) {
  char text[2048];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  fprintf(stderr, "secondpass: %s\n", text);
}

void sp_row(const char *label, const char *format, ...) {
  printf("%-26s ", label);
  va_list args;
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  putchar('\n');
}

bool sp_is_terminal(FILE *stream) {
  const char *term = getenv("TERM");
  return term && strcmp(term, "dumb") != 0 && isatty(fileno(stream));
}

bool sp_use_colour(FILE *stream) {
  const char *no_color = getenv("NO_COLOR");
  return !(no_color && *no_color) && sp_is_terminal(stream);
}

enum sp_status sp_stdout_close(struct sp_error *err) {
  errno = 0;
  if (fflush(stdout) != 0 || ferror(stdout)) {
    if (errno == 0) {
      errno = EIO;
    }
    return sp_fail_errno(err, SP_EIO, "standard output");
  }
  return SP_OK;
}

struct sp_number sp_number(uint64_t value) {
  char digits[24];
  size_t n = (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
  struct sp_number out;
  size_t used = 0;
  for (size_t i = 0; i < n; i++) {
    if (i > 0 && (n - i) % 3 == 0) {
      out.text[used++] = ',';
    }
    out.text[used++] = digits[i];
  }
  out.text[used] = '\0';
  return out;
}

struct sp_phrase sp_count_of(uint64_t value, const char *one, const char *many) {
  struct sp_phrase out;
  snprintf(out.text, sizeof out.text, "%s %s", sp_number(value).text, value == 1 ? one : many);
  return out;
}

struct sp_number sp_duration(double seconds) {
  struct sp_number out;
  if (!(seconds < 1e15)) {
    snprintf(out.text, sizeof out.text, "unknown");
  } else if (seconds < 9.995) {
    snprintf(out.text, sizeof out.text, "%.2f s", seconds);
  } else if (seconds < 99.95) {
    snprintf(out.text, sizeof out.text, "%.1f s", seconds);
  } else {
    unsigned long long whole = (unsigned long long)(seconds + 0.5);
    if (whole < 3600) {
      snprintf(out.text, sizeof out.text, "%llu min %02llu s", whole / 60, whole % 60);
    } else {
      snprintf(out.text, sizeof out.text, "%llu h %02llu min", whole / 3600, whole / 60 % 60);
    }
  }
  return out;
}

struct sp_number sp_bytes(uint64_t bytes) {
  static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  struct sp_number out;
  if (bytes < 1024) {
    snprintf(out.text, sizeof out.text, "%llu bytes", (unsigned long long)bytes);
    return out;
  }
  double value = (double)bytes / 1024;
  size_t unit = 0;
  while (value >= 1023.95) {
    value /= 1024;
    unit++;
  }
  snprintf(out.text, sizeof out.text, "%.1f %s", value, units[unit]);
  return out;
}

enum sp_status sp_stream_write(struct sp_stream_out *out, const void *data, size_t len,
                               struct sp_error *err) {
  const char *at = data;
  while (len > 0) {
    ssize_t wrote = write(out->fd, at, len);
    if (wrote < 0 && errno == EINTR) {
      continue;
    }
    if (wrote < 0) {
      out->closed = errno == EPIPE;
      return sp_fail_errno(err, SP_EIO, "standard output");
    }
    at += wrote;
    len -= (size_t)wrote;
  }
  return SP_OK;
}

json_t *sp_json_text(const char *text) {
  json_t *string = json_string(text);
  if (string) {
    return string;
  }
  char ascii[1024];
  size_t n = 0;
  for (; text[n] && n + 1 < sizeof ascii; n++) {
    ascii[n] = (unsigned char)text[n] < 0x80 ? text[n] : '?';
  }
  ascii[n] = '\0';
  return json_string(ascii);
}

json_t *sp_json_real(double value) {
  return isfinite(value) ? json_real(value) : json_null();
}

void sp_json_set_count(json_t *object, const char *key, uint64_t value) {
  json_object_set_new(object, key, json_integer((json_int_t)value));
}

json_t *sp_json_begin(const char *command, enum sp_status status, const struct sp_error *err) {
  json_t *object = json_object();
  json_object_set_new(object, "schema", json_integer(1));
  json_object_set_new(object, "command", json_string(command));
  json_object_set_new(object, "exit_code", json_integer(sp_status_exit_code(status)));
  json_object_set_new(object, "error",
                      status == SP_OK ? json_null() : sp_json_text(err ? err->message : ""));
  return object;
}

enum sp_status sp_json_print(json_t *object, FILE *to, struct sp_error *err) {
  char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(10));
  json_decref(object);
  if (!text) {
    return sp_fail_memory(err, 0);
  }
  int put = fprintf(to, "%s\n", text);
  free(text);
  if (put < 0 || fflush(to) != 0) {
    return sp_fail_errno(err, SP_EIO, to == stdout ? "standard output" : "standard error");
  }
  return SP_OK;
}

enum sp_status sp_json_failure(bool json, const char *command, enum sp_status status,
                               const struct sp_error *err) {
  if (json && status != SP_OK && status != SP_EUSAGE) {
    struct sp_error lost; /* the failure at hand says more than a lost object */
    enum sp_status printed = sp_json_print(sp_json_begin(command, status, err), stdout, &lost);
    (void)printed;
  }
  return status;
}
