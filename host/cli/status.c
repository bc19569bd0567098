/* status.c - `secondpass status`: how far a run is and who works on it. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "output.h"
#include "run_metrics.h"
#include "run_status.h"

struct status_args {
  bool watch, json;
  double every;
  const char *metrics;
};

static double percent(const struct sp_run_status *s) {
  if (s->has_plan && s->cost > 0) {
    return 100 * s->cost_done / s->cost;
  }
  return s->hyps > 0 ? 100 * (double)s->hyps_done / (double)s->hyps
                     : 100.0 * (s->done == s->shards);
}

static const char *part_of(const struct sp_worker_status *worker) {
  return worker->alone ? "alone" : *worker->is.part ? worker->is.part : "-";
}

/* ---- for people ---- */

static struct sp_number speed_text(double hyps_per_second) {
  struct sp_number out = {"-"};
  if (isfinite(hyps_per_second) && hyps_per_second >= 0 && hyps_per_second < 1e18) {
    out = sp_number((uint64_t)(hyps_per_second + 0.5));
  }
  return out;
}

static struct sp_number age_text(double seconds) {
  struct sp_number out = {"-"};
  return isfinite(seconds) ? sp_duration(seconds) : out;
}

/* "3, 17, 20 and 5 more" */
static void list_shards(const struct sp_worker_status *worker, char *out, size_t capacity) {
  enum { shown = 3 };
  size_t used = 0;
  snprintf(out, capacity, "-");
  for (size_t i = 0; i < worker->n_shards && i < shown; i++) {
    used +=
        (size_t)snprintf(out + used, capacity - used, "%s%zu", i ? ", " : "", worker->shards[i]);
  }
  if (worker->n_shards > shown) {
    snprintf(out + used, capacity - used, " and %zu more", worker->n_shards - shown);
  }
}

static void print_worker(const struct sp_worker_status *worker) {
  char shards[128];
  list_shards(worker, shards, sizeof shards);
  printf("%-24.64s %8" PRId64 " %-16.40s %12s %12s  %-10s %s\n", worker->is.host, worker->is.pid,
         part_of(worker), worker->alone ? "-" : sp_number(worker->is.hyps_done).text,
         worker->alone ? "-" : speed_text(worker->is.hyps_per_second).text,
         worker->gone ? "gone" : age_text(worker->beat_age).text, shards);
}

/* `room` lines, or all of them when it is 0. */
static void print_workers(const struct sp_run_status *s, size_t room) {
  if (s->n_workers == 0) {
    return;
  }
  printf("\n%-24s %8s %-16s %12s %12s  %-10s %s\n", "host", "pid", "part", "hyps", "hyps/s", "beat",
         "shards in work");
  size_t shown = room > 0 && s->n_workers > room ? room - 1 : s->n_workers;
  for (size_t i = 0; i < shown; i++) {
    print_worker(&s->workers[i]);
  }
  if (shown < s->n_workers) {
    printf("and %s\n", sp_count_of(s->n_workers - shown, "worker more", "workers more").text);
  }
}

enum { table_rows = 9 }; /* with the empty line and the head of the workers */

static void print_table(const char *run, const struct sp_run_status *s, size_t room) {
  sp_row("run", "%s: %s", run, sp_run_stage_name(s->stage));
  if (s->shards > 0) {
    sp_row("shards", "%s of %s done, %s running, %s stale, %s open", sp_number(s->done).text,
           sp_number(s->shards).text, sp_number(s->running).text, sp_number(s->stale).text,
           sp_number(s->open).text);
    sp_row("utterances", "%s of %s", sp_number(s->utts_done).text, sp_number(s->utts).text);
    sp_row("hypotheses", "%s of %s", sp_number(s->hyps_done).text, sp_number(s->hyps).text);
    sp_row(s->has_plan ? "done by predicted cost" : "done", "%.1f %%", percent(s));
  }
  if (s->stage == SP_RUN_RUNNING) {
    sp_row("hypotheses a second", "%s", speed_text(s->hyps_per_second).text);
    sp_row("time left", "%s", age_text(s->seconds_left).text);
  }
  print_workers(s, room);
}

static void print_line(const char *run, const struct sp_run_status *s) {
  size_t live = 0;
  for (size_t i = 0; i < s->n_workers; i++) {
    live += !s->workers[i].gone;
  }
  printf("%s: %s: %5.1f %%  %s of %s shards done, %s running, %s stale, %s open", run,
         sp_run_stage_name(s->stage), percent(s), sp_number(s->done).text,
         sp_number(s->shards).text, sp_number(s->running).text, sp_number(s->stale).text,
         sp_number(s->open).text);
  if (s->stage == SP_RUN_RUNNING) {
    printf("  %s  %s hyps/s  %s left", sp_count_of(live, "worker", "workers").text,
           speed_text(s->hyps_per_second).text, age_text(s->seconds_left).text);
  }
  putchar('\n');
}

/* Lines of the terminal that are left for workers, at least 1; 0: it does not tell. */
static size_t room_for_workers(void) {
  struct winsize size;
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0) {
    return 0;
  }
  return size.ws_row > table_rows + 2 ? (size_t)size.ws_row - table_rows - 1 : 1;
}

/* ---- for programs ---- */

static json_t *worker_json(const struct sp_worker_status *worker) {
  json_t *shards = json_array();
  for (size_t i = 0; i < worker->n_shards; i++) {
    json_array_append_new(shards, json_integer((json_int_t)worker->shards[i]));
  }
  return json_pack(
      "{s:o, s:o, s:I, s:o, s:o, s:b, s:b, s:o, s:I, s:o, s:o}", "id", sp_json_text(worker->is.id),
      "host", sp_json_text(worker->is.host), "pid", (json_int_t)worker->is.pid, "part",
      *worker->is.part ? sp_json_text(worker->is.part) : json_null(), "start",
      sp_json_text(worker->is.start), "alone", worker->alone, "gone", worker->gone, "shards",
      shards, "hyps_done", (json_int_t)worker->is.hyps_done, "hyps_per_second",
      worker->alone ? json_null() : sp_json_real(worker->is.hyps_per_second), "beat_seconds",
      sp_json_real(worker->beat_age));
}

static json_t *status_json(const char *run, const struct sp_run_status *s) {
  json_t *object = sp_json_begin("status", SP_OK, NULL), *workers = json_array();
  json_object_set_new(object, "run", sp_json_text(run));
  json_object_set_new(object, "stage", json_string(sp_run_stage_name(s->stage)));
  json_object_set_new(object, "complete", json_boolean(s->stage == SP_RUN_COMPLETE));
  sp_json_set_count(object, "shards", s->shards);
  sp_json_set_count(object, "shards_done", s->done);
  sp_json_set_count(object, "shards_running", s->running);
  sp_json_set_count(object, "shards_stale", s->stale);
  sp_json_set_count(object, "shards_open", s->open);
  sp_json_set_count(object, "utts_done", s->utts_done);
  sp_json_set_count(object, "utts_total", s->utts);
  sp_json_set_count(object, "hyps_done", s->hyps_done);
  sp_json_set_count(object, "hyps_total", s->hyps);
  json_object_set_new(object, "percent", sp_json_real(percent(s)));
  json_object_set_new(object, "hyps_per_second", sp_json_real(s->hyps_per_second));
  json_object_set_new(object, "seconds_left", sp_json_real(s->seconds_left));
  for (size_t i = 0; i < s->n_workers; i++) {
    json_array_append_new(workers, worker_json(&s->workers[i]));
  }
  json_object_set_new(object, "workers", workers);
  return object;
}

/* ---- the command ---- */

static enum sp_status show(const struct status_args *args, const char *run,
                           const struct sp_run_status *s, struct sp_error *err) {
  bool redraw = args->watch && !args->json && sp_is_terminal(stdout);
  if (args->json) {
    SP_TRY(sp_json_print(status_json(run, s), stdout, err));
  } else if (redraw) {
    fputs("\033[H\033[J", stdout);
    print_table(run, s, room_for_workers());
  } else if (args->watch) {
    print_line(run, s);
  } else {
    print_table(run, s, 0);
  }
  return sp_stdout_close(err);
}

static void wait_for(double seconds) {
  struct timespec left = {.tv_sec = (time_t)seconds,
                          .tv_nsec = (long)((seconds - floor(seconds)) * 1e9)};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

static enum sp_status look_once(const struct status_args *args, const char *run,
                                struct sp_run_watch *watch, bool *complete, struct sp_error *err) {
  struct sp_run_status seen;
  SP_TRY(sp_run_watch_look(watch, &seen, err));
  *complete = seen.stage == SP_RUN_COMPLETE;
  enum sp_status status = SP_OK;
  if (args->metrics) {
    status = sp_run_metrics_write(args->metrics, run, &seen, err);
  }
  if (status == SP_OK) {
    status = show(args, run, &seen, err);
  }
  sp_run_status_release(&seen);
  return status;
}

static enum sp_status look_on(const struct status_args *args, const char *run,
                              struct sp_run_watch *watch, struct sp_error *err) {
  double every = args->every > 0 ? args->every : sp_is_terminal(stdout) ? 2 : 10;
  for (;;) {
    bool complete;
    SP_TRY(look_once(args, run, watch, &complete, err));
    if (complete || !args->watch) {
      return SP_OK;
    }
    wait_for(every);
  }
}

static enum sp_status run_status(const void *values, const struct sp_operands *operands,
                                 struct sp_error *err) {
  const struct status_args *args = values;
  const struct sp_watch_rules rules = {.run = operands->items[0]};
  struct sp_run_watch *watch = NULL;
  SP_TRY(sp_run_watch_create(&rules, &watch, err));
  enum sp_status status = look_on(args, rules.run, watch, err);
  sp_run_watch_destroy(watch);
  return sp_json_failure(args->json, "status", status, err);
}

#define FIELD(name) offsetof(struct status_args, name)

static const struct sp_opt options[] = {
    {.name = "watch",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(watch),
     .help =
         "look again and again until the run is complete: on a terminal one picture, else a line "
         "a look"},
    {.name = "every",
     .kind = SP_OPT_REAL,
     .offset = FIELD(every),
     .argument = "SECONDS",
     .max = 86400,
     .help = "time between two looks of --watch",
     .fallback = "2 on a terminal, else 10"},
    {.name = "metrics",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(metrics),
     .argument = "FILE",
     .help =
         "write Prometheus text too, at every look: a NAME.prom in the folder of node_exporter's "
         "textfile collector"},
    {.name = "json",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(json),
     .help = "print each look as one JSON object"},
};
static const struct sp_opt_group group = {"Options", options, sizeof options / sizeof *options};
static const struct sp_opt_group *const groups[] = {&group, NULL};

const struct sp_command sp_command_status = {
    .name = "status",
    .summary = "tells how far a run is and who works on it",
    .example =
        "secondpass status run\n"
        "secondpass status --watch --metrics /var/lib/node_exporter/run.prom run",
    .usage = "[OPTIONS] RUN",
    .description =
        "Reads only, and may be called at any time and from any host that sees the directory. "
        "Shards "
        "are done, running (claimed by a worker that lives), stale (claimed by one that is gone: "
        "another takes them over) or open. Names and markers are trusted; verify proves. A run is "
        "beginning while its input is read, prepared (score --prepare) until somebody scores, then "
        "running, stopped where nobody works on it, and complete.\n"
        "The time left follows from what the workers tell, or with --watch from what was done "
        "since "
        "the first look, and by predicted cost where the run has a plan. One look cannot tell "
        "whether "
        "a worker of another host lives: --watch can, after the worker's lease.\n"
        "With --watch the exit code is 0 when the run is complete.",
    .groups = groups,
    .values_bytes = sizeof(struct status_args),
    .min_operands = 1,
    .max_operands = 1,
    .run = run_status,
};
