/* cpu.h - the CPU backend's table. */
#ifndef SP_BACKEND_CPU_H
#define SP_BACKEND_CPU_H

#include "backend.h"

extern const struct sp_backend sp_cpu_backend;

/* SP_EUSAGE unless "cpu:" and `spec` are a device of some machine, if not of this one. */
SP_MUST_CHECK enum sp_status sp_cpu_check_spec(const char *spec, struct sp_error *err);

#endif
