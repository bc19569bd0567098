/* heartbeat.h - a thread that raises this worker's beat, so that others know that it lives.
 *
 * Threads    all calls come from one thread, which may go on using the claims as run_claims.h says. */
#ifndef SP_ENGINE_HEARTBEAT_H
#define SP_ENGINE_HEARTBEAT_H

#include "run_claims.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sp_heartbeat;

/* Beats now and every `seconds`. The claims must outlive it. */
SP_MUST_CHECK enum sp_status sp_heartbeat_start(struct sp_claims *claims, double seconds,
                                                struct sp_heartbeat **out, struct sp_error *err);
/* Ends the thread; NULL is fine. */
void sp_heartbeat_stop(struct sp_heartbeat *heartbeat);

/* What the next beats tell: hypotheses scored by this worker. */
void sp_heartbeat_tell(struct sp_heartbeat *heartbeat, uint64_t hyps_done);
/* Whether a beat failed since the last call, and why. Claims live on to the end of their lease. */
bool sp_heartbeat_failed(struct sp_heartbeat *heartbeat, struct sp_error *why);

#ifdef __cplusplus
}
#endif
#endif
