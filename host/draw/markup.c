#include "markup.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "float_text.h"
#include "utf8_valid.h"

void sp_markup_put(struct sp_markup *to, const char *format, ...) {
  char small[512];
  va_list arguments, again;
  if (to->status != SP_OK) {
    return;
  }
  va_start(arguments, format);
  va_copy(again, arguments);
  int wide = vsnprintf(small, sizeof small, format, arguments);
  va_end(arguments);
  if (wide < 0) {
    to->status = sp_fail(to->err, SP_EDEVICE, "text could not be formatted");
  } else if ((size_t)wide < sizeof small) {
    to->status = sp_buf_append(to->out, small, (size_t)wide, to->err);
  } else {
    to->status = sp_buf_reserve(to->out, (size_t)wide + 1, to->err);
    if (to->status == SP_OK) {
      vsnprintf(to->out->data + to->out->len, (size_t)wide + 1, format, again);
      to->out->len += (size_t)wide;
    }
  }
  va_end(again);
}

static void append(struct sp_markup *to, const char *data, size_t len) {
  if (to->status == SP_OK) {
    to->status = sp_buf_append(to->out, data, len, to->err);
  }
}

static const char *escape_of(unsigned char byte) {
  switch (byte) {
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '&':
      return "&amp;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    case '\t':
    case '\n':
    case '\r':
      return NULL;
    default:
      return byte < 0x20 || byte == 0x7f ? "\xef\xbf\xbd" : NULL;
  }
}

/* Of valid UTF-8. */
static void put_valid(struct sp_markup *to, struct sp_text text) {
  size_t from = 0;
  for (size_t at = 0; at < text.len; at++) {
    const char *escape = escape_of((unsigned char)text.data[at]);
    if (escape) {
      append(to, text.data + from, at - from);
      append(to, escape, strlen(escape));
      from = at + 1;
    }
  }
  append(to, text.data + from, text.len - from);
}

void sp_markup_text(struct sp_markup *to, struct sp_text text) {
  while (text.len > 0) {
    size_t valid = sp_utf8_valid_prefix(text);
    put_valid(to, (struct sp_text){text.data, valid});
    if (valid < text.len) {
      append(to, "\xef\xbf\xbd", 3);
      valid++;
    }
    text = (struct sp_text){text.data + valid, text.len - valid};
  }
}

void sp_markup_string(struct sp_markup *to, const char *text) {
  sp_markup_text(to, (struct sp_text){text, strlen(text)});
}

struct sp_figure sp_fixed(double value, int decimals) {
  struct sp_figure out;
  sp_double_fixed(value, decimals, out.text);
  return out;
}

/* With a real minus sign. */
static struct sp_figure with_minus(struct sp_figure plain) {
  struct sp_figure out;
  bool below = plain.text[0] == '-';
  snprintf(out.text, sizeof out.text, "%s%.32s", below ? "\xe2\x88\x92" : "", plain.text + below);
  return out;
}

struct sp_figure sp_digits(double value) {
  double size = fabs(value);
  int decimals = size > 0 && size < 100 ? 2 - (int)floor(log10(size)) : 0;
  struct sp_figure out = sp_fixed(value, decimals > 9 ? 9 : decimals);
  if (strchr(out.text, '.') && !strchr(out.text, 'e')) {
    size_t len = strlen(out.text);
    for (; out.text[len - 1] == '0'; len--) {
    }
    out.text[len - (out.text[len - 1] == '.')] = '\0';
  }
  return with_minus(out);
}

struct sp_figure sp_signed(double value, int decimals) {
  struct sp_figure plain = sp_fixed(value, decimals), out;
  bool above = isfinite(value) && strpbrk(plain.text, "123456789") && plain.text[0] != '-';
  snprintf(out.text, sizeof out.text, "%s%.36s", above ? "+" : "", with_minus(plain).text);
  return out;
}

struct sp_figure sp_grouped(uint64_t value) {
  char digits[24];
  struct sp_figure out;
  int n = snprintf(digits, sizeof digits, "%" PRIu64, value), at = 0;
  for (int i = 0; i < n; i++) {
    if (i > 0 && (n - i) % 3 == 0) {
      out.text[at++] = ',';
    }
    out.text[at++] = digits[i];
  }
  out.text[at] = '\0';
  return out;
}

struct sp_figure sp_percent(double fraction) {
  return sp_fixed(100 * fraction, 2);
}
