/* run_watch.h - what one worker has seen of the others, by its own clock. */
#ifndef SP_FORMATS_RUN_WATCH_H
#define SP_FORMATS_RUN_WATCH_H

#include "run_worker.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_watch_entry;

/* Fill the first four; the rest begins as 0. */
struct sp_watch {
  const char *run;
  double lease;
  double (*clock)(void *context);
  void *context;
  struct sp_watch_entry *seen; /* (room) by the hash of their ids; n_seen are in use */
  size_t n_seen, room;
};
void sp_watch_release(struct sp_watch *watch);

/* Looks at a worker's file. *gone: it is dead for certain, or nothing of it has changed for a lease since it
 * was first seen so. A file that is missing is no proof, it may only not be visible yet: that too takes a
 * lease. */
SP_MUST_CHECK enum sp_status sp_watch_worker(struct sp_watch *watch, const char *id, bool *gone,
                                             struct sp_error *err);
/* The same, of a look that was begun at `asked`, by the watch's clock. */
SP_MUST_CHECK enum sp_status sp_watch_look(struct sp_watch *watch, const char *id,
                                           const struct sp_worker_look *look, double asked,
                                           bool *gone, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
