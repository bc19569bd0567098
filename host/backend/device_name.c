/* device_name.c - the devices that there may be, compiled in here or not, without a look at those that there are. */
#include <string.h>

#include "backend.h"
#include "cpu.h"
#include "device_numbers.h"

static enum sp_status check_cuda_spec(const char *spec, struct sp_error *err) {
  int numbers[SP_MAX_DEVICES];
  size_t n;
  return sp_device_numbers_read(spec, numbers, SP_MAX_DEVICES, &n, err);
}

static const struct {
  const char *name;
  enum sp_status (*check)(const char *spec, struct sp_error *err);
} backends[] = {{"cpu", sp_cpu_check_spec}, {"cuda", check_cuda_spec}};

enum sp_status sp_backend_name_of(const char *device, const char **name, struct sp_error *err) {
  size_t len = strcspn(device, ":");
  *name = NULL;
  for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
    if (strlen(backends[i].name) == len && memcmp(backends[i].name, device, len) == 0) {
      *name = backends[i].name;
      return backends[i].check(device[len] == ':' ? device + len + 1 : "", err);
    }
  }
  return strcmp(device, "auto") == 0
             ? SP_OK
             : sp_fail(err, SP_EUSAGE, "unknown device '%s'; there are auto, cpu, cuda", device);
}
