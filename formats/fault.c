#include "fault.h"

#include <string.h>

#include "utf8_valid.h"

struct cursor {
  const char *data;
  size_t at, len;
  const char *reason; /* set once, with `at` on the byte at fault */
};

static bool fault(struct cursor *c, const char *reason) {
  c->reason = reason;
  return false;
}

static int here(const struct cursor *c) {
  return c->at < c->len ? (unsigned char)c->data[c->at] : -1;
}

static bool is_digit(int c) {
  return c >= '0' && c <= '9';
}

static bool is_hex(int c) {
  return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

static void skip_space(struct cursor *c) {
  while (here(c) == ' ' || here(c) == '\t' || here(c) == '\n' || here(c) == '\r') {
    c->at++;
  }
}

/* The four digits of \uXXXX, with `at` behind the u; -1 when they are not hexadecimal. */
static int code_unit(struct cursor *c) {
  int value = 0;
  for (int i = 0; i < 4; i++, c->at++) {
    if (!is_hex(here(c))) {
      return -1;
    }
    int digit = here(c);
    value = value * 16 + (is_digit(digit) ? digit - '0' : (digit | 32) - 'a' + 10);
  }
  return value;
}

static bool escape(struct cursor *c) {
  c->at++;
  int kind = here(c);
  if (kind != 'u') {
    if (kind < 0 || !strchr("\"\\/bfnrt", kind)) {
      return fault(c, kind < 0 ? "the value ends early" : "unknown escape in a string");
    }
    c->at++;
    return true;
  }
  size_t start = c->at++;
  int unit = code_unit(c);
  if (unit < 0) {
    return fault(c, "\\u needs four hexadecimal digits");
  }
  bool paired = unit >= 0xd800 && unit < 0xdc00;
  if (paired && here(c) == '\\' && c->at + 1 < c->len && c->data[c->at + 1] == 'u') {
    c->at += 2;
    int low = code_unit(c);
    paired = !(low >= 0xdc00 && low < 0xe000);
  }
  if (paired || (unit >= 0xdc00 && unit < 0xe000)) {
    c->at = start;
    return fault(c, "half of a surrogate pair in a string");
  }
  return true;
}

static bool string(struct cursor *c) {
  if (here(c) != '"') {
    return fault(c, here(c) < 0 ? "the value ends early" : "a string is expected");
  }
  c->at++;
  for (;;) {
    int byte = here(c);
    if (byte < 0) {
      return fault(c, "the value ends inside a string");
    }
    if (byte < 0x20) {
      return fault(
          c, byte == '\n' ? "a line break inside a string" : "a control character inside a string");
    }
    if (byte == '\\') {
      if (!escape(c)) {
        return false;
      }
      continue;
    }
    c->at++;
    if (byte == '"') {
      return true;
    }
  }
}

static void digits(struct cursor *c) {
  while (is_digit(here(c))) {
    c->at++;
  }
}

static bool number(struct cursor *c) {
  size_t start = c->at;
  c->at += here(c) == '-';
  if (here(c) == 'I') {
    c->at = start;
    return fault(c, "-Infinity is not a JSON number");
  }
  size_t first = c->at;
  digits(c);
  bool good = c->at == first + 1 || (c->at > first && c->data[first] != '0');
  if (good && here(c) == '.') {
    c->at++;
    good = is_digit(here(c));
    digits(c);
  }
  if (good && (here(c) == 'e' || here(c) == 'E')) {
    c->at++;
    c->at += here(c) == '+' || here(c) == '-';
    good = is_digit(here(c));
    digits(c);
  }
  if (!good) {
    c->at = start;
    return fault(c, "not a JSON number");
  }
  return true;
}

static bool word(struct cursor *c, const char *text) {
  size_t len = strlen(text);
  if (c->len - c->at < len || memcmp(c->data + c->at, text, len) != 0) {
    return false;
  }
  c->at += len;
  return true;
}

static bool scalar(struct cursor *c) {
  int byte = here(c);
  if (byte == '"') {
    return string(c);
  }
  if (byte == '-' || is_digit(byte)) {
    return number(c);
  }
  if (byte == 'N') {
    return fault(c, "NaN is not a JSON number");
  }
  if (byte == 'I') {
    return fault(c, "Infinity is not a JSON number");
  }
  if (word(c, "true") || word(c, "false") || word(c, "null")) {
    return true;
  }
  return fault(c, byte < 0 ? "the value ends early" : "a value is expected");
}

static bool key(struct cursor *c) {
  skip_space(c);
  if (!string(c)) {
    return false;
  }
  skip_space(c);
  if (here(c) != ':') {
    return fault(c, "':' is expected after a key");
  }
  c->at++;
  return true;
}

/* Opens an object or array; *value_next tells whether a value follows (it is not empty). */
static bool open_group(struct cursor *c, char *stack, size_t *depth, bool *value_next) {
  if (*depth == SP_JSON_DEPTH) {
    return fault(c, "objects and arrays are nested too deep");
  }
  char kind = c->data[c->at++];
  stack[(*depth)++] = kind;
  skip_space(c);
  *value_next = here(c) != (kind == '{' ? '}' : ']');
  return *value_next && kind == '{' ? key(c) : true;
}

/* After a value inside a group: a comma (*value_next) or the group's end. */
static bool next_in_group(struct cursor *c, const char *stack, size_t *depth, bool *value_next) {
  char kind = stack[*depth - 1];
  int byte = here(c);
  if (byte == ',') {
    c->at++;
    *value_next = true;
    return kind == '{' ? key(c) : true;
  }
  if (byte != (kind == '{' ? '}' : ']')) {
    return fault(c, byte < 0      ? "the value ends early"
                    : kind == '{' ? "',' or '}' is expected"
                                  : "',' or ']' is expected");
  }
  c->at++;
  (*depth)--;
  return true;
}

static bool value(struct cursor *c) {
  char stack[SP_JSON_DEPTH];
  size_t depth = 0;
  bool value_next = true;
  do {
    skip_space(c);
    bool good;
    if (!value_next) {
      good = next_in_group(c, stack, &depth, &value_next);
    } else if (here(c) == '{' || here(c) == '[') {
      good = open_group(c, stack, &depth, &value_next);
    } else {
      value_next = false;
      good = scalar(c);
    }
    if (!good) {
      return false;
    }
  } while (depth > 0);
  return true;
}

const char *sp_json_fault(struct sp_text text, size_t *offset) {
  struct cursor c = {.data = text.data, .len = text.len};
  if (value(&c)) {
    skip_space(&c);
    if (c.at < c.len) {
      c.reason = "something follows the end of the JSON value";
    }
  }
  size_t utf8 = sp_utf8_valid_prefix(text);
  if (utf8 < text.len && (!c.reason || utf8 <= c.at)) {
    c.at = utf8;
    c.reason = "invalid UTF-8";
  }
  *offset = c.at;
  return c.reason;
}
