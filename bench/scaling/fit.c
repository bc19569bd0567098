#include "fit.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "checked.h"
#include "run_files.h"
#include "run_manifest.h"
#include "run_plan.h"
#include "shard.h"

/* One shard of a run and when it was done. */
struct done {
  double at, flops;
};

struct pairs {
  double *flops, *seconds;
  size_t n;
};

static int by_time(const void *a, const void *b) {
  const struct done *x = a, *y = b;
  return (x->at > y->at) - (x->at < y->at);
}

static enum sp_status marker_time(const char *run, size_t shard, size_t shards, double *at,
                                  struct sp_error *err) {
  struct sp_buf path = {0};
  struct stat info;
  enum sp_status status = sp_shard_path(&path, run, shard, shards, SP_SHARD_DONE, err);
  if (status == SP_OK && stat(path.data, &info) != 0) {
    status = sp_fail_errno(err, SP_EIO, "cannot look at %s", path.data);
  }
  if (status == SP_OK) {
    *at = (double)info.st_mtim.tv_sec + 1e-9 * (double)info.st_mtim.tv_nsec;
  }
  sp_buf_release(&path);
  return status;
}

/* Intervals between the markers: what the later shard took. */
static enum sp_status add_intervals(struct done *done, size_t n, struct pairs *pairs,
                                    struct sp_error *err) {
  double *flops = realloc(pairs->flops, sp_mul_sat(pairs->n + n, sizeof *flops));
  pairs->flops = flops ? flops : pairs->flops;
  double *seconds = realloc(pairs->seconds, sp_mul_sat(pairs->n + n, sizeof *seconds));
  pairs->seconds = seconds ? seconds : pairs->seconds;
  if (!flops || !seconds) {
    return sp_fail_memory(err, (pairs->n + n) * sizeof *flops);
  }
  qsort(done, n, sizeof *done, by_time);
  for (size_t k = 1; k < n; k++) {
    flops[pairs->n] = done[k].flops;
    seconds[pairs->n++] = done[k].at - done[k - 1].at;
  }
  return SP_OK;
}

static enum sp_status count_shards(const char *run, size_t *shards, struct sp_error *err) {
  json_t *manifest;
  bool found;
  SP_TRY(sp_run_manifest_read(run, &manifest, &found, err));
  if (!found) {
    return sp_fail(err, SP_EUSAGE, "%s is no run directory", run);
  }
  const json_t *identity = json_object_get(manifest, "identity");
  *shards = (size_t)json_integer_value(json_object_get(identity, "shards"));
  json_decref(manifest);
  return SP_OK;
}

static enum sp_status add_run(const char *run, struct pairs *pairs, struct sp_error *err) {
  size_t n = 0;
  bool found;
  struct sp_plan_shard *plan = NULL;
  SP_TRY(count_shards(run, &n, err));
  SP_TRY(sp_run_plan_read(run, n, &plan, &found, err));
  if (!found) {
    return sp_fail(err, SP_EUSAGE, "%s has no plan, which tells what its shards cost", run);
  }
  struct done *done = calloc(n + 1, sizeof *done);
  enum sp_status status = done ? SP_OK : sp_fail_memory(err, n * sizeof *done);
  for (size_t s = 0; s < n && status == SP_OK; s++) {
    done[s].flops = plan[s].cost;
    status = marker_time(run, s, n, &done[s].at, err);
  }
  if (status == SP_OK) {
    status = add_intervals(done, n, pairs, err);
  }
  free(done);
  free(plan);
  return status;
}

enum sp_status sim_fit_pairs(const double *flops, const double *seconds, size_t n,
                             struct sim_fit *out, struct sp_error *err) {
  enum { least = 4 };
  double mean_x = 0, mean_y = 0, xx = 0, xy = 0, left = 0;
  *out = (struct sim_fit){.n = n};
  if (n < least) {
    return sp_fail(err, SP_EUSAGE, "%zu intervals between shards are too few to fit (%d)", n,
                   least);
  }
  for (size_t i = 0; i < n; i++) {
    mean_x += flops[i] / (double)n;
    mean_y += seconds[i] / (double)n;
  }
  for (size_t i = 0; i < n; i++) {
    xx += (flops[i] - mean_x) * (flops[i] - mean_x);
    xy += (flops[i] - mean_x) * (seconds[i] - mean_y);
  }
  /* lengths that differ by less than a part in fifty cannot part the two numbers */
  bool parts = sqrt(xx / (double)n) > 0.02 * mean_x;
  double slope = parts ? xy / xx : mean_y / mean_x;
  out->shard_seconds = parts ? mean_y - slope * mean_x : 0;
  if (!(out->shard_seconds >= 0)) {
    out->shard_seconds = 0;
    slope = mean_y / mean_x;
  }
  if (!(slope > 0)) {
    return sp_fail(err, SP_EUSAGE, "larger shards took no longer: these runs tell no speed");
  }
  out->rate = 1 / slope;
  for (size_t i = 0; i < n; i++) {
    double off = seconds[i] - out->shard_seconds - slope * flops[i];
    left += off * off;
  }
  out->jitter = sqrt(left / (double)n) / mean_y;
  return SP_OK;
}

enum sp_status sim_fit_runs(const char *const *runs, size_t n_runs, struct sim_fit *out,
                            struct sp_error *err) {
  struct pairs pairs = {0};
  enum sp_status status = SP_OK;
  for (size_t i = 0; i < n_runs && status == SP_OK; i++) {
    status = add_run(runs[i], &pairs, err);
  }
  if (status == SP_OK) {
    status = sim_fit_pairs(pairs.flops, pairs.seconds, pairs.n, out, err);
  }
  free(pairs.flops);
  free(pairs.seconds);
  return status;
}
