/* lanes.h - the batches that one host thread keeps in flight on one device.
 *
 * A lane is a stream, a forward and a batch's arrays. While the device works on one lane, the thread
 * fills the next; batches end in the order in which they began.  The CPU has one lane a thread. */
#ifndef SP_ENGINE_LANES_H
#define SP_ENGINE_LANES_H

#include "context.h"
#include "job.h"

struct sp_lanes;

/* Takes all memory that the batches will need. */
SP_MUST_CHECK enum sp_status sp_lanes_create(const struct sp_settings *settings,
                                             const struct sp_context *context, size_t device,
                                             struct sp_lanes **out, struct sp_error *err);
/* Waits for what is in flight and forgets it; NULL is fine. */
void sp_lanes_destroy(struct sp_lanes *lanes);

bool sp_lanes_have_room(const struct sp_lanes *lanes);
bool sp_lanes_are_busy(const struct sp_lanes *lanes);

/* Queues batch `which` of the job; there must be room. The job is not looked at again before its
 * results are stored. After a failure the lanes can only be destroyed, as after one of end. */
SP_MUST_CHECK enum sp_status sp_lanes_begin(struct sp_lanes *lanes, struct sp_job *job,
                                            size_t which, struct sp_error *err);
/* Waits for the oldest batch in flight and stores its results in its job. */
SP_MUST_CHECK enum sp_status sp_lanes_end(struct sp_lanes *lanes, struct sp_job **job,
                                          size_t *which, struct sp_error *err);

#endif
