/* cpu.h - the CPU backend's table. */
#ifndef SP_BACKEND_CPU_H
#define SP_BACKEND_CPU_H

#include "backend.h"

extern const struct sp_backend sp_cpu_backend;

#endif
