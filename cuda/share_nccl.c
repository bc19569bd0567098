/* share_nccl.c - one communicator of all devices of all ranks, for one broadcast of the weights.
 *
 * Nothing here waits for long: a network on which NCCL does not find the other ranks would otherwise keep the job
 * for ever.  Communicators are non-blocking (NCCL 2.14), each step is looked after until its limit, and
 * what is not done by then is aborted.  After each step the ranks add up who failed, so that all give up
 * together.  (The environment's NCCL_COMM_BLOCKING=1 would take that from us.) */
#include "share.h"

#ifdef SP_CUDA_NCCL_JOBS

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "check.h"
#include "checked.h"
#include "clock.h"

/* For the ranks to find each other, and for each chunk. */
#ifndef SP_CUDA_NCCL_SECONDS
#define SP_CUDA_NCCL_SECONDS 60
#endif

enum { reason_chars = 240 };

struct world {
  struct sp_device *const *devices;
  ncclComm_t comms[SP_MAX_DEVICES]; /* (n) NULL: there is none */
  size_t n;
  size_t first, count; /* of the devices of all ranks: which devices[0] is, how many these are */
};

static enum sp_status fail(const char *what, ncclResult_t result, struct sp_error *err) {
  const char *more = ncclGetLastError(NULL);
  bool tells = more && *more != '\0';
  return sp_fail(err, SP_EDEVICE, "%s: %s%s%s", what, ncclGetErrorString(result), tells ? ": " : "",
                 tells ? more : "");
}

/* ---- all ranks ---- */

/* What the first rank that failed says. */
static enum sp_status note_reason(struct sp_share_job *job, size_t failed,
                                  const struct sp_error *why, struct sp_error *err) {
  double chars[reason_chars] = {0};
  char text[reason_chars + 1] = "";
  for (size_t i = 0; job->rank == failed && i < reason_chars && why->message[i] != '\0'; i++) {
    chars[i] = (unsigned char)why->message[i];
  }
  SP_TRY(job->sum(job->context, chars, reason_chars, err));
  for (size_t i = 0; i < reason_chars; i++) {
    text[i] = (char)chars[i];
  }
  snprintf(job->notice, sizeof job->notice,
           "NCCL failed on rank %zu of %zu, the weights go through the hosts: %s", failed,
           job->count, text);
  return SP_OK;
}

/* *all: no rank has failed. `why` tells why this one did. */
static enum sp_status meet(struct sp_share_job *job, enum sp_status own, const struct sp_error *why,
                           bool *all, struct sp_error *err) {
  double *failed = calloc(job->count, sizeof *failed);
  if (!failed) {
    return sp_fail_memory(err, job->count * sizeof *failed);
  }
  failed[job->rank] = own != SP_OK;
  enum sp_status status = job->sum(job->context, failed, job->count, err);
  size_t first = 0;
  while (status == SP_OK && first < job->count && failed[first] == 0) {
    first++;
  }
  free(failed);
  SP_TRY(status);
  *all = first == job->count;
  return *all ? SP_OK : note_reason(job, first, why, err);
}

static enum sp_status number_devices(struct world *w, const struct sp_share_job *job,
                                     struct sp_error *err) {
  double *counts = calloc(job->count, sizeof *counts);
  if (!counts) {
    return sp_fail_memory(err, job->count * sizeof *counts);
  }
  counts[job->rank] = (double)w->n;
  enum sp_status status = job->sum(job->context, counts, job->count, err);
  for (size_t rank = 0; status == SP_OK && rank < job->count; rank++) {
    w->first += rank < job->rank ? (size_t)counts[rank] : 0;
    w->count += (size_t)counts[rank];
  }
  free(counts);
  return status;
}

static bool has_equal(const double *halves, size_t n) {
  for (size_t i = 0; i < n; i++) {
    for (size_t j = i + 1; j < n; j++) {
      if (halves[2 * i] == halves[2 * j] && halves[2 * i + 1] == halves[2 * j + 1]) {
        return true;
      }
    }
  }
  return false;
}

/* *shared: a GPU is there for two ranks, which NCCL does not do, and may wait for. */
static enum sp_status find_shared(const struct world *w, struct sp_share_job *job, bool *shared,
                                  struct sp_error *err) {
  double *halves = calloc(w->count, 2 * sizeof *halves); /* of each device's id */
  if (!halves) {
    return sp_fail_memory(err, sp_mul_sat(w->count, 2 * sizeof *halves));
  }
  for (size_t i = 0; i < w->n; i++) {
    struct sp_cuda_facts facts = {.id = 0};
    (void)sp_cuda_read_facts(sp_cuda_device_of(w->devices[i])->ordinal, &facts);
    halves[2 * (w->first + i)] = (double)(facts.id >> 32);
    halves[2 * (w->first + i) + 1] = (double)(facts.id & 0xffffffffu);
  }
  enum sp_status status = job->sum(job->context, halves, 2 * w->count, err);
  *shared = status == SP_OK && has_equal(halves, w->count);
  free(halves);
  if (*shared) {
    snprintf(job->notice, sizeof job->notice,
             "ranks share a GPU, which NCCL does not do: the weights go through the hosts");
  }
  return status;
}

/* ---- this rank ---- */

/* *busy: the communicator is at work, or its device. */
static enum sp_status look(const struct world *w, size_t i, const char *what, bool *busy,
                           struct sp_error *err) {
  const struct sp_cuda_device *cuda = sp_cuda_device_of(w->devices[i]);
  ncclResult_t state = ncclSuccess, result = ncclCommGetAsyncError(w->comms[i], &state);
  result = result != ncclSuccess ? result : state;
  *busy = result == ncclInProgress;
  if (result != ncclSuccess) {
    return *busy ? SP_OK : fail(what, result, err);
  }
  SP_TRY(sp_cuda_enter(cuda, err));
  cudaError_t error = cudaStreamQuery(cuda->setup);
  *busy = error == cudaErrorNotReady;
  if (*busy) {
    (void)cudaGetLastError();
    return SP_OK;
  }
  return sp_cuda_check(cuda, error, what, err);
}

static enum sp_status await(const struct world *w, const char *what, struct sp_error *err) {
  const struct timespec nap = {.tv_nsec = 200000};
  double until = sp_clock_seconds() + SP_CUDA_NCCL_SECONDS;
  for (bool any = true; any;) {
    any = false;
    for (size_t i = 0; i < w->n; i++) {
      bool busy;
      SP_TRY(look(w, i, what, &busy, err));
      any = any || busy;
    }
    if (any && sp_clock_seconds() > until) {
      return sp_fail(err, SP_EDEVICE, "%s: not done after %d s", what, SP_CUDA_NCCL_SECONDS);
    }
    if (any) {
      nanosleep(&nap, NULL);
    }
  }
  return SP_OK;
}

static ncclResult_t begin(struct world *w, ncclUniqueId id) {
  ncclResult_t result = ncclGroupStart();
  if (result != ncclSuccess) {
    return result;
  }
  for (size_t i = 0; i < w->n && !sp_cuda_nccl_failed(result); i++) {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    struct sp_error nobody; /* NCCL would say it again */
    result =
        sp_cuda_enter(sp_cuda_device_of(w->devices[i]), &nobody) == SP_OK
            ? ncclCommInitRankConfig(&w->comms[i], (int)w->count, id, (int)(w->first + i), &config)
            : ncclUnhandledCudaError;
  }
  ncclResult_t ended = ncclGroupEnd();
  return sp_cuda_nccl_failed(result) ? result : ended;
}

static enum sp_status start(struct world *w, ncclUniqueId id, struct sp_error *err) {
  ncclResult_t result = begin(w, id);
  return sp_cuda_nccl_failed(result) ? fail("ncclCommInitRankConfig", result, err)
                                     : await(w, "ncclCommInitRankConfig", err);
}

static enum sp_status broadcast(const struct world *w, struct sp_error *err) {
  const struct sp_cuda_chunk *chunks[SP_MAX_DEVICES] = {NULL};
  sp_cuda_first_chunks(w->devices, chunks, w->n);
  while (chunks[0]) {
    ncclResult_t result = sp_cuda_broadcast_chunk(w->comms, w->devices, chunks, w->n);
    if (sp_cuda_nccl_failed(result)) {
      return fail("ncclBroadcast", result, err);
    }
    SP_TRY(await(w, "ncclBroadcast", err));
  }
  return SP_OK;
}

/* Also when all is done: a destruction waits for other ranks. All in one group, since one communicator's end may wait
 * for the device's work of another. */
static void end(struct world *w) {
  bool grouped = ncclGroupStart() == ncclSuccess;
  for (size_t i = 0; i < w->n; i++) {
    if (w->comms[i]) {
      (void)ncclCommAbort(w->comms[i]);
    }
  }
  if (grouped) {
    (void)ncclGroupEnd();
  }
  (void)cudaGetLastError();
}

/* ---- both ---- */

/* Rank 0's; what it failed of is known to all when it comes to `meet`. */
static enum sp_status share_id(struct sp_share_job *job, ncclUniqueId *id, bool *made,
                               struct sp_error *err) {
  struct sp_error why = {0};
  ncclResult_t result = job->rank == 0 ? ncclGetUniqueId(id) : ncclSuccess;
  enum sp_status own = result == ncclSuccess ? SP_OK : fail("ncclGetUniqueId", result, &why);
  SP_TRY(meet(job, own, &why, made, err));
  return *made ? job->broadcast(job->context, id, sizeof *id, err) : SP_OK;
}

static enum sp_status run(struct world *w, struct sp_share_job *job, bool *done,
                          struct sp_error *err) {
  struct sp_error why = {0};
  ncclUniqueId id = {{0}};
  bool shared;
  SP_TRY(number_devices(w, job, err));
  SP_TRY(find_shared(w, job, &shared, err));
  if (shared) {
    return SP_OK;
  }
  SP_TRY(share_id(job, &id, done, err));
  if (!*done) {
    return SP_OK;
  }
  enum sp_status own = start(w, id, &why);
  SP_TRY(meet(job, own, &why, done, err));
  if (!*done) {
    return SP_OK;
  }
  own = broadcast(w, &why);
  return meet(job, own, &why, done, err);
}

enum sp_status sp_cuda_share_by_nccl(struct sp_device *const *devices, size_t n,
                                     struct sp_share_job *job, bool *done, struct sp_error *err) {
  struct world w = {.devices = devices, .n = n};
  *done = false;
  enum sp_status status = run(&w, job, done, err);
  end(&w);
  return status;
}

#else

enum sp_status sp_cuda_share_by_nccl(struct sp_device *const *devices, size_t n,
                                     struct sp_share_job *job, bool *done, struct sp_error *err) {
  (void)devices;
  (void)n;
  (void)job;
  (void)err;
  *done = false;
  return SP_OK;
}

#endif
