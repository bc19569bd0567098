#include "cpus.h"

#include <sched.h>
#include <stdbool.h>
#include <unistd.h>

size_t sp_usable_cpus(void) {
  cpu_set_t set;
  bool known = sched_getaffinity(0, sizeof set, &set) == 0; /* not where there are over 1,024 */
  long count = known ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
  return count > 0 ? (size_t)count : 1;
}
