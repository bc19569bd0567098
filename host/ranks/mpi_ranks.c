#include "mpi_ranks.h"

#include <mpi.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "thread.h"

enum {
  piece_bytes = 1 << 24, /* of a broadcast: MPI counts in int */
  sum_values = 1 << 16,  /* of all ranks, that are gathered at a time */
  serve_nanoseconds = 1000000,
  serve_tag = 0 /* nobody sends under it */
};

enum operation { BROADCAST, SUM, AGREE };
static const char *const operation_names[] = {"broadcast", "sum", "agree"};

/* What a rank came for. */
struct visit {
  int32_t operation, status;
  uint64_t amount; /* bytes, values */
};

struct job {
  struct sp_ranks table; /* first: what callers hold */
  bool own;              /* MPI was initialised here */
  bool broken;           /* a call of MPI failed */
  struct sp_error ended; /* the failure that all ranks agreed on, or SP_OK */
  struct visit *visits;  /* (count) of the last meeting */
  MPI_Comm comm;
  MPI_Win window;
  uint64_t *counter;     /* on rank 0 */
  pthread_mutex_t calls; /* one call of MPI at a time */
  pthread_t server;
  bool serving;
  atomic_bool stop;
};

/* ---- calls ---- */

static enum sp_status check(struct job *job, int code, const char *call, struct sp_error *err) {
  char text[MPI_MAX_ERROR_STRING] = "unknown error";
  int len = 0;
  if (code == MPI_SUCCESS) {
    return SP_OK;
  }
  pthread_mutex_lock(&job->calls);
  MPI_Error_string(code, text, &len);
  pthread_mutex_unlock(&job->calls);
  job->broken = true;
  return sp_fail(err, SP_EDEVICE, "%s failed on rank %zu of %zu (node %s): %s", call,
                 job->table.rank, job->table.count, job->table.node, text);
}

/* MPI_NAME(..) under the mutex, checked. */
#define CALL(job, name, err, ...)                   \
  do {                                              \
    pthread_mutex_lock(&(job)->calls);              \
    int call_code_ = name(__VA_ARGS__);             \
    pthread_mutex_unlock(&(job)->calls);            \
    SP_TRY(check((job), call_code_, #name, (err))); \
  } while (0)

/* After `broken`. */
static enum sp_status refuse(const struct job *job, const char *operation, struct sp_error *err) {
  return sp_fail(err, SP_EDEVICE, "%s: an earlier call of MPI failed on rank %zu of %zu (node %s)",
                 operation, job->table.rank, job->table.count, job->table.node);
}

/* Sleeps an eighth of what was waited already, up to 10 ms. */
static void rest(double waited) {
  double seconds = waited / 8 < 0.01 ? waited / 8 : 0.01;
  if (seconds < 20e-6) {
    sched_yield();
    return;
  }
  struct timespec time = {0, (long)(seconds * 1e9)};
  nanosleep(&time, NULL);
}

static enum sp_status await(struct job *job, MPI_Request *request, struct sp_error *err) {
  double start = sp_clock_seconds();
  for (int done = 0;;) {
    CALL(job, MPI_Test, err, request, &done, MPI_STATUS_IGNORE);
    if (done) {
      return SP_OK;
    }
    rest(sp_clock_seconds() - start);
  }
}

/* ---- meetings ---- */

/* What counts most: a failure before an interruption before success; of equals the first rank. */
static size_t worst_visit(const struct job *job) {
  size_t worst = 0;
  int most = 0;
  for (size_t i = 0; i < job->table.count; i++) {
    int32_t status = job->visits[i].status;
    int severity = status == SP_OK ? 0 : status == SP_EINTERRUPTED ? 1 : 2;
    if (severity > most) {
      worst = i;
      most = severity;
    }
  }
  return worst;
}

static enum sp_status repeat_end(const struct job *job, struct sp_error *err) {
  return sp_fail(err, job->ended.status, "%s", job->ended.message);
}

/* The failure of rank `from`, with its message, becomes everybody's. */
static enum sp_status end_with(struct job *job, size_t from, struct sp_error *err) {
  struct sp_error *ended = &job->ended;
  enum sp_status status = (enum sp_status)job->visits[from].status;
  if (from == job->table.rank) {
    sp_fail(ended, status, "rank %zu of %zu (node %s): %s", from, job->table.count, job->table.node,
            err && err->status == status ? err->message : sp_status_text(status));
  }
  CALL(job, MPI_Bcast, err, ended->message, sizeof ended->message, MPI_CHAR, (int)from, job->comm);
  ended->status = status;
  ended->message[sizeof ended->message - 1] = '\0';
  return repeat_end(job, err);
}

/* Ranks of one program run into this only when it has a fault. */
static enum sp_status check_alike(struct job *job, const struct visit *own, struct sp_error *err) {
  for (size_t i = 0; i < job->table.count; i++) {
    const struct visit *other = &job->visits[i];
    if (other->operation != own->operation || other->amount != own->amount) {
      return sp_fail(err, SP_EDEVICE,
                     "ranks %zu and %zu of %zu do not do the same: %s of %llu beside %s of %llu",
                     job->table.rank, i, job->table.count, operation_names[own->operation],
                     (unsigned long long)own->amount, operation_names[other->operation],
                     (unsigned long long)other->amount);
    }
  }
  return SP_OK;
}

/* `err` holds the message of a `status` that is a failure. */
static enum sp_status meet(struct job *job, enum operation operation, uint64_t amount,
                           enum sp_status status, struct sp_error *err) {
  struct visit own = {(int32_t)operation, (int32_t)status, amount};
  MPI_Request request;
  if (job->ended.status != SP_OK) {
    return repeat_end(job, err);
  }
  if (job->broken) {
    return status != SP_OK ? status : refuse(job, operation_names[operation], err);
  }
  CALL(job, MPI_Iallgather, err, &own, sizeof own, MPI_BYTE, job->visits, sizeof own, MPI_BYTE,
       job->comm, &request);
  SP_TRY(await(job, &request, err));
  size_t worst = worst_visit(job);
  return job->visits[worst].status != SP_OK ? end_with(job, worst, err)
                                            : check_alike(job, &own, err);
}

/* ---- the table ---- */

static enum sp_status take_ticket(void *context, uint64_t *ticket, struct sp_error *err) {
  struct job *job = context;
  static const uint64_t one = 1;
  if (job->broken) {
    return refuse(job, "ticket", err);
  }
  CALL(job, MPI_Fetch_and_op, err, &one, ticket, MPI_UINT64_T, 0, 0, MPI_SUM, job->window);
  CALL(job, MPI_Win_flush, err, 0, job->window);
  return SP_OK;
}

static enum sp_status broadcast(void *context, void *data, size_t bytes, struct sp_error *err) {
  struct job *job = context;
  SP_TRY(meet(job, BROADCAST, bytes, SP_OK, err));
  for (size_t at = 0; at < bytes; at += piece_bytes) {
    size_t piece = bytes - at < piece_bytes ? bytes - at : piece_bytes;
    CALL(job, MPI_Bcast, err, (char *)data + at, (int)piece, MPI_BYTE, 0, job->comm);
  }
  return SP_OK;
}

/* `all` has room for the values of every rank. */
static enum sp_status sum_piece(struct job *job, double *values, size_t n, double *all,
                                struct sp_error *err) {
  CALL(job, MPI_Allgather, err, values, (int)n, MPI_DOUBLE, all, (int)n, MPI_DOUBLE, job->comm);
  for (size_t i = 0; i < n; i++) {
    double total = all[i];
    for (size_t rank = 1; rank < job->table.count; rank++) {
      total += all[rank * n + i];
    }
    values[i] = total;
  }
  return SP_OK;
}

static enum sp_status sum(void *context, double *values, size_t n, struct sp_error *err) {
  struct job *job = context;
  size_t piece = job->table.count < sum_values ? sum_values / job->table.count : 1;
  double *all = malloc(piece * job->table.count * sizeof *all);
  enum sp_status status = SP_OK;
  if (!all) {
    return sp_fail_memory(err, piece * job->table.count * sizeof *all);
  }
  SP_TRY_GOTO(meet(job, SUM, n, SP_OK, err), release);
  for (size_t at = 0; at < n && status == SP_OK; at += piece) {
    status = sum_piece(job, values + at, n - at < piece ? n - at : piece, all, err);
  }
release:
  free(all);
  return status;
}

static enum sp_status agree(void *context, enum sp_status status, struct sp_error *err) {
  return meet(context, AGREE, 0, status, err);
}

/* ---- opening ---- */

/* Any call would do that lets the library look at the network. */
static void *serve(void *context) {
  struct job *job = context;
  static const struct timespec pause = {0, serve_nanoseconds};
  while (!atomic_load(&job->stop)) {
    int found;
    pthread_mutex_lock(&job->calls);
    MPI_Iprobe(MPI_ANY_SOURCE, serve_tag, job->comm, &found, MPI_STATUS_IGNORE);
    pthread_mutex_unlock(&job->calls);
    nanosleep(&pause, NULL);
  }
  return NULL;
}

static enum sp_status init_mpi(struct job *job, struct sp_error *err) {
  int initialized = 0, level = 0;
  CALL(job, MPI_Initialized, err, &initialized);
  if (initialized) {
    CALL(job, MPI_Query_thread, err, &level);
  } else {
    CALL(job, MPI_Init_thread, err, NULL, NULL, MPI_THREAD_SERIALIZED, &level);
    job->own = true;
  }
  return level >= MPI_THREAD_SERIALIZED
             ? SP_OK
             : sp_fail(err, SP_EDEVICE,
                       "%s gives threads no access to MPI (MPI_THREAD_SERIALIZED "
                       "is needed)",
                       sp_ranks_library());
}

static enum sp_status find_place(struct job *job, struct sp_error *err) {
  int rank, count, len = 0;
  char node[MPI_MAX_PROCESSOR_NAME] = "";
  CALL(job, MPI_Get_processor_name, err, node, &len);
  snprintf(job->table.node, sizeof job->table.node, "%.*s", (int)sizeof job->table.node - 1, node);
  CALL(job, MPI_Comm_dup, err, MPI_COMM_WORLD, &job->comm);
  CALL(job, MPI_Comm_set_errhandler, err, job->comm, MPI_ERRORS_RETURN);
  CALL(job, MPI_Comm_rank, err, job->comm, &rank);
  CALL(job, MPI_Comm_size, err, job->comm, &count);
  job->table.rank = (size_t)rank;
  job->table.count = (size_t)count;
  job->visits = calloc((size_t)count, sizeof *job->visits);
  return job->visits ? SP_OK : sp_fail_memory(err, (size_t)count * sizeof *job->visits);
}

/* The ranks that share memory with this one. */
static enum sp_status split_node(struct job *job, MPI_Comm *local, struct sp_error *err) {
  CALL(job, MPI_Comm_split_type, err, job->comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, local);
  return SP_OK;
}
static enum sp_status join_node(struct job *job, MPI_Comm *local, struct sp_error *err) {
  CALL(job, MPI_Comm_free, err, local);
  return SP_OK;
}

/* Which ranks those are, and the processors that they have together. */
static enum sp_status find_neighbours(struct job *job, struct sp_error *err) {
  MPI_Comm local;
  int rank, count;
  cpu_set_t own, all;
  CPU_ZERO(&own);
  sched_getaffinity(0, sizeof own, &own); /* none where there are over 1,024 */
  SP_TRY(split_node(job, &local, err));
  CALL(job, MPI_Comm_rank, err, local, &rank);
  CALL(job, MPI_Comm_size, err, local, &count);
  CALL(job, MPI_Allreduce, err, &own, &all, sizeof own, MPI_BYTE, MPI_BOR, local);
  SP_TRY(join_node(job, &local, err));
  job->table.local_rank = (size_t)rank;
  job->table.local_count = (size_t)count;
  job->table.local_cpus = (size_t)CPU_COUNT(&all);
  return SP_OK;
}

static enum sp_status make_counter(struct job *job, struct sp_error *err) {
  MPI_Aint bytes = job->table.rank == 0 ? sizeof *job->counter : 0;
  CALL(job, MPI_Win_allocate, err, bytes, sizeof *job->counter, MPI_INFO_NULL, job->comm,
       &job->counter, &job->window);
  CALL(job, MPI_Win_set_errhandler, err, job->window, MPI_ERRORS_RETURN);
  CALL(job, MPI_Win_lock_all, err, 0, job->window);
  if (job->table.rank == 0) {
    *job->counter = 0;
    CALL(job, MPI_Win_sync, err, job->window);
  }
  CALL(job, MPI_Barrier, err, job->comm);
  return SP_OK;
}

static enum sp_status start_server(struct job *job, struct sp_error *err) {
  if (job->table.rank == 0 && job->table.count > 1) {
    int code = sp_thread_start(&job->server, serve, job);
    if (code != 0) {
      return sp_fail(err, SP_EDEVICE, "cannot create a thread: %s", strerror(code));
    }
    job->serving = true;
  }
  return SP_OK;
}

static enum sp_status open_job(struct job *job, struct sp_error *err) {
  SP_TRY(init_mpi(job, err));
  SP_TRY(find_place(job, err));
  SP_TRY(find_neighbours(job, err));
  SP_TRY(make_counter(job, err));
  return start_server(job, err);
}

enum sp_status sp_ranks_open(struct sp_ranks **out, struct sp_error *err) {
  struct job *job = calloc(1, sizeof *job);
  sigset_t before;
  *out = NULL;
  if (!job) {
    return sp_fail_memory(err, sizeof *job);
  }
  job->comm = MPI_COMM_NULL;
  job->window = MPI_WIN_NULL;
  job->table = (struct sp_ranks){.count = 1,
                                 .context = job,
                                 .ticket = take_ticket,
                                 .broadcast = broadcast,
                                 .sum = sum,
                                 .agree = agree};
  pthread_mutex_init(&job->calls, NULL);
  /* Threads that are made here, MPI's own among them, leave signals to the thread that waits for them. */
  sp_signals_hold(&before);
  enum sp_status status = open_job(job, err);
  sp_signals_release(&before);
  if (status != SP_OK) {
    job->broken = true; /* no rank can count on the others */
    sp_ranks_close(&job->table);
    return status;
  }
  *out = &job->table;
  return SP_OK;
}

/* ---- closing ---- */

static void stop_server(struct job *job) {
  if (job->serving) {
    atomic_store(&job->stop, true);
    pthread_join(job->server, NULL);
    job->serving = false;
  }
}

/* Rank 0 serves tickets until all are here. */
static enum sp_status leave(struct job *job, struct sp_error *err) {
  MPI_Request request;
  CALL(job, MPI_Ibarrier, err, job->comm, &request);
  SP_TRY(await(job, &request, err));
  stop_server(job);
  CALL(job, MPI_Win_unlock_all, err, job->window);
  CALL(job, MPI_Win_free, err, &job->window);
  CALL(job, MPI_Comm_free, err, &job->comm);
  if (job->own) {
    CALL(job, MPI_Finalize, err);
  }
  return SP_OK;
}

void sp_ranks_close(struct sp_ranks *ranks) {
  struct job *job = (struct job *)ranks;
  struct sp_error nobody; /* what failed in the job has been told; the process ends either way */
  if (!job) {
    return;
  }
  if (!job->broken && leave(job, &nobody) != SP_OK) {
    job->broken = true;
  }
  stop_server(job);
  pthread_mutex_destroy(&job->calls);
  free(job->visits);
  free(job);
}

/* ---- groups ---- */

static enum sp_status count_equal(struct job *job, MPI_Comm local, uint64_t key, uint64_t *keys,
                                  size_t *rank, size_t *count, struct sp_error *err) {
  CALL(job, MPI_Allgather, err, &key, 1, MPI_UINT64_T, keys, 1, MPI_UINT64_T, local);
  *rank = *count = 0;
  for (size_t i = 0; i < job->table.local_count; i++) {
    *rank += keys[i] == key && i < job->table.local_rank;
    *count += keys[i] == key;
  }
  return SP_OK;
}

enum sp_status sp_ranks_group(struct sp_ranks *ranks, uint64_t key, size_t *rank, size_t *count,
                              struct sp_error *err) {
  struct job *job = (struct job *)ranks;
  MPI_Comm local;
  uint64_t *keys = calloc(ranks->local_count, sizeof *keys);
  if (!keys) {
    job->broken = true; /* the others wait for this one */
    return sp_fail_memory(err, ranks->local_count * sizeof *keys);
  }
  enum sp_status status;
  SP_TRY_GOTO(split_node(job, &local, err), release);
  SP_TRY_GOTO(count_equal(job, local, key, keys, rank, count, err), release);
  status = join_node(job, &local, err);
release:
  free(keys);
  return status;
}

enum sp_ranks_state sp_ranks_get_state(const struct sp_ranks *ranks) {
  const struct job *job = (const struct job *)ranks;
  return job->broken                  ? SP_RANKS_BROKEN
         : job->ended.status != SP_OK ? SP_RANKS_ENDED
                                      : SP_RANKS_GOING;
}

const char *sp_ranks_library(void) {
  static char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int len = 0;
  if (MPI_Get_library_version(text, &len) != MPI_SUCCESS) {
    return "MPI";
  }
  text[strcspn(text, ",\n")] = '\0'; /* what follows is who built it */
  return text;
}
