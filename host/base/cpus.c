#include "cpus.h"

#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

size_t sp_usable_cpus(void) {
  cpu_set_t set;
  bool known = sched_getaffinity(0, sizeof set, &set) == 0; /* not where there are over 1,024 */
  long count = known ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
  return count > 0 ? (size_t)count : 1;
}

/* The kernel cuts a wish for all processors down to those of the cpuset. */
size_t sp_allowed_cpus(void) {
  cpu_set_t before, all;
  memset(&all, 0xff, sizeof all);
  if (sched_getaffinity(0, sizeof before, &before) != 0 ||
      sched_setaffinity(0, sizeof all, &all) != 0) {
    return sp_usable_cpus();
  }
  size_t count = sp_usable_cpus();
  sched_setaffinity(0, sizeof before, &before);
  return count;
}
