/* registry.c - the one place that knows which backends are compiled in. */
#include <string.h>

#include "backend.h"
#include "cpu.h"

#ifdef SP_HAVE_CUDA
extern const struct sp_backend sp_cuda_backend;
#endif

static const struct sp_backend *const backends[] = {
    &sp_cpu_backend,
#ifdef SP_HAVE_CUDA
    &sp_cuda_backend,
#endif
};

const struct sp_backend *const *sp_backend_list(size_t *count) {
  *count = sizeof backends / sizeof *backends;
  return backends;
}

/* What "auto" means: the last backend that has a device. The CPU is the first and always has one. */
static const struct sp_backend *choose_backend(void) {
  size_t i = sizeof backends / sizeof *backends;
  char line[1][SP_DEVICE_LINE];
  while (--i > 0 && backends[i]->list(line, 1) == 0) {
  }
  return backends[i];
}

static enum sp_status fail_unknown(const char *device, struct sp_error *err) {
#ifdef SP_HAVE_CUDA
  const char *known = "auto, cpu, cuda";
#else
  const char *known = "auto, cpu";
#endif
  return sp_fail(err, SP_EUSAGE, "unknown device '%s'; this build knows %s", device, known);
}

enum sp_status sp_backend_find(const char *device, const struct sp_backend **out, const char **spec,
                               struct sp_error *err) {
  size_t len = strcspn(device, ":");
  const char *rest = device[len] == ':' ? device + len + 1 : "";
  if (strcmp(device, "auto") == 0) {
    *out = choose_backend();
    *spec = "";
    return SP_OK;
  }
  for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
    if (strlen(backends[i]->name) == len && memcmp(backends[i]->name, device, len) == 0) {
      *out = backends[i];
      *spec = rest;
      return SP_OK;
    }
  }
  if (len == 4 && memcmp(device, "cuda", len) == 0) {
    return sp_fail(err, SP_EDEVICE, "device '%s': this build has no CUDA", device);
  }
  return fail_unknown(device, err);
}
