/* team.h - the threads of a CPU trainer: an op is cut into tasks, and every thread takes the next.
 *
 * Which thread runs a task, and when, is not fixed: a task writes only what no other task writes, and
 * what it computes depends on its number alone. */
#ifndef SP_CPU_TEAM_H
#define SP_CPU_TEAM_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_team;

/* `threads` of them, the caller's included; 0: as many as the process may run on. */
SP_MUST_CHECK enum sp_status sp_team_create(size_t threads, struct sp_team **out,
                                            struct sp_error *err);
/* NULL is fine. */
void sp_team_destroy(struct sp_team *team);
size_t sp_team_threads(const struct sp_team *team);
/* Runs run(arg, task, thread) for every task in [0, tasks), thread in [0, threads); returns when all are
 * done.  One caller at a time. */
void sp_team_run(struct sp_team *team, size_t tasks,
                 void (*run)(void *arg, size_t task, size_t thread), void *arg);

#ifdef __cplusplus
}
#endif
#endif
