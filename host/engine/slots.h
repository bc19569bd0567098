/* slots.h - the jobs in flight: where each stands, and which device has which of its batches.
 *
 * A job belongs to the device that took its first batch; other devices help when they have nothing
 * of their own.  Used under the pool's mutex. */
#ifndef SP_ENGINE_SLOTS_H
#define SP_ENGINE_SLOTS_H

#include "job.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_NO_DEVICE ((size_t)-1)

/* A job's way through the pool. */
enum sp_slot_state {
  SP_SLOT_FREE,
  SP_SLOT_FILLING,
  SP_SLOT_READY,
  SP_SLOT_PREPARING,
  SP_SLOT_RUNNING,
  SP_SLOT_FINISHING,
  SP_SLOT_DROPPED /* not to be finished; its memory stays until the pool ends */
};

/* Who has a batch, and whether its results are there. */
struct sp_batch_mark {
  unsigned char device, taken, done;
};

struct sp_slot {
  struct sp_job job;
  enum sp_slot_state state;
  uint64_t order;              /* of submission */
  size_t device;               /* that the job belongs to, or SP_NO_DEVICE */
  struct sp_batch_mark *marks; /* (job.n_batches) */
  size_t next_batch;           /* first that nobody has; n_batches when all are taken */
  size_t batches_done;
  uint64_t seq_tokens_done;
};

struct sp_slots {
  struct sp_slot *slot; /* (n) */
  size_t n;
};

/* The one submitted first of those in `state`, and for which `fits` holds (NULL: any); or NULL. */
struct sp_slot *sp_slots_oldest(const struct sp_slots *slots, enum sp_slot_state state,
                                bool (*fits)(const struct sp_slot *slot));
struct sp_slot *sp_slots_of(const struct sp_slots *slots, const struct sp_job *job);

bool sp_slot_has_batches(const struct sp_slot *slot);
bool sp_slot_is_scored(const struct sp_slot *slot);

/* Marks for the batches of a prepared job, from its memory. Needs no mutex. */
SP_MUST_CHECK enum sp_status sp_slot_mark(struct sp_slot *slot, struct sp_error *err);
/* A prepared job's batches may be taken from now on. */
void sp_slot_start(struct sp_slot *slot);

/* The next batch for a device: of its own job, else of one that is nobody's, else of the oldest.
 * False when no batch is to be had. */
bool sp_slots_take(struct sp_slots *slots, size_t device, struct sp_slot **slot, size_t *which);
/* Returns the tokens of the batch. */
uint64_t sp_slot_done(struct sp_slot *slot, size_t which);
/* Drops submitted jobs that will not be scored in `seconds` when all devices together do `speed`
 * tokens of sequences a second (INFINITY is fine): those not begun, and those running whose own tokens at a device's part of
 * the speed, or with those of older jobs at all of it, take longer.  Writes the shards that were dropped
 * (room for slots->n); returns how many. */
size_t sp_slots_drop_late(struct sp_slots *slots, double speed, size_t devices, double seconds,
                          size_t *dropped);
/* Whether a job is still to be finished. */
bool sp_slots_any_open(const struct sp_slots *slots);
/* Whatever the device has or had of jobs that are not finished goes to others. */
void sp_slots_forget(struct sp_slots *slots, size_t device);

#ifdef __cplusplus
}
#endif
#endif
