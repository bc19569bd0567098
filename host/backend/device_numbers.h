/* device_numbers.h - what follows the colon of "cuda:0,2": for who opens such devices, and for who only checks it. */
#ifndef SP_BACKEND_DEVICE_NUMBERS_H
#define SP_BACKEND_DEVICE_NUMBERS_H

#include <stdlib.h>
#include <string.h>

#include "backend.h"

/* The next number of a comma-separated list, at most three digits; false when it is none. */
static inline bool sp_device_number_next(const char **at, int *out) {
  size_t digits = strspn(*at, "0123456789");
  if (digits == 0 || digits > 3 || ((*at)[digits] != ',' && (*at)[digits] != '\0')) {
    return false;
  }
  *out = atoi(*at);
  *at += digits;
  if (**at == ',') {
    (*at)++;
    return **at != '\0';
  }
  return true;
}

static inline bool sp_device_number_is_in(const int *list, size_t n, int value) {
  for (size_t i = 0; i < n; i++) {
    if (list[i] == value) {
      return true;
    }
  }
  return false;
}

/* *n numbers, at most `room`, none twice; "" has none. Else SP_EUSAGE. */
static inline enum sp_status sp_device_numbers_read(const char *spec, int *numbers, size_t room,
                                                    size_t *n, struct sp_error *err) {
  *n = 0;
  for (const char *at = spec; *at != '\0';) {
    int number;
    if (!sp_device_number_next(&at, &number)) {
      return sp_fail(err, SP_EUSAGE, "device 'cuda:%s' is no list of numbers such as cuda:0,2",
                     spec);
    }
    if (sp_device_number_is_in(numbers, *n, number)) {
      return sp_fail(err, SP_EUSAGE, "device 'cuda:%s' names device %d twice", spec, number);
    }
    if (*n == room) {
      return sp_fail(err, SP_EUSAGE, "device 'cuda:%s' names more than %zu devices", spec, room);
    }
    numbers[(*n)++] = number;
  }
  return SP_OK;
}

#endif
