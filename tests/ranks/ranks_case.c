/* ranks_case.c - one rank of a test of the table: `ranks_case CASE`, a process a rank.
 *
 * Exits 0 when what the case says held here; says on standard error what did not. */
#include <fcntl.h>
#include <mpi.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "mpi_ranks.h"

#define EXPECT(ranks, condition)                                                          \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      fprintf(stderr, "rank %zu: %s:%d: not so: %s\n", (ranks)->rank, __FILE__, __LINE__, \
              #condition);                                                                \
      return 1;                                                                           \
    }                                                                                     \
  } while (0)

/* The library's calls end here first, so that one can fail. */
static bool fail_fetch, fail_gather;

int MPI_Fetch_and_op(const void *origin, void *result, MPI_Datatype type, int target, MPI_Aint disp,
                     MPI_Op op, MPI_Win win) {
  return fail_fetch ? MPI_ERR_WIN : PMPI_Fetch_and_op(origin, result, type, target, disp, op, win);
}

int MPI_Iallgather(const void *send, int sent, MPI_Datatype send_type, void *receive, int received,
                   MPI_Datatype receive_type, MPI_Comm comm, MPI_Request *request) {
  return fail_gather ? MPI_ERR_COMM
                     : PMPI_Iallgather(send, sent, send_type, receive, received, receive_type, comm,
                                       request);
}

static bool last(const struct sp_ranks *ranks) {
  return ranks->rank + 1 == ranks->count;
}

static enum sp_status ticket(const struct sp_ranks *ranks, uint64_t *out, struct sp_error *err) {
  return ranks->ticket(ranks->context, out, err);
}
static enum sp_status agree(const struct sp_ranks *ranks, enum sp_status own,
                            struct sp_error *err) {
  return ranks->agree(ranks->context, own, err);
}

static int place(const struct sp_ranks *ranks) {
  double seen[64] = {0};
  struct sp_error err;
  EXPECT(ranks, ranks->count == sp_ranks_launched() && ranks->rank < ranks->count);
  EXPECT(ranks, ranks->local_count == ranks->count && ranks->local_rank < ranks->local_count);
  EXPECT(ranks, ranks->local_cpus > 0 && ranks->node[0] != '\0' && ranks->count <= 32);
  seen[ranks->rank] = 1;
  seen[32 + ranks->local_rank] = 1;
  EXPECT(ranks, ranks->sum(ranks->context, seen, 64, &err) == SP_OK);
  for (size_t i = 0; i < 32; i++) {
    EXPECT(ranks, seen[i] == (i < ranks->count) && seen[32 + i] == seen[i]);
  }
  return 0;
}

/* Each of the first tickets is given once. */
static int tickets(const struct sp_ranks *ranks) {
  enum { n = 500 };
  static double mine[n];
  struct sp_error err;
  uint64_t before = 0;
  for (uint64_t number = 0; number < n; before = number) {
    EXPECT(ranks, ticket(ranks, &number, &err) == SP_OK);
    EXPECT(ranks, number >= before);
    if (number < n) {
      mine[number] += 1;
    }
  }
  EXPECT(ranks, ranks->sum(ranks->context, mine, n, &err) == SP_OK);
  for (size_t i = 0; i < n; i++) {
    EXPECT(ranks, mine[i] == 1);
  }
  return 0;
}

/* A count that all ranks of this machine see, of which MPI knows nothing; NULL: none could be made. */
static atomic_size_t *share_count(const struct sp_ranks *ranks) {
  char name[128];
  struct sp_error err;
  const char *base = getenv("TMPDIR");
  snprintf(name, sizeof name, "%s/ranks_case-XXXXXX", base && strlen(base) < 80 ? base : "/tmp");
  void *count = MAP_FAILED;
  int fd = ranks->rank == 0 ? mkstemp(name) : -1;
  bool sized = fd >= 0 && ftruncate(fd, sizeof(atomic_size_t)) == 0;
  if (ranks->broadcast(ranks->context, name, sizeof name, &err) == SP_OK && ranks->rank > 0) {
    fd = open(name, O_RDWR | O_CLOEXEC);
    sized = fd >= 0;
  }
  if (sized) {
    count = mmap(NULL, sizeof(atomic_size_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  }
  bool all = agree(ranks, SP_OK, &err) == SP_OK; /* all have opened it */
  if (fd >= 0) {
    close(fd);
  }
  if (ranks->rank == 0) {
    unlink(name);
  }
  return all && count != MAP_FAILED ? count : NULL;
}

/* Rank 0 computes, without a call of MPI, until the others have got their tickets. */
static int busy(const struct sp_ranks *ranks) {
  const double longest = 120; /* seconds: that long it only takes where they wait for rank 0 */
  struct sp_error err;
  atomic_size_t *served = share_count(ranks);
  EXPECT(ranks, served != NULL);
  double start = sp_clock_seconds();
  volatile double x = 1;
  while (ranks->rank == 0 && atomic_load(served) + 1 < ranks->count &&
         sp_clock_seconds() - start < longest) {
    x = x * 1.0000001 + 1e-9;
  }
  bool meanwhile = ranks->rank > 0 || atomic_load(served) + 1 == ranks->count;
  for (int i = 0; ranks->rank > 0 && i < 10; i++) {
    uint64_t number;
    EXPECT(ranks, ticket(ranks, &number, &err) == SP_OK);
  }
  atomic_fetch_add(served, ranks->rank > 0);
  EXPECT(ranks, agree(ranks, SP_OK, &err) == SP_OK);
  EXPECT(ranks, meanwhile);
  return 0;
}

static unsigned char pattern(size_t i) {
  return (unsigned char)(i * 2654435761u >> 13);
}

static int broadcast(const struct sp_ranks *ranks) {
  static const size_t sizes[] = {0, 1, 5, (1 << 24) - 1, 1 << 24, (1 << 25) + 7};
  struct sp_error err;
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    unsigned char *data = calloc(sizes[s] + 1, 1);
    EXPECT(ranks, data != NULL);
    for (size_t i = 0; ranks->rank == 0 && i < sizes[s]; i++) {
      data[i] = pattern(i);
    }
    EXPECT(ranks, ranks->broadcast(ranks->context, data, sizes[s], &err) == SP_OK);
    for (size_t i = 0; i < sizes[s]; i++) {
      EXPECT(ranks, data[i] == pattern(i));
    }
    EXPECT(ranks, data[sizes[s]] == 0);
    free(data);
  }
  return 0;
}

/* In rank order: these sums come out otherwise in another. */
static double value(size_t rank, size_t i) {
  return (rank % 2 ? -1e16 : 1e16) + 0.1 * (double)(rank + i % 97);
}

static int sum(const struct sp_ranks *ranks) {
  enum { n = 100001 };
  static double values[n];
  struct sp_error err;
  for (size_t i = 0; i < n; i++) {
    values[i] = value(ranks->rank, i);
  }
  EXPECT(ranks, ranks->sum(ranks->context, values, n, &err) == SP_OK);
  for (size_t i = 0; i < n; i++) {
    double want = value(0, i);
    for (size_t rank = 1; rank < ranks->count; rank++) {
      want += value(rank, i);
    }
    EXPECT(ranks, values[i] == want);
  }
  EXPECT(ranks, ranks->sum(ranks->context, values, 0, &err) == SP_OK);
  return 0;
}

/* Whether `err` says what rank `from` said. */
static bool says(const struct sp_ranks *ranks, const struct sp_error *err, size_t from,
                 const char *message) {
  char begin[64];
  snprintf(begin, sizeof begin, "rank %zu of %zu (node ", from, ranks->count);
  const char *end = strstr(err->message, "): ");
  return strncmp(err->message, begin, strlen(begin)) == 0 && end && strcmp(end + 3, message) == 0;
}

static int failure(const struct sp_ranks *ranks) {
  struct sp_error err = {0};
  EXPECT(ranks, agree(ranks, SP_OK, &err) == SP_OK);
  enum sp_status own = last(ranks) ? sp_fail(&err, SP_EIO, "the disk is full") : SP_OK;
  EXPECT(ranks, agree(ranks, own, &err) == SP_EIO && err.status == SP_EIO);
  EXPECT(ranks, says(ranks, &err, ranks->count - 1, "the disk is full"));
  EXPECT(ranks, sp_ranks_get_state(ranks) == SP_RANKS_ENDED);
  struct sp_error again = {0};
  EXPECT(ranks, agree(ranks, SP_OK, &again) == SP_EIO);
  EXPECT(ranks, strcmp(again.message, err.message) == 0);
  return 0;
}

/* An interruption gives way to a failure, and of failures the first rank's counts. */
static int worst(const struct sp_ranks *ranks) {
  struct sp_error err = {0};
  enum sp_status own = SP_EINTERRUPTED;
  if (ranks->rank > 0) {
    own = ranks->rank == 1 ? SP_EDEVICE : SP_EIO;
  }
  sp_fail(&err, own, "rank %zu stops", ranks->rank);
  enum sp_status want = ranks->count == 1 ? SP_EINTERRUPTED : SP_EDEVICE;
  EXPECT(ranks, agree(ranks, own, &err) == want);
  EXPECT(ranks, ranks->count == 1 ? says(ranks, &err, 0, "rank 0 stops")
                                  : says(ranks, &err, 1, "rank 1 stops"));
  return 0;
}

/* The last rank fails early: the others learn of it in the collective that they are in. */
static int early(const struct sp_ranks *ranks) {
  struct sp_error err = {0};
  double values[3] = {1, 2, 3};
  char bytes[100] = "";
  if (last(ranks)) {
    sp_fail(&err, SP_EMODEL, "no such model");
    EXPECT(ranks, agree(ranks, SP_EMODEL, &err) == SP_EMODEL);
  } else {
    EXPECT(ranks, ranks->broadcast(ranks->context, bytes, sizeof bytes, &err) == SP_EMODEL);
    EXPECT(ranks, says(ranks, &err, ranks->count - 1, "no such model"));
    EXPECT(ranks, ranks->sum(ranks->context, values, 3, &err) == SP_EMODEL);
    EXPECT(ranks, agree(ranks, SP_EMODEL, &err) == SP_EMODEL);
  }
  EXPECT(ranks, says(ranks, &err, ranks->count - 1, "no such model"));
  return 0;
}

/* A fault of the program: every rank is told, none waits. */
static int unlike(const struct sp_ranks *ranks) {
  struct sp_error err = {0};
  char bytes[8] = "";
  enum sp_status status =
      last(ranks) ? agree(ranks, SP_OK, &err) : ranks->broadcast(ranks->context, bytes, 8, &err);
  EXPECT(ranks, status == (ranks->count > 1 ? SP_EDEVICE : SP_OK));
  EXPECT(ranks, ranks->count == 1 || strstr(err.message, "do not do the same"));
  return 0;
}

/* MPI fails on the last rank, which says so and ends; the others wait for it, and the launcher ends them. */
static int broken(const struct sp_ranks *ranks, bool gather) {
  struct sp_error err = {0};
  uint64_t number;
  if (last(ranks)) {
    fail_fetch = !gather;
    fail_gather = gather;
    enum sp_status status = gather ? agree(ranks, SP_OK, &err) : ticket(ranks, &number, &err);
    EXPECT(ranks, status == SP_EDEVICE);
    EXPECT(ranks, sp_ranks_get_state(ranks) == SP_RANKS_BROKEN);
    fprintf(stderr, "%s\n", err.message);
    EXPECT(ranks, agree(ranks, status, &err) == SP_EDEVICE);
    EXPECT(ranks, ticket(ranks, &number, &err) == SP_EDEVICE);
    EXPECT(ranks, strstr(err.message, "an earlier call of MPI failed"));
    return 5;
  }
  enum sp_status status = agree(ranks, SP_OK, &err);
  fprintf(stderr, "rank %zu came through: %d %s\n", ranks->rank, (int)status, err.message);
  return 0;
}
static int broken_ticket(const struct sp_ranks *ranks) {
  return broken(ranks, false);
}
static int broken_meeting(const struct sp_ranks *ranks) {
  return broken(ranks, true);
}

static int die(const struct sp_ranks *ranks, size_t who) {
  struct sp_error err = {0};
  uint64_t number;
  EXPECT(ranks, ticket(ranks, &number, &err) == SP_OK);
  if (ranks->rank == who) {
    raise(SIGKILL);
  }
  enum sp_status status = agree(ranks, SP_OK, &err);
  fprintf(stderr, "rank %zu came through: %d\n", ranks->rank, (int)status);
  return 0;
}
static int killed_head(const struct sp_ranks *ranks) {
  return die(ranks, 0);
}
static int killed_other(const struct sp_ranks *ranks) {
  return die(ranks, ranks->count - 1);
}

static const struct {
  const char *name;
  int (*run)(const struct sp_ranks *ranks);
} cases[] = {{"place", place},
             {"tickets", tickets},
             {"busy", busy},
             {"broadcast", broadcast},
             {"sum", sum},
             {"failure", failure},
             {"worst", worst},
             {"early", early},
             {"unlike", unlike},
             {"broken_ticket", broken_ticket},
             {"broken_meeting", broken_meeting},
             {"killed_head", killed_head},
             {"killed_other", killed_other}};

int main(int argc, char **argv) {
  struct sp_ranks *ranks;
  struct sp_error err = {0};
  if (sp_ranks_open(&ranks, &err) != SP_OK) {
    fprintf(stderr, "%s\n", err.message);
    return 1;
  }
  int code = 2;
  for (size_t i = 0; argc == 2 && i < sizeof cases / sizeof *cases; i++) {
    if (strcmp(argv[1], cases[i].name) == 0) {
      code = cases[i].run(ranks);
    }
  }
  sp_ranks_close(ranks);
  return code;
}
