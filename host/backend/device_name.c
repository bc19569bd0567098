/* device_name.c - the backends that there are, compiled in here or not. */
#include <string.h>

#include "backend.h"

enum sp_status sp_backend_name_of(const char *device, const char **name, struct sp_error *err) {
  static const char *const names[] = {"cpu", "cuda"};
  size_t len = strcspn(device, ":");
  *name = NULL;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strlen(names[i]) == len && memcmp(names[i], device, len) == 0) {
      *name = names[i];
    }
  }
  return *name || strcmp(device, "auto") == 0
             ? SP_OK
             : sp_fail(err, SP_EUSAGE, "unknown device '%s'; there are auto, cpu, cuda", device);
}
