#include "float_text.h"

#include <charconv>
#include <cmath>
#include <cstring>

size_t sp_float_text(float value, char *out) {
  if (!std::isfinite(value)) {
    memcpy(out, "null", 4);
    return 4;
  }
  if (value == 0.0f && std::signbit(value)) {
    memcpy(out, "-0.0", 4); /* a JSON reader takes "-0" for the integer zero and drops the sign */
    return 4;
  }
  char *end = out + SP_FLOAT_TEXT_MAX;
  if (std::fabs(value) == 0x1.5c87fap-84f) {
    /* The one float whose shortest text, 7.038531e-26, is a tie between two floats once it has been
     * rounded to double, as most JSON readers do, and then goes to the wrong one. */
    return static_cast<size_t>(
        std::to_chars(out, end, value, std::chars_format::scientific, 8).ptr - out);
  }
  return static_cast<size_t>(std::to_chars(out, end, value).ptr - out);
}

size_t sp_double_text(double value, char *out) {
  size_t wide;
  if (!std::isfinite(value)) {
    wide = 4;
    memcpy(out, "null", wide);
  } else if (value == 0.0 && std::signbit(value)) {
    wide = 4;
    memcpy(out, "-0.0", wide);
  } else if (std::fabs(value) >= 0x1p63) {
    /* Many JSON readers take digits alone for an integer, and refuse one of over 64 bits. */
    char *end = out + SP_DOUBLE_TEXT_MAX - 1;
    wide = static_cast<size_t>(std::to_chars(out, end, value, std::chars_format::scientific).ptr -
                               out);
  } else {
    wide = static_cast<size_t>(std::to_chars(out, out + SP_DOUBLE_TEXT_MAX - 1, value).ptr - out);
  }
  out[wide] = '\0';
  return wide;
}

size_t sp_double_fixed(double value, int decimals, char *out) {
  char *end = out + SP_DOUBLE_TEXT_MAX - 1, *at = out;
  if (!std::isfinite(value)) {
    memcpy(out, "n/a", 4);
    return 3;
  }
  if (std::fabs(value) < 1e15) {
    at = std::to_chars(out, end, value, std::chars_format::fixed, decimals).ptr;
  } else {
    at = std::to_chars(out, end, value, std::chars_format::scientific, 4).ptr;
  }
  *at = '\0';
  if (out[0] == '-' && strspn(out + 1, "0.") == strlen(out + 1)) {
    memmove(out, out + 1, static_cast<size_t>(at-- - out));
  }
  return static_cast<size_t>(at - out);
}
