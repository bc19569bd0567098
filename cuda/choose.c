/* choose.c - which devices there are, and which of them --device means. */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <string.h>

#include "device.h"
#include "device_numbers.h"

/* Kernels are built for 8.0 and 9.0, and as PTX for what comes later. */
enum { oldest_major = 8 };

/* FNV-1a. */
static uint64_t hash_bytes(const char *bytes, size_t n) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < n; i++) {
    hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3u;
  }
  return hash;
}

bool sp_cuda_read_facts(int ordinal, struct sp_cuda_facts *facts) {
  struct cudaDeviceProp properties;
  if (cudaGetDeviceProperties(&properties, ordinal) != cudaSuccess) {
    (void)cudaGetLastError();
    return false;
  }
  *facts = (struct sp_cuda_facts){
      .major = properties.major,
      .minor = properties.minor,
      .sms = (size_t)properties.multiProcessorCount,
      .memory_bytes = properties.totalGlobalMem,
      .id = hash_bytes(properties.uuid.bytes, sizeof properties.uuid.bytes),
  };
  snprintf(facts->name, sizeof facts->name, "%.*s", (int)sizeof facts->name - 1, properties.name);
  return facts->major >= oldest_major;
}

struct usable {
  size_t n;
  int ordinals[SP_MAX_DEVICES];
  struct sp_cuda_facts facts[SP_MAX_DEVICES];
};

/* The usable devices, at most `room`. Returns why there is none, for a message. */
static const char *find_usable(size_t room, struct usable *out) {
  int count;
  out->n = 0;
  cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    (void)cudaGetLastError();
    return cudaGetErrorString(error);
  }
  for (int i = 0; i < count && out->n < room && out->n < SP_MAX_DEVICES; i++) {
    if (sp_cuda_read_facts(i, &out->facts[out->n])) {
      out->ordinals[out->n++] = i;
    }
  }
  return count == 0 ? "the driver has none" : "none has compute capability 8.0 or later";
}

size_t sp_cuda_list(char (*lines)[SP_DEVICE_LINE], size_t room) {
  struct usable usable;
  (void)find_usable(room, &usable);
  for (size_t i = 0; i < usable.n; i++) {
    const struct sp_cuda_facts *facts = &usable.facts[i];
    snprintf(lines[i], SP_DEVICE_LINE, "cuda:%d %s, compute capability %d.%d, %zu SMs, %.1f GiB",
             usable.ordinals[i], facts->name, facts->major, facts->minor, facts->sms,
             (double)facts->memory_bytes / (double)(1u << 30));
  }
  return usable.n;
}

size_t sp_cuda_identify(struct sp_device_identity *out, size_t room) {
  struct usable usable;
  (void)find_usable(room, &usable);
  for (size_t i = 0; i < usable.n; i++) {
    out[i] = (struct sp_device_identity){usable.facts[i].id, (size_t)usable.ordinals[i]};
  }
  return usable.n;
}

static enum sp_status fail_unknown(const char *spec, int ordinal, const struct usable *usable,
                                   struct sp_error *err) {
  char list[SP_MAX_DEVICES * 4] = "";
  for (size_t i = 0; i < usable->n; i++) {
    size_t used = strlen(list);
    snprintf(list + used, sizeof list - used, "%s%d", i ? "," : "", usable->ordinals[i]);
  }
  return sp_fail(err, SP_EDEVICE, "device 'cuda:%s': there is no usable device %d; usable are %s",
                 spec, ordinal, list);
}

enum sp_status sp_cuda_choose(const char *spec, int *ordinals, size_t room, size_t *n,
                              struct sp_error *err) {
  struct usable usable;
  SP_TRY(sp_device_numbers_read(spec, ordinals, room, n, err));
  const char *why_none = find_usable(SP_MAX_DEVICES, &usable);
  if (usable.n == 0) {
    return sp_fail(err, SP_EDEVICE, "no usable CUDA device: %s", why_none);
  }
  if (*spec == '\0') {
    *n = usable.n < room ? usable.n : room;
    memcpy(ordinals, usable.ordinals, *n * sizeof *ordinals);
    return SP_OK;
  }
  for (size_t i = 0; i < *n; i++) {
    if (!sp_device_number_is_in(usable.ordinals, usable.n, ordinals[i])) {
      return fail_unknown(spec, ordinals[i], &usable, err);
    }
  }
  return SP_OK;
}
