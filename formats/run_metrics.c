#include "run_metrics.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "file.h"
#include "utf8_valid.h"

/* The text under work. The first failure stays, and nothing is appended after it. */
struct metrics {
  struct sp_buf *out;
  enum sp_status status;
  struct sp_error *err;
  const char *run;
};

#define PUT(m, ...)                                                 \
  do {                                                              \
    if ((m)->status == SP_OK) {                                     \
      (m)->status = sp_buf_printf((m)->out, (m)->err, __VA_ARGS__); \
    }                                                               \
  } while (0)

static void put_bytes(struct metrics *m, const char *data, size_t len) {
  if (m->status == SP_OK) {
    m->status = sp_buf_append(m->out, data, len, m->err);
  }
}

/* A label's value: backslash, quote and line end escaped. */
static void put_value(struct metrics *m, const char *value) {
  size_t len = strlen(value);
  for (size_t at = 0; at < len; at++) {
    size_t valid = sp_utf8_valid_prefix((struct sp_text){value + at, len - at});
    for (size_t end = at + valid; at < end; at++) {
      const char *escape = value[at] == '\\' ? "\\\\" : value[at] == '"' ? "\\\"" : "\\n";
      bool plain = value[at] != '\\' && value[at] != '"' && value[at] != '\n';
      put_bytes(m, plain ? value + at : escape, plain ? 1 : 2);
    }
    if (at < len) {
      put_bytes(m, "?", 1);
    }
  }
}

static void put_label(struct metrics *m, const char *name, const char *value) {
  PUT(m, ",%s=\"", name);
  put_value(m, value);
  put_bytes(m, "\"", 1);
}

static void family(struct metrics *m, const char *name, const char *type, const char *help) {
  PUT(m, "# HELP secondpass_%s %s\n# TYPE secondpass_%s %s\n", name, help, name, type);
}

/* NAME{run="RUN": other labels and `end` follow. */
static void begin(struct metrics *m, const char *name) {
  PUT(m, "secondpass_%s{run=\"", name);
  put_value(m, m->run);
  put_bytes(m, "\"", 1);
}

static void end_count(struct metrics *m, uint64_t value) {
  PUT(m, "} %" PRIu64 "\n", value);
}

static void end_real(struct metrics *m, double value) {
  if (isfinite(value)) {
    PUT(m, "} %.10g\n", value);
  } else {
    PUT(m, "} NaN\n");
  }
}

static void count(struct metrics *m, const char *name, const char *type, const char *help,
                  uint64_t value) {
  family(m, name, type, help);
  begin(m, name);
  end_count(m, value);
}

static void real(struct metrics *m, const char *name, const char *help, double value) {
  family(m, name, "gauge", help);
  begin(m, name);
  end_real(m, value);
}

static void with_state(struct metrics *m, const char *name, const char *state, uint64_t value) {
  begin(m, name);
  put_label(m, "state", state);
  end_count(m, value);
}

static void put_run(struct metrics *m, const struct sp_run_status *s) {
  family(m, "run_stage", "gauge", "1 for the stage that the run is in.");
  for (int stage = SP_RUN_BEGINNING; stage <= SP_RUN_COMPLETE; stage++) {
    begin(m, "run_stage");
    put_label(m, "stage", sp_run_stage_name((enum sp_run_stage)stage));
    end_count(m, (int)s->stage == stage);
  }
  family(m, "shards", "gauge", "Shards of the run by state.");
  with_state(m, "shards", "done", s->done);
  with_state(m, "shards", "running", s->running);
  with_state(m, "shards", "stale", s->stale);
  with_state(m, "shards", "open", s->open);
  count(m, "utterances", "gauge", "Utterances of the run.", s->utts);
  count(m, "utterances_done_total", "counter", "Utterances in shards that are done.", s->utts_done);
  count(m, "hypotheses", "gauge", "Hypotheses of the run.", s->hyps);
  count(m, "hypotheses_done_total", "counter", "Hypotheses in shards that are done.", s->hyps_done);
  real(m, "hypotheses_per_second", "Speed of all workers together; NaN when it is not known.",
       s->hyps_per_second);
  real(m, "remaining_seconds",
       "Estimated time until the run is complete; NaN when it is not known.", s->seconds_left);
  if (s->has_plan) {
    real(m, "cost_flops", "Predicted cost of the run.", s->cost);
    family(m, "cost_done_flops_total", "counter", "Predicted cost of the shards that are done.");
    begin(m, "cost_done_flops_total");
    end_real(m, s->cost_done);
  }
}

/* The labels that tell a worker from all others of the run. */
static void begin_worker(struct metrics *m, const char *name, const struct sp_worker_status *w) {
  begin(m, name);
  put_label(m, "worker", w->is.id);
  put_label(m, "host", w->is.host);
  put_label(m, "part", w->is.part);
}

static void put_workers(struct metrics *m, const struct sp_run_status *s) {
  uint64_t gone = 0;
  for (size_t i = 0; i < s->n_workers; i++) {
    gone += s->workers[i].gone;
  }
  family(m, "workers", "gauge", "Processes that work on the run, by state.");
  with_state(m, "workers", "live", s->n_workers - gone);
  with_state(m, "workers", "gone", gone);
  if (s->n_workers == 0) {
    return;
  }
  family(m, "worker_up", "gauge", "1 while the worker lives.");
  for (size_t i = 0; i < s->n_workers; i++) {
    begin_worker(m, "worker_up", &s->workers[i]);
    end_count(m, !s->workers[i].gone);
  }
  family(m, "worker_shards", "gauge", "Shards that the worker has claimed.");
  for (size_t i = 0; i < s->n_workers; i++) {
    begin_worker(m, "worker_shards", &s->workers[i]);
    end_count(m, s->workers[i].n_shards);
  }
  family(m, "worker_hypotheses_total", "counter", "Hypotheses that the worker has scored.");
  for (size_t i = 0; i < s->n_workers; i++) {
    begin_worker(m, "worker_hypotheses_total", &s->workers[i]);
    end_count(m, s->workers[i].is.hyps_done);
  }
  family(m, "worker_hypotheses_per_second", "gauge", "Speed as the worker tells it.");
  for (size_t i = 0; i < s->n_workers; i++) {
    begin_worker(m, "worker_hypotheses_per_second", &s->workers[i]);
    end_real(m, s->workers[i].is.hyps_per_second);
  }
}

enum sp_status sp_run_metrics_text(const char *run, const struct sp_run_status *status,
                                   struct sp_buf *out, struct sp_error *err) {
  struct metrics m = {.out = out, .status = SP_OK, .err = err, .run = run};
  put_run(&m, status);
  put_workers(&m, status);
  return m.status;
}

enum sp_status sp_run_metrics_write(const char *path, const char *run,
                                    const struct sp_run_status *status, struct sp_error *err) {
  struct sp_buf text = {0};
  enum sp_status result = sp_run_metrics_text(run, status, &text, err);
  if (result == SP_OK) {
    result = sp_file_replace(path, text.data, text.len, err);
  }
  sp_buf_release(&text);
  return result;
}
