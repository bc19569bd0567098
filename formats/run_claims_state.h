/* run_claims_state.h - what the parts of run_claims share. */
#ifndef SP_FORMATS_RUN_CLAIMS_STATE_H
#define SP_FORMATS_RUN_CLAIMS_STATE_H

#include "run_watch.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_CLAIM_DONE_MARK "done" /* content of a claim that nobody takes over; no worker's id */
#define SP_CLAIM_GENERATIONS 100000u

struct sp_claims_held {
  size_t shard;
  uint32_t generation;
};

struct sp_claims {
  char *run;
  struct sp_worker_file self;
  struct sp_watch watch; /* with the clock */
  double opened;         /* when the own file was made, by the file server's clock */
  bool (*pause)(void *context, double seconds);
  struct sp_claims_held *held; /* (n_held) */
  size_t n_held, room;
};

/* "IIIII.G", "plan.G", "finish.G". */
void sp_claim_name(size_t shard, uint32_t generation, char name[64]);
/* The inverse; false for any other text. */
bool sp_claim_name_parse(const char *name, size_t *shard, uint32_t *generation);

/* What a claim says. */
struct sp_claim_look {
  enum sp_look look;         /* whole: `worker` is an id, or there is the mark */
  char worker[SP_WORKER_ID]; /* empty unless it is an id */
  bool done;                 /* the mark */
};
/* The claim that counts: of generation 0 when there is none. */
SP_MUST_CHECK enum sp_status sp_claim_find_last(const struct sp_claims *claims, size_t shard,
                                                uint32_t *generation, struct sp_claim_look *last,
                                                struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_claim_look_at(const char *run, size_t shard, uint32_t generation,
                                              struct sp_claim_look *out, struct sp_error *err);

/* A worker as its file shows it. */
void sp_claim_worker_fill(struct sp_claim_worker *out, const char *id,
                          const struct sp_worker_look *look);

#ifdef __cplusplus
}
#endif
#endif
