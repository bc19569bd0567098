#include "tensor_check.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { shape_text_bytes = 24 * (SP_TENSOR_MAX_RANK + 1) };

static const char *shape_text(const size_t *shape, size_t rank, char out[shape_text_bytes]) {
  size_t at = (size_t)snprintf(out, shape_text_bytes, "(");
  for (size_t i = 0; i < rank; i++) {
    at += (size_t)snprintf(out + at, shape_text_bytes - at, "%s%zu", i ? ", " : "", shape[i]);
  }
  snprintf(out + at, shape_text_bytes - at, ")");
  return out;
}

/* Without branches in the loop, so that it runs at the speed of memory. */
static bool finite_words(const char *from, size_t count) {
  uint32_t bad = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, from + 4 * i, sizeof bits);
    bad |= (bits & 0x7f800000u) == 0x7f800000u;
  }
  return bad == 0;
}

static bool finite_halves(const char *from, size_t count, uint16_t exponent) {
  uint16_t bad = 0;
  for (size_t i = 0; i < count; i++) {
    uint16_t bits;
    memcpy(&bits, from + 2 * i, sizeof bits);
    bad |= (bits & exponent) == exponent;
  }
  return bad == 0;
}

static bool finite_doubles(const char *from, size_t count) {
  bool good = true;
  for (size_t i = 0; i < count; i++) {
    double value;
    memcpy(&value, from + 8 * i, sizeof value);
    good &= fabs(value) <= FLT_MAX;
  }
  return good;
}

static bool all_finite(const struct sp_tensor *tensor) {
  switch (tensor->dtype) {
    case SP_F32:
      return finite_words(tensor->data, tensor->bytes / 4);
    case SP_F16:
      return finite_halves(tensor->data, tensor->bytes / 2, 0x7c00);
    case SP_BF16:
      return finite_halves(tensor->data, tensor->bytes / 2, 0x7f80);
    default:
      return finite_doubles(tensor->data, tensor->bytes / 8);
  }
}

static bool is_float(enum sp_dtype dtype) {
  return dtype == SP_F32 || dtype == SP_F16 || dtype == SP_BF16 || dtype == SP_F64;
}

enum sp_status sp_tensor_check_shape(const struct sp_tensor *tensor, const size_t *shape,
                                     size_t rank, const char *place, struct sp_error *err) {
  char has[shape_text_bytes], needs[shape_text_bytes];
  if (tensor->rank != rank || memcmp(tensor->shape, shape, rank * sizeof *shape) != 0) {
    return sp_fail(err, SP_EMODEL, "%s: tensor %s has shape %s, the config needs %s", place,
                   tensor->name, shape_text(tensor->shape, tensor->rank, has),
                   shape_text(shape, rank, needs));
  }
  if (!is_float(tensor->dtype)) {
    return sp_fail(err, SP_EMODEL,
                   "%s: tensor %s has dtype %s; F32, F16, BF16 and F64 are supported", place,
                   tensor->name, tensor->dtype_text);
  }
  return SP_OK;
}

enum sp_status sp_tensor_check(const struct sp_tensor *tensor, const size_t *shape, size_t rank,
                               const char *place, struct sp_error *err) {
  SP_TRY(sp_tensor_check_shape(tensor, shape, rank, place, err));
  return all_finite(tensor) ? SP_OK
                            : sp_fail(err, SP_EMODEL,
                                      "%s: tensor %s holds a NaN, an infinity or a value too large",
                                      place, tensor->name);
}
