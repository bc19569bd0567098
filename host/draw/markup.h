/* markup.h - HTML and SVG into a buffer.
 *
 * Text from files goes through sp_markup_text alone, which escapes it; what sp_markup_put writes is
 * ours. The first failure is kept and ends all writing, so that callers check once at the end.
 * Numbers are formatted here because printf's decimal sign depends on the locale. */
#ifndef SP_DRAW_MARKUP_H
#define SP_DRAW_MARKUP_H

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_markup {
  struct sp_buf *out; /* the caller's */
  struct sp_error *err;
  enum sp_status status;
};

/* As printf: %s takes our own words and the texts of numbers below, no floating-point conversions. */
void sp_markup_put(struct sp_markup *to, const char *format, ...) SP_PRINTF(2, 3);
/* Escaped for elements and quoted attributes; control characters, NUL and what is no UTF-8 become
 * U+FFFD. */
void sp_markup_text(struct sp_markup *to, struct sp_text text);
void sp_markup_string(struct sp_markup *to, const char *text);

struct sp_figure {
  char text[40];
};
struct sp_figure sp_fixed(double value, int decimals);
/* Three significant digits: "0.00123", "1.23", "123", "12300"; a real minus sign. */
struct sp_figure sp_digits(double value);
/* With the sign always there, a real minus sign. */
struct sp_figure sp_signed(double value, int decimals);
/* 1234567 as "1,234,567". */
struct sp_figure sp_grouped(uint64_t value);
/* A fraction as "6.12", of a hundred. */
struct sp_figure sp_percent(double fraction);

#ifdef __cplusplus
}
#endif
#endif
