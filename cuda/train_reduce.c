/* train_reduce.c - sums over devices, in the devices' order, the same bits on each.
 *
 * NCCL's own all-reduce adds in an order of its choice.  Here it only carries: every device owns a
 * slice of what is summed, gets the others' values of it, adds the n of them in device order with
 * one launch, and sends the sum around.  Each device sends and receives 2 (n - 1) / n of the data,
 * as a ring does.  SP_CUDA_REDUCE_FLOATS at a time, so that what is received has a fixed place.
 *
 * Where NCCL is not built in or cannot start, copies between devices do the same, with waits. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "trainer.h"
#ifdef SP_HAVE_NCCL
#include <nccl.h>
#endif

/* Trainers that reduce together; made by their first call, shared by all of them. */
struct sp_cuda_group {
  size_t n;
  struct sp_trainer *members[SP_MAX_DEVICES];
  bool nccl; /* it started */
#ifdef SP_HAVE_NCCL
  ncclComm_t comms[SP_MAX_DEVICES];
#endif
};

/* A chunk of every member's array, and the floats that one member owns of it, at most. */
struct chunk {
  float *x[SP_MAX_DEVICES];
  size_t count, slice;
};

static size_t slice_count(const struct chunk *chunk, size_t owner) {
  size_t first = sp_min_size(owner * chunk->slice, chunk->count);
  return sp_min_size(chunk->slice, chunk->count - first);
}
static float *slice_of(const struct chunk *chunk, size_t member, size_t owner) {
  return chunk->x[member] + owner * chunk->slice;
}
/* Where `owner` receives the member's values of its slice. */
static float *received_from(const struct sp_cuda_group *group, const struct chunk *chunk,
                            size_t owner, size_t member) {
  return group->members[owner]->received + member * chunk->slice;
}

/* ---- groups ---- */

#ifdef SP_HAVE_NCCL

static void start_nccl(struct sp_cuda_group *group) {
  int ordinals[SP_MAX_DEVICES] = {0};
  for (size_t i = 0; i < group->n; i++) {
    ordinals[i] = group->members[i]->device->ordinal;
  }
  group->nccl = ncclCommInitAll(group->comms, (int)group->n, ordinals) == ncclSuccess;
  if (!group->nccl) {
    (void)cudaGetLastError(); /* copies do as well */
  }
}

static void stop_nccl(struct sp_cuda_group *group, bool broken) {
  for (size_t i = 0; i < group->n && group->nccl; i++) { /* abort where a transfer may never end */
    (void)(broken ? ncclCommAbort(group->comms[i]) : ncclCommDestroy(group->comms[i]));
  }
}

#else

static void start_nccl(struct sp_cuda_group *group) {
  group->nccl = false;
}
static void stop_nccl(struct sp_cuda_group *group, bool broken) {
  (void)group;
  (void)broken;
}

#endif

/* Communicators end when nothing of theirs is under way; broken ones first, else that may never be.
 * Nobody's memory is in use afterwards. */
static void end_group(struct sp_cuda_group *group, bool broken) {
  if (broken) {
    stop_nccl(group, broken);
  }
  for (size_t i = 0; i < group->n; i++) {
    struct sp_trainer *member = group->members[i];
    member->group = NULL;
    sp_cuda_ignore(cudaSetDevice(member->device->ordinal));
    sp_cuda_ignore(cudaStreamSynchronize(member->stream));
  }
  if (!broken) {
    stop_nccl(group, broken);
  }
  free(group);
}

void sp_cuda_leave_group(struct sp_trainer *trainer) {
  if (trainer->group) {
    end_group(trainer->group, false);
  }
}

static bool is_group(const struct sp_cuda_group *group, struct sp_trainer *const *trainers,
                     size_t n) {
  return group && group->n == n && memcmp(group->members, trainers, n * sizeof *trainers) == 0;
}

static enum sp_status find_group(struct sp_trainer *const *trainers, size_t n,
                                 struct sp_cuda_group **out, struct sp_error *err) {
  struct sp_device *devices[SP_MAX_DEVICES];
  *out = trainers[0]->group;
  if (is_group(*out, trainers, n)) {
    return SP_OK;
  }
  for (size_t i = 0; i < n; i++) {
    sp_cuda_leave_group(trainers[i]);
    devices[i] = &trainers[i]->device->base;
  }
  SP_TRY(sp_cuda_check_types(devices, n, err));
  struct sp_cuda_group *group = calloc(1, sizeof *group);
  if (!group) {
    return sp_fail_memory(err, sizeof *group);
  }
  group->n = n;
  memcpy(group->members, trainers, n * sizeof *trainers);
  start_nccl(group);
  for (size_t i = 0; i < n; i++) {
    trainers[i]->group = group;
  }
  *out = group;
  return SP_OK;
}

/* ---- one chunk ---- */

/* Every owner adds its slice, on its stream. */
static enum sp_status add_slices(const struct sp_cuda_group *group, const struct chunk *chunk,
                                 struct sp_error *err) {
  for (size_t owner = 0; owner < group->n; owner++) {
    const struct sp_trainer *trainer = group->members[owner];
    const float *from[SP_MAX_DEVICES] = {NULL};
    for (size_t i = 0; i < group->n; i++) {
      from[i] = i == owner ? slice_of(chunk, owner, owner) : received_from(group, chunk, owner, i);
    }
    if (slice_count(chunk, owner) > 0) {
      SP_TRY(sp_cuda_enter(trainer->device, err));
      SP_TRY(SP_CUDA(
          trainer->device,
          sp_cuda_train_ordered_sum(trainer->stream, from, group->n, slice_count(chunk, owner),
                                    slice_of(chunk, owner, owner)),
          err));
    }
  }
  return SP_OK;
}

#ifdef SP_HAVE_NCCL

/* One way of a slice: from a member to its owner or, with the sum, back. */
static ncclResult_t carry(const struct sp_cuda_group *group, const struct chunk *chunk,
                          size_t owner, size_t member, bool back) {
  size_t count = slice_count(chunk, owner);
  size_t from = back ? owner : member, to = back ? member : owner;
  const float *data = slice_of(chunk, from, owner);
  float *place = back ? slice_of(chunk, to, owner) : received_from(group, chunk, owner, member);
  if (count == 0) {
    return ncclSuccess;
  }
  ncclResult_t result =
      ncclSend(data, count, ncclFloat, (int)to, group->comms[from], group->members[from]->stream);
  return result != ncclSuccess ? result
                               : ncclRecv(place, count, ncclFloat, (int)from, group->comms[to],
                                          group->members[to]->stream);
}

/* All slices one way; a group, since one thread drives every device. */
static enum sp_status carry_all(const struct sp_cuda_group *group, const struct chunk *chunk,
                                bool back, struct sp_error *err) {
  ncclResult_t result = ncclGroupStart();
  if (result == ncclSuccess) {
    for (size_t owner = 0; owner < group->n; owner++) {
      for (size_t i = 0; i < group->n && result == ncclSuccess; i++) {
        result = i == owner ? ncclSuccess : carry(group, chunk, owner, i, back);
      }
    }
    ncclResult_t ended = ncclGroupEnd();
    result = result != ncclSuccess ? result : ended;
  }
  return result == ncclSuccess
             ? SP_OK
             : sp_fail(err, SP_EDEVICE, "%s: NCCL: %s", group->members[0]->device->base.name,
                       ncclGetErrorString(result));
}

static enum sp_status reduce_by_nccl(const struct sp_cuda_group *group, const struct chunk *chunk,
                                     struct sp_error *err) {
  SP_TRY(carry_all(group, chunk, false, err));
  SP_TRY(add_slices(group, chunk, err));
  return carry_all(group, chunk, true, err);
}

#else

static enum sp_status reduce_by_nccl(const struct sp_cuda_group *group, const struct chunk *chunk,
                                     struct sp_error *err) {
  (void)chunk;
  return sp_fail(err, SP_EDEVICE, "%s: NCCL is not in this build",
                 group->members[0]->device->base.name);
}

#endif

static enum sp_status wait_for_all(const struct sp_cuda_group *group, struct sp_error *err) {
  for (size_t i = 0; i < group->n; i++) {
    SP_TRY(sp_cuda_train_finish(group->members[i], err));
  }
  return SP_OK;
}

/* Slices to their owners or, with the sums, back; on the stream of whoever receives. */
static enum sp_status copy_all(const struct sp_cuda_group *group, const struct chunk *chunk,
                               bool back, struct sp_error *err) {
  for (size_t owner = 0; owner < group->n; owner++) {
    size_t bytes = slice_count(chunk, owner) * sizeof(float);
    for (size_t i = 0; i < group->n && bytes > 0; i++) {
      const struct sp_trainer *from = group->members[back ? owner : i];
      const struct sp_trainer *to = group->members[back ? i : owner];
      if (i != owner) {
        SP_TRY(sp_cuda_enter(to->device, err));
        SP_TRY(SP_CUDA(to->device,
                       cudaMemcpyPeerAsync(
                           back ? slice_of(chunk, i, owner) : received_from(group, chunk, owner, i),
                           to->device->ordinal, slice_of(chunk, back ? owner : i, owner),
                           from->device->ordinal, bytes, to->stream),
                       err));
      }
    }
  }
  return SP_OK;
}

/* A device writes no slice that another still reads: before the wait nobody else reads its own. */
static enum sp_status reduce_by_copies(const struct sp_cuda_group *group, const struct chunk *chunk,
                                       struct sp_error *err) {
  SP_TRY(wait_for_all(group, err));
  SP_TRY(copy_all(group, chunk, false, err));
  SP_TRY(add_slices(group, chunk, err));
  SP_TRY(wait_for_all(group, err));
  SP_TRY(copy_all(group, chunk, true, err));
  return wait_for_all(group, err);
}

static enum sp_status reduce(const struct sp_cuda_group *group, float *const *x, size_t count,
                             struct sp_error *err) {
  const size_t quantum = 4; /* 16 bytes */
  size_t slice = SP_CUDA_REDUCE_FLOATS / group->n / quantum * quantum, most = slice * group->n;
  for (size_t first = 0; first < count; first += most) {
    struct chunk chunk = {.count = sp_min_size(most, count - first)};
    chunk.slice = sp_round_up((chunk.count + group->n - 1) / group->n, quantum);
    for (size_t i = 0; i < group->n; i++) {
      chunk.x[i] = x[i] + first;
    }
    SP_TRY((group->nccl ? reduce_by_nccl : reduce_by_copies)(group, &chunk, err));
  }
  return SP_OK;
}

enum sp_status sp_cuda_all_reduce(struct sp_trainer *const *trainers, float *const *x,
                                  size_t devices, size_t count, struct sp_error *err) {
  struct sp_cuda_group *group;
  if (devices < 2 || devices > SP_MAX_DEVICES) {
    return devices < 2 ? SP_OK : sp_fail(err, SP_EDEVICE, "%zu devices are too many", devices);
  }
  SP_TRY(find_group(trainers, devices, &group, err));
  enum sp_status status = reduce(group, x, count, err);
  if (status != SP_OK) {
    end_group(group, true);
  }
  return status;
}
