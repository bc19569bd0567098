#include "machine.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>

#include "backend.h"
#include "settings.h"

/* The value of the first line "key ...: value" of a /proc file; false when there is none. */
static bool read_key(const char *path, const char *key, char *out, size_t capacity) {
  FILE *file = fopen(path, "r");
  bool found = false;
  char line[16384];
  while (file && !found && fgets(line, sizeof line, file)) {
    char *colon = strchr(line, ':');
    if (colon && strncmp(line, key, strlen(key)) == 0) {
      char *value = colon + 1 + strspn(colon + 1, " \t");
      value[strcspn(value, "\n")] = '\0';
      snprintf(out, capacity, "%s", value);
      found = true;
    }
  }
  if (file) {
    fclose(file);
  }
  return found;
}

static void read_features(char *out, size_t capacity) {
  static const char *const wanted[] = {"avx2",        "fma",         "f16c",     "avx512f",
                                       "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16",
                                       "amx_int8",    "asimd",       "bf16",     "sve"};
  char flags[16384];
  size_t used = 0;
  out[0] = '\0';
  if (!read_key("/proc/cpuinfo", "flags", flags, sizeof flags) &&
      !read_key("/proc/cpuinfo", "Features", flags, sizeof flags)) {
    return;
  }
  char *rest = NULL;
  for (char *flag = strtok_r(flags, " ", &rest); flag; flag = strtok_r(NULL, " ", &rest)) {
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
      if (strcmp(flag, wanted[i]) == 0 && used + strlen(flag) + 2 < capacity) {
        used += (size_t)snprintf(out + used, capacity - used, "%s%s", used ? " " : "", flag);
      }
    }
  }
}

static uint64_t meminfo_bytes(const char *key) {
  char value[64];
  unsigned long long kib = 0;
  if (read_key("/proc/meminfo", key, value, sizeof value)) {
    sscanf(value, "%llu", &kib);
  }
  return (uint64_t)kib * 1024;
}

void sp_machine_read(struct sp_machine *machine) {
  *machine = (struct sp_machine){0};
  read_key("/proc/cpuinfo", "model name", machine->cpu, sizeof machine->cpu);
  read_features(machine->features, sizeof machine->features);
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  machine->processors = online > 0 ? (size_t)online : 1;
  machine->usable = sp_usable_cpus();
  machine->memory_bytes = meminfo_bytes("MemTotal");
  machine->available_bytes = meminfo_bytes("MemAvailable");
}

void sp_libraries_read(struct sp_library libraries[SP_N_LIBRARIES]) {
  struct sp_cpu_facts facts;
  sp_cpu_get_facts(&facts);
  unsigned xxhash = XXH_versionNumber();
  static const char *const names[SP_N_LIBRARIES] = {"gemm",    "zstd",     "zlib",
                                                    "jansson", "simdjson", "xxhash"};
  const char *const versions[SP_N_LIBRARIES] = {facts.gemm,          ZSTD_versionString(),
                                                zlibVersion(),       jansson_version_str(),
                                                SP_SIMDJSON_VERSION, NULL};
  for (int i = 0; i < SP_N_LIBRARIES; i++) {
    libraries[i].name = names[i];
    if (versions[i]) {
      snprintf(libraries[i].version, sizeof libraries[i].version, "%s", versions[i]);
    } else {
      snprintf(libraries[i].version, sizeof libraries[i].version, "%u.%u.%u", xxhash / 10000,
               xxhash / 100 % 100, xxhash % 100);
    }
  }
}

const char *sp_build_compiler(void) {
#ifdef __clang__
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

const char *sp_build_type(void) {
  return SP_BUILD_TYPE;
}

const char *sp_build_sanitizers(void) {
  return *SP_BUILD_SANITIZERS ? SP_BUILD_SANITIZERS : "none";
}
