#include "report.h"

/* Of scoring alone: from the first process's start to the last shard. */
static double scoring_efficiency(const struct sim_row *row) {
  return row->result.ideal / ((double)row->rules.workers * (row->result.seconds - row->rules.seal));
}

static double sealed_efficiency(const struct sim_row *row) {
  return row->result.ideal / ((double)row->rules.workers * row->result.seconds);
}

/* Where one worker validates while the others wait; a pass before (score --prepare) has no part in it. */
static double whole_efficiency(const struct sim_row *row) {
  return row->result.ideal / ((double)row->rules.workers * (row->result.seconds + row->validating));
}

static double share(const struct sim_station *station, const struct sim_row *row) {
  return station->busy / (row->result.seconds - row->rules.seal);
}

static double per_second(const struct sim_station *station, const struct sim_row *row) {
  return (double)station->visits / (row->result.seconds - row->rules.seal);
}

void sim_report_head(FILE *to) {
  fprintf(
      to,
      "| way | trouble | workers | scoring, s | efficiency | of capacity | idle at the end, s | "
      "lost, s | tickets/s | of the limit | directory visits/s | of the limit | sealing, s | "
      "efficiency with it | validating, s | efficiency with both |\n"
      "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
}

void sim_report_row(FILE *to, const struct sim_row *row) {
  const struct sim_result *r = &row->result;
  double scoring = r->seconds - row->rules.seal;
  fprintf(to, "| %s | %s | %zu | %.1f | %.1f %% | %.1f %% | %.2f | %.1f ", row->way, row->trouble,
          row->rules.workers, scoring, 100 * scoring_efficiency(row),
          100 * r->ideal / (r->capacity * scoring), r->idle_end, r->lost);
  fprintf(to, "| %.1f | %.3f %% | %.1f | %.1f %% | %.1f | %.1f %% | %.1f | %.1f %% |\n",
          per_second(&r->counter, row), 100 * share(&r->counter, row),
          per_second(&r->directory, row), 100 * share(&r->directory, row), row->rules.seal,
          100 * sealed_efficiency(row), row->validating, 100 * whole_efficiency(row));
}

static json_t *station_json(const struct sim_station *station, const struct sim_row *row) {
  return json_pack("{s:I, s:f, s:f, s:f}", "visits", (json_int_t)station->visits, "per_second",
                   per_second(station, row), "share_of_limit", share(station, row), "mean_wait",
                   station->visits ? station->waited / (double)station->visits : 0.0);
}

json_t *sim_report_json(const struct sim_row *row) {
  const struct sim_result *r = &row->result;
  json_t *object =
      json_pack("{s:I, s:I, s:s, s:s, s:I, s:f, s:f, s:f, s:f}", "hyps", (json_int_t)row->hyps,
                "shards", (json_int_t)row->rules.n_shards, "way", row->way, "trouble", row->trouble,
                "workers", (json_int_t)row->rules.workers, "ideal_seconds", r->ideal,
                "scoring_seconds", r->seconds - row->rules.seal, "seal_seconds", row->rules.seal,
                "validating_seconds", row->validating);
  json_object_update_new(
      object,
      json_pack("{s:f, s:f, s:f, s:f, s:f, s:I, s:I}", "efficiency", scoring_efficiency(row),
                "efficiency_of_capacity", r->ideal / (r->capacity * (r->seconds - row->rules.seal)),
                "efficiency_with_validating_and_sealing", whole_efficiency(row), "idle_end_seconds",
                r->idle_end, "lost_seconds", r->lost, "lost_shards", (json_int_t)r->lost_shards,
                "taken_over", (json_int_t)r->taken_over));
  json_object_set_new(object, "helped", json_integer((json_int_t)r->helped));
  json_object_set_new(object, "efficiency_with_sealing", json_real(sealed_efficiency(row)));
  json_object_set_new(object, "counter", station_json(&r->counter, row));
  json_object_set_new(object, "directory", station_json(&r->directory, row));
  json_object_set_new(object, "storage", station_json(&r->storage, row));
  return object;
}
