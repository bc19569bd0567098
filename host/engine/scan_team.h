/* scan_team.h - threads that look at what the first pass has read.
 *
 * Flow       the caller's thread fills the open batch, submits it, and collects batches in the order in which
 *            they were submitted; while it waits for one it looks at others itself, so that a team of which
 *            no thread could be started does the same work.  Threads are started as they are needed.
 * Memory     three batches a thread and two more (scan_batch.h).
 * Threads    all calls come from one thread. */
#ifndef SP_ENGINE_SCAN_TEAM_H
#define SP_ENGINE_SCAN_TEAM_H

#include "scan_batch.h"

#ifdef __cplusplus
extern "C" {
#endif

/* More threads than one that reads can keep busy. */
#define SP_SCAN_TEAM ((size_t)16)

struct sp_scan_team;

/* At most settings->threads of them, beside the caller's; settings and context must outlive it. */
SP_MUST_CHECK enum sp_status sp_scan_team_create(const struct sp_settings *settings,
                                                 const struct sp_context *context,
                                                 enum sp_letter_case letter_case,
                                                 struct sp_scan_team **out, struct sp_error *err);
/* Ends the threads, after the batch that each is at; NULL is fine. */
void sp_scan_team_destroy(struct sp_scan_team *team);

/* The batch that is being filled, or NULL while all are submitted and none was released. */
struct sp_scan_batch *sp_scan_team_open(struct sp_scan_team *team);
/* Gives the open batch to the threads. */
void sp_scan_team_submit(struct sp_scan_team *team);
/* The oldest submitted batch, looked at, which is to be released before the next is collected; NULL where
 * none is out, or without `wait` where it is not ready. */
const struct sp_scan_batch *sp_scan_team_collect(struct sp_scan_team *team, bool wait);
void sp_scan_team_release(struct sp_scan_team *team);

/* Threads that were started so far, and processor time that the caller's spent on looking at batches. */
struct sp_scan_team_facts {
  size_t threads;
  double caller_seconds;
};
struct sp_scan_team_facts sp_scan_team_tell(const struct sp_scan_team *team);

#ifdef __cplusplus
}
#endif
#endif
