/* cpus.h - how many processors there are for us. */
#ifndef SP_BASE_CPUS_H
#define SP_BASE_CPUS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Processors that this process may run on, at least 1. */
size_t sp_usable_cpus(void);

/* Processors that it could be allowed to run on: without what mpirun, taskset or the like bound it to, but no more
 * than its container or job has. At least
 * sp_usable_cpus(). */
size_t sp_allowed_cpus(void);

#ifdef __cplusplus
}
#endif
#endif
