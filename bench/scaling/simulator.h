/* simulator.h - a run of many workers as discrete events under a virtual clock.
 *
 * Which shard a worker tries next is the engine's own code (shares.h); claims, leases and publication
 * follow the rules of run_claims.h and shard.h, in a directory that is a queue with measured times. A worker
 * is a process with one device: it takes shards (a ticket or a claim), reads their input, has up to
 * `depth` of them in flight, scores one at a time and publishes beside that.
 *
 * Model      seconds of a shard = (shard_seconds + cost / rate * (1 + jitter * u)) / speed, u in [-1, 1]
 *            drawn by the shard's number.  A station (counter, directory, storage) serves one visit after
 *            the other: a visit that comes at t begins at b = max(t, when the last one was served), keeps
 *            the station busy for `service` and is answered at b + latency.
 * Counter    tickets of one job, whose ranks claim too: a worker that dies takes the job with it, which
 *            starts again after `restart` on the same hosts, where the dead are known at once.
 * Parts      a worker that dies starts again alone, with its part; claims that it held are taken over when
 *            they were seen for `lease` without a beat.
 *            One whose part is done helps others as help_parts.c does: a list of the claims, then parts at work,
 *            or dead for a lease, in an order that it draws, each probed from the end of its share (shares.h).  A round
 *            takes what one part has; after one that took nothing the worker finishes what it has and ends, with
 *            more lists of the claims when few are left, and of the run when none is (close_run.c); the last at work waits for
 *            the leases of the dead. Near its end, or helped, a worker has `end_depth` in flight.
 * Own share  as parts with --own-share: a worker whose part is done ends.
 * Times are seconds. The same rules give the same result, on every machine. */
#ifndef SP_BENCH_SIMULATOR_H
#define SP_BENCH_SIMULATOR_H

#include "shares.h"

#ifdef __cplusplus
extern "C" {
#endif

enum sim_way { SIM_COUNTER, SIM_PARTS, SIM_OWN_SHARE, SIM_WAYS };

struct sim_visit {
  double latency; /* from asking to the answer when nobody waits; at least `service` */
  double service; /* for which others wait */
};

struct sim_death {
  double at;
  size_t worker;
};

struct sim_rules {
  enum sim_way way;
  size_t workers, depth;         /* at least 1 each */
  size_t end_tickets, end_depth; /* depth while fewer tickets a worker, or shards of a part, are left */
  const struct sp_plan_shard *shards; /* (n_shards) */
  size_t n_shards;
  double shard_seconds, rate, jitter;
  const double *speed;            /* (workers) of each device, 1 is nominal; NULL: all 1 */
  const struct sim_death *deaths; /* (n_deaths) in order of time; the dead do not die again */
  size_t n_deaths;
  double restart, lease;
  double launch; /* of a process, its device and model in memory, until it looks for work */
  struct sim_visit model;  /* at the storage, by each worker; with the counter by one for all */
  struct sim_visit input;  /* at the storage, of a shard */
  struct sim_visit ticket; /* at the counter */
  struct sim_visit look, claim, beat, publish; /* at the directory, whole sequences of calls */
  struct sim_visit name; /* at the directory: of a list, which has two names a shard published, or one a claim */
  double seal;           /* from the last shard to the end of the run */
};

struct sim_station {
  double free_at, busy, waited; /* busy: sum of services; waited: of all visits */
  uint64_t visits;
};

struct sim_result {
  double seconds;  /* of the run, from its first process's start */
  double ideal;    /* one nominal device that never waits */
  double capacity; /* sum of speeds */
  double idle_end; /* mean of a device, between its last shard and the end */
  double lost;     /* device seconds of what was not published */
  uint64_t lost_shards, taken_over, helped;
  struct sim_station counter, directory, storage;
};

/* SP_EUSAGE for rules that make no sense, or under which a run never ends. */
SP_MUST_CHECK enum sp_status sim_run(const struct sim_rules *rules, struct sim_result *result,
                                     struct sp_error *err);

/* ideal / (workers * seconds), and the same for devices as slow as they are. */
double sim_efficiency(const struct sim_rules *rules, const struct sim_result *result);
double sim_efficiency_of_capacity(const struct sim_result *result);

#ifdef __cplusplus
}
#endif
#endif
