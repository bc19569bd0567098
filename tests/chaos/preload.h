/* preload.h - what the preloaded libraries share: finding the function that stands behind theirs. */
#ifndef SP_TESTS_PRELOAD_H
#define SP_TESTS_PRELOAD_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static inline void sp_find_next(const char *name, void *function) {
  void *found = dlsym(RTLD_NEXT, name);
  if (!found) {
    abort();
  }
  memcpy(function, &found, sizeof found);
}

/* Declares `real`, the next definition of a function that has a prototype. Looked up once: the clocks
 * are read in signal handlers too. */
#define SP_REAL(name)                   \
  static __typeof__(&(name)) real;      \
  if (!real) {                          \
    sp_find_next(#name, (void *)&real); \
  }

#endif
