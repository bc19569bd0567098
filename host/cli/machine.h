/* machine.h - facts about the machine and this build, for `env` and benchmark reports. */
#ifndef SP_CLI_MACHINE_H
#define SP_CLI_MACHINE_H

#include <stddef.h>
#include <stdint.h>

struct sp_machine {
  char cpu[128];                          /* "" when the system does not say */
  char features[256];                     /* of those that matter here, blank-separated */
  size_t processors;                      /* online */
  size_t usable;                          /* of these, by this process */
  uint64_t memory_bytes, available_bytes; /* 0: unknown */
};
void sp_machine_read(struct sp_machine *machine);

/* A library and its version at run time. */
struct sp_library {
  const char *name;
  char version[64];
};
enum { SP_N_LIBRARIES = 6 };
void sp_libraries_read(struct sp_library libraries[SP_N_LIBRARIES]);

const char *sp_build_compiler(void);
const char *sp_build_type(void);
const char *sp_build_sanitizers(void); /* "none" without */

#endif
