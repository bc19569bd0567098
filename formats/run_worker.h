/* run_worker.h - RUN/.claims/worker-ID: a worker's sign of life, made, raised, and read by the others.
 *
 * The beat is written in place: the file keeps its inode and so its lock, no directory changes, and a full
 * disk does not stop it.  Readers may see half of a write; as all that changes are digits in strings of a
 * fixed width, that is still a worker. Each write is through a descriptor of its own, closed at once, which on network file
 * systems is what shows it to the next who opens the file. */
#ifndef SP_FORMATS_RUN_WORKER_H
#define SP_FORMATS_RUN_WORKER_H

#include <pthread.h>

#include "run_claims.h"
#include "run_owner.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_WORKER_PREFIX "worker-"
#define SP_CLAIMS_TEMPORARY "tmp-" /* and the worker's id: what it is making in .claims */
#define SP_WORKER_ID sizeof(((struct sp_claim_worker *)0)->id)
#define SP_WORKER_BYTES 1024 /* of the file, padded with spaces */
#define SP_WORKER_LEASE_CEILING 86400.0

struct sp_worker {
  struct sp_run_owner owner;
  char part[64];
  bool flocked; /* it could lock its file, so that a free lock means that it is dead */
  double lease;
  uint64_t beat, hyps_done;
  double hyps_per_second;
};

/* HOST-PID-START-RANDOM of letters, digits, '_' and '-': unique on any set of hosts. */
void sp_worker_make_id(char id[SP_WORKER_ID]);
bool sp_worker_is_id(const char *text, size_t len);

/* Appends the file's bytes. */
SP_MUST_CHECK enum sp_status sp_worker_write(const struct sp_worker *worker, struct sp_buf *out,
                                             struct sp_error *err);
/* False when they are no worker's. */
bool sp_worker_parse(struct sp_text text, struct sp_worker *worker);

/* Appends RUN/.claims/ and the name, made of two parts. */
SP_MUST_CHECK enum sp_status sp_claims_path(struct sp_buf *out, const char *run, const char *prefix,
                                            const char *name, struct sp_error *err);

/* The own file. */
struct sp_worker_file {
  char id[SP_WORKER_ID];
  struct sp_buf path;
  int fd; /* holds the lock; -1: there is no file */
  struct sp_worker worker;
  pthread_mutex_t mutex; /* of all but id and path, and of what is made under the temporary name */
};
/* Makes .claims too; fill id, part and lease before. On failure nothing is held. */
SP_MUST_CHECK enum sp_status sp_worker_file_make(struct sp_worker_file *file, const char *run,
                                                 struct sp_error *err);
/* Makes it again where others have taken this worker for gone and swept it. */
SP_MUST_CHECK enum sp_status sp_worker_file_keep(struct sp_worker_file *file, const char *run,
                                                 struct sp_error *err);
/* The same, but for .claims: where that is gone the run is completed, and there is nothing to raise. */
SP_MUST_CHECK enum sp_status sp_worker_file_beat(struct sp_worker_file *file, const char *run,
                                                 uint64_t hyps_done, double hyps_per_second,
                                                 struct sp_error *err);
void sp_worker_file_remove(struct sp_worker_file *file);

/* What a worker's file shows now. */
struct sp_worker_look {
  enum sp_look look;
  struct sp_worker worker; /* when whole */
  uint64_t hash;           /* of the file's bytes; 0: there is none */
  double written;          /* when it was last, seconds by the file server's clock */
  bool here, locked;       /* its lock shows here; and it is held */
  bool gone; /* dead for certain: it could lock, the lock would show here, and it is free */
};
double sp_worker_written(int fd); /* the same of an open file; 0: unknown */
SP_MUST_CHECK enum sp_status sp_worker_look_at(const char *run, const char *id,
                                               struct sp_worker_look *out, struct sp_error *err);

#ifdef __cplusplus
}
#endif
#endif
