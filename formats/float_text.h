/* float_text.h - the shortest decimal text of a float or double. */
#ifndef SP_FORMATS_FLOAT_TEXT_H
#define SP_FORMATS_FLOAT_TEXT_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SP_FLOAT_TEXT_MAX 24

/* Writes a JSON number that reads back to the same float, "-0.0" and subnormals included, or "null"
 * when `value` is not finite. `out` has SP_FLOAT_TEXT_MAX bytes; returns how many were written. */
size_t sp_float_text(float value, char *out);

#define SP_DOUBLE_TEXT_MAX 32

/* The same of a double, NUL-terminated; `out` has SP_DOUBLE_TEXT_MAX bytes. From 2^63 on in scientific
 * form, which no reader takes for an integer. */
size_t sp_double_text(double value, char *out);

/* With that many decimals (at most 9), rounded as printf does, whatever the locale; in scientific form
 * from 1e15 on, "-0.00" as "0.00"; "n/a" when not finite. NUL-terminated, SP_DOUBLE_TEXT_MAX bytes. */
size_t sp_double_fixed(double value, int decimals, char *out);

#ifdef __cplusplus
}
#endif
#endif
