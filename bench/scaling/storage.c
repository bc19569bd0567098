#include "storage.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checked.h"
#include "clock.h"
#include "file.h"

const char *const sim_call_names[SIM_CALLS] = {
#define X(name, text) text,
    SIM_CALL_MAP(X)
#undef X
};

struct sim_calls sim_calls_assumed(void) {
  struct sim_calls calls;
  for (int c = 0; c < SIM_CALLS; c++) {
    bool sync = c == SIM_FSYNC || c == SIM_SYNC_DIR;
    calls.latency[c] = c == SIM_ENTRY ? 2e-6 : sync ? 2e-3 : 5e-4;
    calls.service[c] = c == SIM_ENTRY ? 2e-6 : sync ? 2e-4 : 5e-5;
  }
  return calls;
}

/* ---- measuring ---- */

enum { cycles = 64, listed = 1000, content_bytes = 4096 };

struct client {
  pthread_t thread;
  const char *directory;
  size_t number;
  double (*seconds)[cycles]; /* (SIM_CALLS) of each call */
  enum sp_status status;
  struct sp_error error;
};

static void name_file(char *out, size_t room, const struct client *c, const char *kind, int k) {
  snprintf(out, room, "%s/%s-%zu-%d", c->directory, kind, c->number, k);
}

/* The time of one call, and whether it went well. */
static enum sp_status note(struct client *c, enum sim_call call, int k, double start, bool well,
                           struct sp_error *err) {
  c->seconds[call][k] = sp_clock_seconds() - start;
  return well ? SP_OK
              : sp_fail_errno(err, SP_EIO, "%s in %s failed", sim_call_names[call], c->directory);
}

static bool sync_directory(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool well = fd >= 0 && fsync(fd) == 0;
  if (fd >= 0) {
    close(fd);
  }
  return well;
}

static bool read_small(const char *path) {
  char content[content_bytes];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  bool well = fd >= 0 && read(fd, content, sizeof content) == content_bytes;
  if (fd >= 0) {
    close(fd);
  }
  return well;
}

/* Publishes a small file as a shard is, reads it and removes it. */
static enum sp_status cycle(struct client *c, int k, struct sp_error *err) {
  char content[content_bytes] = "", first[4096], second[4096], third[4096];
  struct stat info;
  name_file(first, sizeof first, c, "first", k);
  name_file(second, sizeof second, c, "second", k);
  name_file(third, sizeof third, c, "third", k);
  double start = sp_clock_seconds();
  bool absent = stat(third, &info) != 0;
  SP_TRY(note(c, SIM_LOOKUP, k, start, absent, err));
  start = sp_clock_seconds();
  int fd = open(first, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  bool written = fd >= 0 && write(fd, content, sizeof content) == content_bytes;
  enum sp_status status = note(c, SIM_CREATE, k, start, written, err);
  start = sp_clock_seconds();
  if (status == SP_OK) {
    status = note(c, SIM_FSYNC, k, start, fsync(fd) == 0, err);
  }
  if (fd >= 0) {
    close(fd);
  }
  SP_TRY(status);
  start = sp_clock_seconds();
  SP_TRY(note(c, SIM_LINK, k, start, link(first, second) == 0, err));
  start = sp_clock_seconds();
  SP_TRY(note(c, SIM_UNLINK, k, start, unlink(first) == 0, err));
  start = sp_clock_seconds();
  SP_TRY(note(c, SIM_SYNC_DIR, k, start, sync_directory(c->directory), err));
  start = sp_clock_seconds();
  SP_TRY(note(c, SIM_RENAME, k, start, rename(second, third) == 0, err));
  start = sp_clock_seconds();
  SP_TRY(note(c, SIM_READ, k, start, read_small(third), err));
  unlink(third);
  return SP_OK;
}

static void *run_client(void *argument) {
  struct client *c = argument;
  for (int k = 0; k < cycles && c->status == SP_OK; k++) {
    c->status = cycle(c, k, &c->error);
  }
  return NULL;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static enum sp_status measure_alone(const char *directory, struct sim_calls *out,
                                    struct sp_error *err) {
  double seconds[SIM_CALLS][cycles];
  struct client c = {.directory = directory, .seconds = seconds};
  run_client(&c);
  if (c.status != SP_OK) {
    *err = c.error;
    return c.status;
  }
  for (int call = 0; call < SIM_ENTRY; call++) {
    qsort(seconds[call], cycles, sizeof seconds[call][0], by_value);
    out->latency[call] = seconds[call][cycles / 2];
  }
  return SP_OK;
}

/* Many clients share what a server does in a second; each call its part by how long it takes alone. */
static enum sp_status measure_together(const char *directory, size_t clients, struct sim_calls *out,
                                       struct sp_error *err) {
  struct client *all = calloc(clients, sizeof *all);
  double(*seconds)[SIM_CALLS][cycles] = calloc(clients, sizeof *seconds);
  enum sp_status status = all && seconds ? SP_OK : sp_fail_memory(err, clients * sizeof *seconds);
  size_t started = 0;
  double start = sp_clock_seconds(), alone = 0;
  for (; status == SP_OK && started < clients; started++) {
    all[started] = (struct client){.directory = directory, .number = started + 1};
    all[started].seconds = seconds[started];
    if (pthread_create(&all[started].thread, NULL, run_client, &all[started]) != 0) {
      status = sp_fail(err, SP_EDEVICE, "cannot start %zu threads", clients);
      break;
    }
  }
  for (size_t i = 0; i < started; i++) {
    pthread_join(all[i].thread, NULL);
    if (status == SP_OK && all[i].status != SP_OK) {
      status = all[i].status;
      *err = all[i].error;
    }
  }
  double each = (sp_clock_seconds() - start) / (double)(clients * cycles);
  for (int call = 0; call < SIM_ENTRY; call++) {
    alone += out->latency[call];
  }
  for (int call = 0; call < SIM_ENTRY; call++) {
    double share = out->latency[call] / alone * each;
    out->service[call] = share < out->latency[call] ? share : out->latency[call];
  }
  free(all);
  free(seconds);
  return status;
}

static size_t list(const char *directory) {
  size_t n = 0;
  DIR *dir = opendir(directory);
  while (dir && readdir(dir)) {
    n++;
  }
  if (dir) {
    closedir(dir);
  }
  return n;
}

static enum sp_status measure_list(const char *directory, struct sim_calls *out,
                                   struct sp_error *err) {
  struct client c = {.directory = directory};
  char name[4096];
  for (int k = 0; k < listed; k++) {
    name_file(name, sizeof name, &c, "entry", k);
    int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
      return sp_fail_errno(err, SP_EIO, "cannot create %s", name);
    }
    close(fd);
  }
  double start = sp_clock_seconds();
  size_t n = list(directory);
  out->latency[SIM_ENTRY] = out->service[SIM_ENTRY] =
      (sp_clock_seconds() - start) / (double)(n + 1);
  return SP_OK;
}

static void remove_all(const char *directory) {
  DIR *dir = opendir(directory);
  for (struct dirent *entry; dir && (entry = readdir(dir));) {
    unlinkat(dirfd(dir), entry->d_name, 0); /* "." and ".." are no files */
  }
  if (dir) {
    closedir(dir);
  }
  rmdir(directory);
}

enum sp_status sim_calls_measure(const char *directory, size_t clients, struct sim_calls *out,
                                 struct sp_error *err) {
  char inner[4000];
  struct sp_error why = {0};
  int n = snprintf(inner, sizeof inner, "%s/scaling-XXXXXX", directory);
  if (n < 0 || (size_t)n >= sizeof inner || !mkdtemp(inner)) {
    return sp_fail_errno(err, SP_EIO, "cannot make a directory in %s", directory);
  }
  enum sp_status status = measure_alone(inner, out, &why);
  if (status == SP_OK) {
    status = measure_together(inner, clients, out, &why);
  }
  if (status == SP_OK) {
    status = measure_list(inner, out, &why);
  }
  remove_all(inner);
  if (status != SP_OK && err) {
    *err = why;
  }
  return status;
}

/* ---- what the engine calls ---- */

typedef double sequence[SIM_CALLS]; /* how often each call is made */

/* take_shards.c: the marker is looked for before and after the claim. */
static const sequence look = {[SIM_LOOKUP] = 1};
/* run_claims.c: those two; the own file; claim 1 of the shard; a temporary file, its link; and when the
 * shard is done the claim again, and its removal. */
static const sequence claim = {
    [SIM_LOOKUP] = 6, [SIM_READ] = 1, [SIM_CREATE] = 1, [SIM_LINK] = 1, [SIM_UNLINK] = 2};
static const sequence beat = {[SIM_FSYNC] = 1};
/* shard_writer.c and shard_done.c: a shard by link(2), its marker by rename(2), both to the disk. */
static const sequence publish = {
    [SIM_LOOKUP] = 1, [SIM_CREATE] = 2, [SIM_FSYNC] = 2,   [SIM_LINK] = 1,
    [SIM_UNLINK] = 1, [SIM_RENAME] = 1, [SIM_SYNC_DIR] = 2};
/* run_worker.c and look_many.c, a shard: its marker is read once, for the sums and for _SUCCESS, the sizes of both
 * files are looked at, by 16 threads; and both names are listed twice. */
enum { sealing_threads = 16 };
static const sequence seal = {[SIM_READ] = 1, [SIM_LOOKUP] = 2};
static const sequence seal_list = {[SIM_ENTRY] = 4};

static struct sim_visit visit_of(const struct sim_calls *calls, const sequence times,
                                 double scale) {
  struct sim_visit visit = {0};
  for (int c = 0; c < SIM_CALLS; c++) {
    visit.latency += scale * times[c] * calls->latency[c];
    visit.service += scale * times[c] * calls->service[c];
  }
  return visit;
}

void sim_calls_apply(const struct sim_calls *calls, size_t shards, struct sim_rules *rules) {
  static const sequence name = {[SIM_ENTRY] = 1};
  rules->name = visit_of(calls, name, 1);
  rules->look = visit_of(calls, look, 1);
  rules->claim = visit_of(calls, claim, 1);
  rules->beat = visit_of(calls, beat, 1);
  rules->publish = visit_of(calls, publish, 1);
  struct sim_visit read = visit_of(calls, seal, (double)shards);
  rules->seal = fmax(read.latency / sealing_threads, read.service) +
                visit_of(calls, seal_list, (double)shards).latency;
}
