/* cpus.h - how many processors there are for us. */
#ifndef SP_BASE_CPUS_H
#define SP_BASE_CPUS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Processors that this process may run on, at least 1. */
size_t sp_usable_cpus(void);

#ifdef __cplusplus
}
#endif
#endif
