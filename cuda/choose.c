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

/* Why there is no device, for a message; *count of them otherwise. */
static const char *count_devices(int *count) {
  cudaError_t error = cudaGetDeviceCount(count);
  if (error != cudaSuccess) {
    (void)cudaGetLastError();
    *count = 0;
    return cudaGetErrorString(error);
  }
  return *count == 0 ? "the driver has none" : "none has compute capability 8.0 or later";
}

size_t sp_cuda_list(char (*lines)[SP_DEVICE_LINE], size_t room) {
  int count;
  size_t n = 0;
  (void)count_devices(&count);
  for (int i = 0; i < count && n < room; i++) {
    struct sp_cuda_facts facts;
    if (sp_cuda_read_facts(i, &facts)) {
      snprintf(lines[n++], SP_DEVICE_LINE,
               "cuda:%d %s, compute capability %d.%d, %zu SMs, %.1f GiB", i, facts.name,
               facts.major, facts.minor, facts.sms,
               (double)facts.memory_bytes / (double)(1u << 30));
    }
  }
  return n;
}

size_t sp_cuda_identify(struct sp_device_identity *out, size_t room) {
  int count;
  size_t n = 0;
  (void)count_devices(&count);
  for (int i = 0; i < count && n < room; i++) {
    struct sp_cuda_facts facts;
    if (sp_cuda_read_facts(i, &facts)) {
      out[n++] = (struct sp_device_identity){facts.id, (size_t)i};
    }
  }
  return n;
}

/* Ordinals of the usable devices; SP_EDEVICE when there is none. */
static enum sp_status find_usable(int usable[SP_MAX_DEVICES], size_t *n, struct sp_error *err) {
  int count;
  const char *why = count_devices(&count);
  *n = 0;
  for (int i = 0; i < count && *n < SP_MAX_DEVICES; i++) {
    struct sp_cuda_facts facts;
    if (sp_cuda_read_facts(i, &facts)) {
      usable[(*n)++] = i;
    }
  }
  return *n > 0 ? SP_OK : sp_fail(err, SP_EDEVICE, "no usable CUDA device: %s", why);
}

static enum sp_status fail_unknown(const char *spec, int ordinal, const int *usable, size_t n,
                                   struct sp_error *err) {
  char list[SP_MAX_DEVICES * 4] = "";
  for (size_t i = 0; i < n; i++) {
    size_t used = strlen(list);
    snprintf(list + used, sizeof list - used, "%s%d", i ? "," : "", usable[i]);
  }
  return sp_fail(err, SP_EDEVICE, "device 'cuda:%s': there is no usable device %d; usable are %s",
                 spec, ordinal, list);
}

enum sp_status sp_cuda_choose(const char *spec, int *ordinals, size_t room, size_t *n,
                              struct sp_error *err) {
  int usable[SP_MAX_DEVICES];
  size_t n_usable;
  SP_TRY(sp_device_numbers_read(spec, ordinals, room, n, err));
  SP_TRY(find_usable(usable, &n_usable, err));
  if (*spec == '\0') {
    *n = n_usable < room ? n_usable : room;
    memcpy(ordinals, usable, *n * sizeof *ordinals);
    return SP_OK;
  }
  for (size_t i = 0; i < *n; i++) {
    if (!sp_device_number_is_in(usable, n_usable, ordinals[i])) {
      return fail_unknown(spec, ordinals[i], usable, n_usable, err);
    }
  }
  return SP_OK;
}
