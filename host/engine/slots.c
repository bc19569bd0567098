#include "slots.h"

struct sp_slot *sp_slots_oldest(const struct sp_slots *slots, enum sp_slot_state state,
                                bool (*fits)(const struct sp_slot *slot)) {
  struct sp_slot *best = NULL;
  for (size_t i = 0; i < slots->n; i++) {
    struct sp_slot *slot = &slots->slot[i];
    if (slot->state == state && (!fits || fits(slot)) && (!best || slot->order < best->order)) {
      best = slot;
    }
  }
  return best;
}

struct sp_slot *sp_slots_of(const struct sp_slots *slots, const struct sp_job *job) {
  for (size_t i = 0; i < slots->n; i++) {
    if (&slots->slot[i].job == job) {
      return &slots->slot[i];
    }
  }
  return NULL;
}

bool sp_slot_has_batches(const struct sp_slot *slot) {
  return slot->next_batch < slot->job.n_batches;
}

bool sp_slot_is_scored(const struct sp_slot *slot) {
  return slot->batches_done == slot->job.n_batches;
}

enum sp_status sp_slot_mark(struct sp_slot *slot, struct sp_error *err) {
  size_t n = slot->job.n_batches;
  slot->marks = sp_arena_calloc(&slot->job.tokens, n, sizeof *slot->marks);
  return slot->marks ? SP_OK : sp_fail_memory(err, n * sizeof *slot->marks);
}

void sp_slot_start(struct sp_slot *slot) {
  slot->state = SP_SLOT_RUNNING;
  slot->device = SP_NO_DEVICE;
  slot->next_batch = slot->batches_done = 0;
  slot->seq_tokens_done = 0;
}

/* How near a job is to a device; less is nearer. */
static int distance(const struct sp_slot *slot, size_t device) {
  return slot->device == device ? 0 : slot->device == SP_NO_DEVICE ? 1 : 2;
}

static struct sp_slot *nearest(const struct sp_slots *slots, size_t device) {
  struct sp_slot *best = NULL;
  for (size_t i = 0; i < slots->n; i++) {
    struct sp_slot *slot = &slots->slot[i];
    if (slot->state != SP_SLOT_RUNNING || !sp_slot_has_batches(slot)) {
      continue;
    }
    int nearer = best ? distance(slot, device) - distance(best, device) : -1;
    if (nearer < 0 || (nearer == 0 && slot->order < best->order)) {
      best = slot;
    }
  }
  return best;
}

bool sp_slots_take(struct sp_slots *slots, size_t device, struct sp_slot **out, size_t *which) {
  struct sp_slot *slot = nearest(slots, device);
  if (!slot) {
    return false;
  }
  if (slot->device == SP_NO_DEVICE) {
    slot->device = device;
  }
  *out = slot;
  *which = slot->next_batch;
  slot->marks[*which] = (struct sp_batch_mark){.device = (unsigned char)device, .taken = 1};
  while (sp_slot_has_batches(slot) && slot->marks[slot->next_batch].taken) {
    slot->next_batch++;
  }
  return true;
}

static uint64_t batch_tokens(const struct sp_job *job, size_t which) {
  const struct sp_batch_range *range = &job->batches[which];
  uint64_t tokens = 0;
  for (uint32_t s = range->first; s < range->first + range->count; s++) {
    tokens += sp_plan_base_len(&job->plan, job->plan.sequence[s].base);
  }
  return tokens;
}

uint64_t sp_slot_done(struct sp_slot *slot, size_t which) {
  uint64_t tokens = batch_tokens(&slot->job, which);
  slot->marks[which].done = 1;
  slot->batches_done++;
  slot->seq_tokens_done += tokens;
  return tokens;
}

static void forget_in(struct sp_slot *slot, size_t device) {
  for (size_t which = slot->job.n_batches; which-- > 0;) {
    struct sp_batch_mark *mark = &slot->marks[which];
    if (!mark->taken || mark->device != device) {
      continue;
    }
    if (mark->done) {
      slot->batches_done--;
      slot->seq_tokens_done -= batch_tokens(&slot->job, which);
    }
    *mark = (struct sp_batch_mark){0};
    if (which < slot->next_batch) {
      slot->next_batch = which;
    }
  }
  if (slot->device == device) {
    slot->device = SP_NO_DEVICE;
  }
}

void sp_slots_forget(struct sp_slots *slots, size_t device) {
  for (size_t i = 0; i < slots->n; i++) {
    if (slots->slot[i].state == SP_SLOT_RUNNING) {
      forget_in(&slots->slot[i], device);
    }
  }
}

static double tokens_left(const struct sp_slot *slot) {
  return (double)slot->job.plan.tokens - (double)slot->seq_tokens_done;
}

/* Tokens of the running jobs up to this one, which computing goes through in order. */
static double tokens_up_to(const struct sp_slots *slots, const struct sp_slot *last) {
  double tokens = 0;
  for (size_t i = 0; i < slots->n; i++) {
    const struct sp_slot *slot = &slots->slot[i];
    if (slot->state == SP_SLOT_RUNNING && slot->order <= last->order) {
      tokens += tokens_left(slot);
    }
  }
  return tokens;
}

static bool is_late(const struct sp_slots *slots, const struct sp_slot *slot, double speed,
                    size_t devices, double seconds) {
  switch (slot->state) {
    case SP_SLOT_READY:
    case SP_SLOT_PREPARING:
      return true;
    case SP_SLOT_RUNNING:
      return !(tokens_left(slot) * (double)devices <= speed * seconds &&
               tokens_up_to(slots, slot) <= speed * seconds);
    default:
      return false;
  }
}

size_t sp_slots_drop_late(struct sp_slots *slots, double speed, size_t devices, double seconds,
                          size_t *dropped) {
  size_t n = 0;
  for (;;) { /* the youngest first, which leaves more for older ones */
    struct sp_slot *late = NULL;
    for (size_t i = 0; i < slots->n; i++) {
      struct sp_slot *slot = &slots->slot[i];
      if (is_late(slots, slot, speed, devices, seconds) && (!late || slot->order > late->order)) {
        late = slot;
      }
    }
    if (!late) {
      return n;
    }
    late->state = SP_SLOT_DROPPED;
    dropped[n++] = late->job.index;
  }
}

bool sp_slots_any_open(const struct sp_slots *slots) {
  for (size_t i = 0; i < slots->n; i++) {
    if (slots->slot[i].state >= SP_SLOT_READY && slots->slot[i].state <= SP_SLOT_FINISHING) {
      return true;
    }
  }
  return false;
}
