/* run_claims_held.c - what others work on: for who would help them. */
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "run_claims_state.h"
#include "run_files.h"
#include "run_scan.h"

/* More than any cluster has under work; a hostile directory fills no memory. */
enum { held_ceiling = 1 << 22 };

struct names {
  const struct sp_claims *claims;
  size_t shards, n, room;
  uint32_t *held;
};

static bool is_own(const struct sp_claims *claims, size_t shard) {
  for (size_t k = 0; k < claims->n_held; k++) {
    if (claims->held[k].shard == shard) {
      return true;
    }
  }
  return false;
}

static enum sp_status add_name(void *context, const char *name, struct sp_error *err) {
  struct names *names = context;
  size_t shard;
  uint32_t generation;
  if (!sp_claim_name_parse(name, &shard, &generation) || shard >= names->shards ||
      shard > UINT32_MAX || is_own(names->claims, shard) || names->n == held_ceiling) {
    return SP_OK;
  }
  if (names->n == names->room) {
    size_t room = names->room ? 2 * names->room : 64;
    uint32_t *grown = realloc(names->held, room * sizeof *grown);
    if (!grown) {
      return sp_fail_memory(err, room * sizeof *grown);
    }
    names->held = grown;
    names->room = room;
  }
  names->held[names->n++] = (uint32_t)shard;
  return SP_OK;
}

enum sp_status sp_claims_held(const struct sp_claims *claims, size_t shards, uint32_t **out,
                              size_t *n, struct sp_error *err) {
  struct names names = {.claims = claims, .shards = shards};
  struct sp_buf path = {0};
  enum sp_status status;
  SP_TRY_GOTO(sp_run_path(&path, claims->run, SP_RUN_CLAIMS, err), release);
  status = sp_run_scan(path.data, add_name, &names, err);
  if (status == SP_EIO && !sp_file_is_directory(path.data)) {
    status = SP_OK; /* removed by who finished the run */
  }
release:
  if (status != SP_OK) {
    free(names.held);
    names = (struct names){0};
  }
  *out = names.held;
  *n = names.n;
  sp_buf_release(&path);
  return status;
}

/* A beat is raised five times a lease. */
static bool is_recent(const struct sp_claims *claims, const struct sp_worker_look *look) {
  return look->here || look->written > sp_worker_written(claims->self.fd) - look->worker.lease;
}

static enum sp_claim_life life_of(const struct sp_claims *claims, const struct sp_worker_look *look,
                                  bool gone) {
  if (look->look != SP_LOOK_WHOLE) {
    return SP_LIFE_NONE;
  }
  if (!gone && is_recent(claims, look)) {
    return SP_LIFE_AT_WORK;
  }
  return look->written <= claims->opened ? SP_LIFE_NONE : gone ? SP_LIFE_DIED : SP_LIFE_SILENT;
}

enum sp_status sp_claims_holder(struct sp_claims *claims, size_t shard, struct sp_claim_worker *out,
                                enum sp_claim_life *life, struct sp_error *err) {
  struct sp_claim_look last;
  struct sp_worker_look look;
  uint32_t generation;
  bool gone;
  *life = SP_LIFE_NONE;
  SP_TRY(sp_claim_find_last(claims, shard, &generation, &last, err));
  if (generation == 0 || !last.worker[0]) {
    return SP_OK;
  }
  double asked = claims->watch.clock(claims->watch.context);
  SP_TRY(sp_worker_look_at(claims->run, last.worker, &look, err));
  SP_TRY(sp_watch_look(&claims->watch, last.worker, &look, asked, &gone, err));
  sp_claim_worker_fill(out, last.worker, &look);
  *life = life_of(claims, &look, gone);
  return SP_OK;
}
