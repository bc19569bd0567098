/* env.c - `secondpass env` and `--version`: what this program is and where it runs. */
#include <stdio.h>

#include "backend.h"
#include "commands.h"
#include "machine.h"
#include "mpi_ranks.h"
#include "output.h"

struct env_args {
  bool json;
};

void sp_version_print(void) {
  struct sp_library libraries[SP_N_LIBRARIES];
  sp_libraries_read(libraries);
  printf("secondpass %s (%s, %s)\n", SP_VERSION, sp_build_type(), sp_build_compiler());
  for (int i = 0; i < SP_N_LIBRARIES; i++) {
    printf("%s%s %s", i ? ", " : "with ", libraries[i].name, libraries[i].version);
  }
  putchar('\n');
}

static void print_devices(void) {
  char lines[SP_MAX_DEVICES][SP_DEVICE_LINE];
  size_t count;
  const struct sp_backend *const *backends = sp_backend_list(&count);
  for (size_t i = 0; i < count; i++) {
    size_t n = backends[i]->list(lines, SP_MAX_DEVICES);
    for (size_t d = 0; d < n; d++) {
      sp_row("device", "%s", lines[d]);
    }
    if (n == 0) {
      sp_row("device", "%s: none found", backends[i]->name);
    }
  }
}

static void print_table(const struct sp_machine *machine, const struct sp_cpu_facts *facts) {
  struct sp_library libraries[SP_N_LIBRARIES];
  sp_libraries_read(libraries);
  sp_row("version", "%s", SP_VERSION);
  sp_row("compiler", "%s", sp_build_compiler());
  sp_row("build type", "%s", sp_build_type());
  sp_row("sanitizers", "%s", sp_build_sanitizers());
  for (int i = 0; i < SP_N_LIBRARIES; i++) {
    sp_row(libraries[i].name, "%s", libraries[i].version);
  }
  sp_row("mpi", "%s", sp_ranks_library() ? sp_ranks_library() : "none");
  sp_row("processor", "%s", *machine->cpu ? machine->cpu : "unknown");
  sp_row("features", "%s", *machine->features ? machine->features : "unknown");
  sp_row("kernels", "%s", facts->isa);
  sp_row("bf16 in hardware", "%s%s%s", facts->avx512_bf16 || facts->amx ? "yes" : "no",
         facts->avx512_bf16 ? ", AVX-512" : "", facts->amx ? ", AMX" : "");
  sp_row("processors", "%zu usable of %zu", machine->usable, machine->processors);
  sp_row("memory", "%s, %s available", sp_bytes(machine->memory_bytes).text,
         sp_bytes(machine->available_bytes).text);
  print_devices();
}

static json_t *build_json(void) {
  json_t *build = json_object();
  json_object_set_new(build, "version", json_string(SP_VERSION));
  json_object_set_new(build, "compiler", sp_json_text(sp_build_compiler()));
  json_object_set_new(build, "type", sp_json_text(sp_build_type()));
  json_object_set_new(build, "sanitizers", sp_json_text(sp_build_sanitizers()));
  json_object_set_new(build, "mpi",
                      sp_ranks_library() ? sp_json_text(sp_ranks_library()) : json_null());
  return build;
}

static json_t *libraries_json(void) {
  struct sp_library libraries[SP_N_LIBRARIES];
  sp_libraries_read(libraries);
  json_t *object = json_object();
  for (int i = 0; i < SP_N_LIBRARIES; i++) {
    json_object_set_new(object, libraries[i].name, sp_json_text(libraries[i].version));
  }
  return object;
}

static json_t *cpu_json(const struct sp_machine *machine, const struct sp_cpu_facts *facts) {
  json_t *cpu = json_object();
  json_object_set_new(cpu, "name", sp_json_text(machine->cpu));
  json_object_set_new(cpu, "features", sp_json_text(machine->features));
  json_object_set_new(cpu, "isa", sp_json_text(facts->isa));
  json_object_set_new(cpu, "amx", json_boolean(facts->amx));
  json_object_set_new(cpu, "avx512_bf16", json_boolean(facts->avx512_bf16));
  json_object_set_new(cpu, "processors", json_integer((json_int_t)machine->processors));
  json_object_set_new(cpu, "usable", json_integer((json_int_t)machine->usable));
  return cpu;
}

/* Backends that this build has, each with its devices. */
static json_t *devices_json(json_t **names) {
  char lines[SP_MAX_DEVICES][SP_DEVICE_LINE];
  json_t *devices = json_object();
  size_t count;
  const struct sp_backend *const *backends = sp_backend_list(&count);
  *names = json_array();
  for (size_t i = 0; i < count; i++) {
    json_t *found = json_array();
    size_t n = backends[i]->list(lines, SP_MAX_DEVICES);
    for (size_t d = 0; d < n; d++) {
      json_array_append_new(found, sp_json_text(lines[d]));
    }
    json_array_append_new(*names, json_string(backends[i]->name));
    json_object_set_new(devices, backends[i]->name, found);
  }
  return devices;
}

static json_t *env_json(const struct sp_machine *machine, const struct sp_cpu_facts *facts) {
  json_t *object = sp_json_begin("env", SP_OK, NULL);
  json_t *names, *found = devices_json(&names);
  json_object_set_new(object, "build", build_json());
  json_object_set_new(object, "libraries", libraries_json());
  json_object_set_new(object, "cpu", cpu_json(machine, facts));
  json_object_set_new(object, "memory_bytes", json_integer((json_int_t)machine->memory_bytes));
  json_object_set_new(object, "available_bytes",
                      json_integer((json_int_t)machine->available_bytes));
  json_object_set_new(object, "devices", names);
  json_object_set_new(object, "device_list", found);
  return object;
}

static enum sp_status run_env(const void *values, const struct sp_operands *operands,
                              struct sp_error *err) {
  (void)operands;
  const struct env_args *args = values;
  struct sp_machine machine;
  struct sp_cpu_facts facts;
  sp_machine_read(&machine);
  sp_cpu_get_facts(&facts);
  if (args->json) {
    return sp_json_print(env_json(&machine, &facts), stdout, err);
  }
  print_table(&machine, &facts);
  return SP_OK;
}

static const struct sp_opt options[] = {
    {.name = "json",
     .kind = SP_OPT_FLAG,
     .offset = offsetof(struct env_args, json),
     .help = "print one JSON object"},
};
static const struct sp_opt_group group = {"Options", options, sizeof options / sizeof *options};
static const struct sp_opt_group *const groups[] = {&group, NULL};

const struct sp_command sp_command_env = {
    .name = "env",
    .summary = "reports build, libraries, processor and devices",
    .example = "secondpass env",
    .usage = "[--json]",
    .description =
        "What a bug report needs: version, compiler, libraries, processor features and "
        "the devices that --device takes.",
    .groups = groups,
    .values_bytes = sizeof(struct env_args),
    .run = run_env,
};
