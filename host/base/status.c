#include "status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
  int exit_code;
  const char *text;
} status_table[] = {
#define X(name, exit_code, text) {exit_code, text},
    SP_STATUS_MAP(X)
#undef X
};

enum { status_count = (int)(sizeof status_table / sizeof status_table[0]) };

const char *sp_status_text(enum sp_status status) {
  return (int)status >= 0 && (int)status < status_count ? status_table[status].text
                                                        : "unknown status";
}

int sp_status_exit_code(enum sp_status status) {
  return (int)status >= 0 && (int)status < status_count ? status_table[status].exit_code : 2;
}

/* `len` less a character at the end that is cut off. */
static size_t whole_characters(const char *text, size_t len) {
  size_t lead = len;
  do {
    lead -= lead > 0;
  } while (lead > 0 && len - lead < 4 && ((unsigned char)text[lead] & 0xc0) == 0x80);
  unsigned char c = (unsigned char)text[lead];
  size_t wide = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
  return len > 0 && lead + wide > len ? lead : len;
}

/* Copies `from` into err->message with control characters escaped; cuts at a whole character. */
static void store_message(struct sp_error *err, const char *from) {
  size_t used = 0;
  for (const unsigned char *c = (const unsigned char *)from; *c; c++) {
    char piece[8];
    int wide = (*c < 0x20 || *c == 0x7f) ? snprintf(piece, sizeof piece, "\\x%02x", *c)
                                         : snprintf(piece, sizeof piece, "%c", *c);
    if (used + (size_t)wide >= sizeof err->message) {
      break;
    }
    memcpy(err->message + used, piece, (size_t)wide);
    used += (size_t)wide;
  }
  err->message[whole_characters(err->message, used)] = '\0';
}

static enum sp_status fail_v(struct sp_error *err, enum sp_status status, const char *suffix,
                             const char *format, va_list args) {
  if (err) {
    char text[sizeof err->message];
    int wide = vsnprintf(text, sizeof text, format, args);
    size_t used = wide < 0 ? 0 : (size_t)wide < sizeof text ? (size_t)wide : sizeof text - 1;
    if (suffix) {
      snprintf(text + used, sizeof text - used, ": %s", suffix);
    }
    err->status = status;
    store_message(err, text);
  }
  return status;
}

enum sp_status sp_fail(struct sp_error *err, enum sp_status status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  fail_v(err, status, NULL, format, args);
  va_end(args);
  return status;
}

enum sp_status sp_fail_errno(struct sp_error *err, enum sp_status status, const char *format, ...) {
  char reason[128];
  const char *text = strerror_r(errno, reason, sizeof reason);
  va_list args;
  va_start(args, format);
  fail_v(err, status, text, format, args);
  va_end(args);
  return status;
}

enum sp_status sp_fail_memory(struct sp_error *err, size_t bytes) {
  return sp_fail(err, SP_EDEVICE, "out of host memory (%zu bytes wanted)", bytes);
}
