#include "run_claims.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "file.h"
#include "run_claims_state.h"
#include "run_files.h"

/* ---- one claim ---- */

static const struct {
  size_t shard;
  const char *name;
} jobs[] = {{SP_CLAIM_PLAN, "plan"}, {SP_CLAIM_FINISH, "finish"}};

enum { n_jobs = sizeof jobs / sizeof *jobs };

void sp_claim_name(size_t shard, uint32_t generation, char name[64]) {
  for (int k = 0; k < n_jobs; k++) {
    if (shard == jobs[k].shard) {
      snprintf(name, 64, "%s.%" PRIu32, jobs[k].name, generation);
      return;
    }
  }
  snprintf(name, 64, "%05zu.%" PRIu32, shard, generation);
}

/* Reads the numbers loosely, writes the name out again and compares. */
bool sp_claim_name_parse(const char *name, size_t *shard, uint32_t *generation) {
  char again[64];
  const char *dot = strchr(name, '.');
  if (!dot || strlen(name) >= sizeof again) {
    return false;
  }
  *shard = (size_t)strtoull(name, NULL, 10);
  for (int k = 0; k < n_jobs; k++) {
    if (strncmp(name, jobs[k].name, (size_t)(dot - name)) == 0) {
      *shard = jobs[k].shard;
    }
  }
  *generation = (uint32_t)strtoul(dot + 1, NULL, 10);
  sp_claim_name(*shard, *generation, again);
  return *generation > 0 && strcmp(name, again) == 0;
}

static enum sp_status claim_path(struct sp_buf *out, const char *run, size_t shard,
                                 uint32_t generation, struct sp_error *err) {
  char name[64];
  sp_claim_name(shard, generation, name);
  sp_buf_clear(out);
  return sp_claims_path(out, run, "", name, err);
}

/* A claim got its name when its content had been written and the file closed, which is when a network file
 * system lets others see it: an empty one was cut off in a crash. */
enum sp_status sp_claim_look_at(const char *run, size_t shard, uint32_t generation,
                                struct sp_claim_look *out, struct sp_error *err) {
  struct sp_buf path = {0};
  char text[SP_WORKER_ID + 1];
  size_t len;
  *out = (struct sp_claim_look){0};
  enum sp_status status;
  SP_TRY_GOTO(claim_path(&path, run, shard, generation, err), release);
  SP_TRY_GOTO(sp_look_at(path.data, text, sizeof text, &len, &out->look, NULL, err), release);
  if (out->look != SP_LOOK_WHOLE) {
    goto release;
  }
  len -= len > 0 && text[len - 1] == '\n';
  out->done = sp_text_equal((struct sp_text){text, len}, SP_TEXT_LITERAL(SP_CLAIM_DONE_MARK));
  if (sp_worker_is_id(text, len)) {
    memcpy(out->worker, text, len);
  } else if (!out->done) {
    out->look = SP_LOOK_DAMAGED;
  }
release:
  sp_buf_release(&path);
  return status;
}

/* Writes a file of its own and links it to the claim's name, which says who was first. *gone: there is no .claims
 * any more, as the server says, whatever names this host remembers. */
static enum sp_status link_content(const char *temporary, const char *path, struct sp_text content,
                                   bool *existed, bool *gone, struct sp_error *err) {
  unlink(temporary); /* after an unlink that failed */
  int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  *gone = fd < 0 && (errno == ENOENT || errno == ESTALE);
  if (fd < 0) {
    return *gone ? SP_OK : sp_fail_errno(err, SP_EIO, "cannot create %s", temporary);
  }
  enum sp_status status = sp_file_write_all(fd, content.data, content.len, temporary, err);
  if (close(fd) != 0 && status == SP_OK) {
    status = sp_fail_errno(err, SP_EIO, "cannot write %s", temporary);
  }
  if (status == SP_OK) {
    status = sp_file_link(temporary, path, existed, err);
  }
  *gone = unlink(temporary) != 0 && errno == ENOENT && status != SP_OK;
  return *gone ? SP_OK : status;
}

static enum sp_status link_claim(struct sp_claims *claims, size_t shard, uint32_t generation,
                                 const char *content, bool *existed, bool *gone,
                                 struct sp_error *err) {
  struct sp_buf temporary = {0}, path = {0}, text = {0};
  enum sp_status status;
  *existed = *gone = false;
  SP_TRY_GOTO(sp_claims_path(&temporary, claims->run, SP_CLAIMS_TEMPORARY, claims->self.id, err),
              release);
  SP_TRY_GOTO(claim_path(&path, claims->run, shard, generation, err), release);
  SP_TRY_GOTO(sp_buf_printf(&text, err, "%s\n", content), release);
  pthread_mutex_lock(&claims->self.mutex); /* a beat may make the worker's file under that name */
  status = link_content(temporary.data, path.data, (struct sp_text){text.data, text.len}, existed,
                        gone, err);
  pthread_mutex_unlock(&claims->self.mutex);
release:
  sp_buf_release(&temporary);
  sp_buf_release(&path);
  sp_buf_release(&text);
  return status;
}

static void unlink_claim(const struct sp_claims *claims, size_t shard, uint32_t generation) {
  struct sp_buf path = {0};
  if (claim_path(&path, claims->run, shard, generation, NULL) == SP_OK) {
    unlink(path.data);
  }
  sp_buf_release(&path);
}

enum sp_status sp_claim_find_last(const struct sp_claims *claims, size_t shard,
                                  uint32_t *generation, struct sp_claim_look *last,
                                  struct sp_error *err) {
  *last = (struct sp_claim_look){0};
  *generation = 0;
  for (uint32_t g = 1; g <= SP_CLAIM_GENERATIONS; g++) {
    struct sp_claim_look look;
    SP_TRY(sp_claim_look_at(claims->run, shard, g, &look, err));
    if (look.look == SP_LOOK_ABSENT) {
      *generation = g - 1;
      return SP_OK;
    }
    *last = look;
  }
  return sp_fail(err, SP_EDAMAGED, "%s/" SP_RUN_CLAIMS ": over %u claims on shard %zu; remove it",
                 claims->run, SP_CLAIM_GENERATIONS, shard);
}

/* ---- the own claims ---- */

static enum sp_status remember(struct sp_claims *claims, size_t shard, uint32_t generation,
                               struct sp_error *err) {
  for (size_t k = 0; k < claims->n_held; k++) {
    if (claims->held[k].shard == shard) {
      claims->held[k].generation = generation;
      return SP_OK;
    }
  }
  if (claims->n_held == claims->room) {
    size_t room = claims->room ? 2 * claims->room : 16;
    void *grown = realloc(claims->held, room * sizeof *claims->held);
    if (!grown) {
      return sp_fail_memory(err, room * sizeof *claims->held);
    }
    claims->held = grown;
    claims->room = room;
  }
  claims->held[claims->n_held++] = (struct sp_claims_held){shard, generation};
  return SP_OK;
}

/* The generation that was held, 0 for none. */
static uint32_t forget(struct sp_claims *claims, size_t shard) {
  for (size_t k = 0; k < claims->n_held; k++) {
    if (claims->held[k].shard == shard) {
      uint32_t generation = claims->held[k].generation;
      claims->held[k] = claims->held[--claims->n_held];
      return generation;
    }
  }
  return 0;
}

enum verdict { FREE, TAKEN, OURS, DONE };

static enum sp_status judge(struct sp_claims *claims, uint32_t generation,
                            const struct sp_claim_look *last, enum verdict *out,
                            struct sp_error *err) {
  bool gone = true; /* no claim, or one that names nobody */
  if (generation > 0 && last->done) {
    *out = DONE;
    return SP_OK;
  }
  if (strcmp(last->worker, claims->self.id) == 0) {
    *out = OURS;
    return SP_OK;
  }
  if (last->worker[0]) {
    SP_TRY(sp_watch_worker(&claims->watch, last->worker, &gone, err));
  }
  *out = gone ? FREE : TAKEN;
  return SP_OK;
}

/* *settled false: others were faster, or the directory went away: again. */
static enum sp_status try_take(struct sp_claims *claims, size_t shard, enum sp_claim *claim,
                               bool *took_over, bool *settled, struct sp_error *err) {
  struct sp_claim_look last;
  uint32_t generation = 0;
  enum verdict verdict;
  SP_TRY(sp_claim_find_last(claims, shard, &generation, &last, err));
  SP_TRY(judge(claims, generation, &last, &verdict, err));
  *settled = verdict != FREE;
  if (verdict == TAKEN || verdict == DONE) {
    *claim = verdict == DONE ? SP_CLAIM_DONE : SP_CLAIM_HELD;
    return SP_OK;
  }
  if (verdict == FREE) {
    bool existed, gone;
    SP_TRY(sp_worker_file_keep(&claims->self, claims->run, err));
    SP_TRY(link_claim(claims, shard, generation + 1, claims->self.id, &existed, &gone, err));
    if (existed || gone) {
      return SP_OK;
    }
    *settled = true;
    *took_over = generation > 0;
    generation++;
  }
  *claim = SP_CLAIM_MINE;
  return remember(claims, shard, generation, err);
}

/* Was the directory removed under our hands, by who finished the run? Then it is tried again. */
static bool was_swept(const struct sp_claims *claims) {
  return !sp_file_is_named(claims->self.fd, claims->self.path.data);
}

enum sp_status sp_claims_take(struct sp_claims *claims, size_t shard, enum sp_claim *claim,
                              bool *took_over, struct sp_error *err) {
  enum { attempts = 100 };
  enum sp_status status = SP_OK;
  *claim = SP_CLAIM_HELD;
  *took_over = false;
  for (int k = 0; k < attempts; k++) {
    bool settled;
    status = try_take(claims, shard, claim, took_over, &settled, err);
    if (status == SP_OK ? settled : !was_swept(claims)) {
      return status;
    }
  }
  return status;
}

void sp_claims_drop(struct sp_claims *claims, size_t shard) {
  struct sp_claim_look own, next;
  uint32_t generation = forget(claims, shard);
  /* One that was taken over stays: without it the one above would stand over a gap. */
  if (generation > 0 && sp_claim_look_at(claims->run, shard, generation, &own, NULL) == SP_OK &&
      strcmp(own.worker, claims->self.id) == 0 &&
      sp_claim_look_at(claims->run, shard, generation + 1, &next, NULL) == SP_OK &&
      next.look == SP_LOOK_ABSENT) {
    unlink_claim(claims, shard, generation);
  }
}

/* A mark above the claim that counts, by link: who tries to take the job over meets it for certain. A claim that
 * is met, seen or not, is one to go above. */
static void mark_done(struct sp_claims *claims, size_t shard) {
  struct sp_claim_look last;
  uint32_t generation = 0;
  bool existed = true, gone = false;
  if (sp_claim_find_last(claims, shard, &generation, &last, NULL) != SP_OK || last.done) {
    return;
  }
  while (existed && !gone && ++generation <= SP_CLAIM_GENERATIONS &&
         link_claim(claims, shard, generation, SP_CLAIM_DONE_MARK, &existed, &gone, NULL) ==
             SP_OK) {
  }
}

/* From the highest down, so that there is never a gap. */
void sp_claims_done(struct sp_claims *claims, size_t shard) {
  struct sp_claim_look last;
  uint32_t generation = 0;
  forget(claims, shard);
  if (shard == SP_CLAIM_PLAN) {
    mark_done(claims, shard);
  } else if (sp_claim_find_last(claims, shard, &generation, &last, NULL) == SP_OK) {
    for (; generation > 0; generation--) {
      unlink_claim(claims, shard, generation);
    }
  }
}

/* ---- a worker's life ---- */

static double default_clock(void *context) {
  (void)context;
  return sp_clock_seconds();
}

static bool default_pause(void *context, double seconds) {
  (void)context;
  const struct timespec wait = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  nanosleep(&wait, NULL);
  return true;
}

static void set_up(struct sp_claims *claims, const struct sp_claims_rules *rules) {
  double lease = rules->lease > 0.0 ? rules->lease : SP_LEASE_SECONDS;
  claims->pause = rules->pause ? rules->pause : default_pause;
  claims->watch.run = claims->run;
  claims->watch.lease = lease;
  claims->watch.clock = rules->clock ? rules->clock : default_clock;
  claims->watch.context = rules->context;
  sp_worker_make_id(claims->self.id);
  sp_copy_printable(claims->self.worker.part, sizeof claims->self.worker.part,
                    rules->part ? rules->part : "");
  claims->self.worker.lease = lease;
}

static void destroy(struct sp_claims *claims) {
  struct sp_buf path = {0};
  sp_worker_file_remove(&claims->self);
  if (claims->run && sp_run_path(&path, claims->run, SP_RUN_CLAIMS, NULL) == SP_OK) {
    rmdir(path.data); /* only if nothing is in it */
  }
  sp_buf_release(&path);
  sp_watch_release(&claims->watch);
  pthread_mutex_destroy(&claims->self.mutex);
  free(claims->held);
  free(claims->run);
  free(claims);
}

enum sp_status sp_claims_open(const struct sp_claims_rules *rules, struct sp_claims **out,
                              struct sp_error *err) {
  struct sp_claims *claims = calloc(1, sizeof *claims);
  if (!claims) {
    return sp_fail_memory(err, sizeof *claims);
  }
  enum sp_status status;
  claims->self.fd = -1;
  pthread_mutex_init(&claims->self.mutex, NULL);
  claims->run = strdup(rules->run);
  if (!claims->run) {
    status = sp_fail_memory(err, strlen(rules->run));
    goto destroy;
  }
  set_up(claims, rules);
  SP_TRY_GOTO(sp_worker_file_make(&claims->self, claims->run, err), destroy);
  claims->opened = sp_worker_written(claims->self.fd);
  /* Each side shows itself before it looks for the other: who wants RUN alone takes the lock first. */
  SP_TRY_GOTO(sp_run_lock_refuse(claims->run, err), destroy);
  *out = claims;
  return SP_OK;
destroy:
  destroy(claims);
  return status;
}

void sp_claims_close(struct sp_claims *claims) {
  if (!claims) {
    return;
  }
  while (claims->n_held > 0) {
    sp_claims_drop(claims, claims->held[claims->n_held - 1].shard);
  }
  destroy(claims);
}

enum sp_status sp_claims_beat(struct sp_claims *claims, uint64_t hyps_done, double hyps_per_second,
                              struct sp_error *err) {
  return sp_worker_file_beat(&claims->self, claims->run, hyps_done, hyps_per_second, err);
}

enum sp_status sp_claims_sees(const char *run, const char *id, bool *seen, struct sp_error *err) {
  struct sp_buf path = {0};
  enum sp_status status = sp_claims_path(&path, run, SP_WORKER_PREFIX, id, err);
  *seen = status == SP_OK && sp_file_exists(path.data);
  sp_buf_release(&path);
  return status;
}

const char *sp_claims_id(const struct sp_claims *claims) {
  return claims->self.id;
}
