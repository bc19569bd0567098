/* scaling.c - how a run of many workers scales, simulated (bench/scaling.sh runs it).
 *
 * Shards are stretches of real lists, their order and dealing are the engine's (shares.h), their seconds
 * come from a speed that is given or fitted from runs; calls to the directory are assumed or measured.
 * Prints a table (Markdown) and where counter and directory become the limit; --json FILE has all of it. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "costs.h"
#include "fit.h"
#include "mix.h"
#include "report.h"
#include "storage.h"

enum { most_values = 32, most_runs = 1024 };

struct numbers {
  double value[most_values];
  size_t n;
};

struct choices {
  const char *model, *shape, *directory, *json;
  struct numbers hyps, workers;
  const char *runs[most_runs];
  size_t n_runs;
  double device_flops, shard_seconds, jitter; /* of one device */
  double ticket_latency, ticket_service;
  double slow_share, slow_speed; /* stragglers */
  double mtbf_hours, failures, restart, lease, launch;
  double read_bandwidth, client_bandwidth, model_bytes, broadcast_bandwidth; /* cold cache */
  double validate_rate; /* hypotheses a second */
  double workers_per_node;
  double depth, end_tickets, end_depth;
  double shard_utts, seed, clients;
};

static const struct choices defaults = {
    .shape = "12x768",
    .hyps = {{1e9}, 1},
    .workers = {{1, 8, 64, 256, 1024, 4096}, 6},
    .device_flops = 4e14,
    .ticket_latency = 20e-6,
    .ticket_service = 2e-6,
    .slow_share = 0.05,
    .slow_speed = 0.8,
    .mtbf_hours = 50000,
    .restart = 300,
    .lease = 60,
    .launch = 10,
    .read_bandwidth = 5e9,
    .client_bandwidth = 1e9,
    .model_bytes = 440e6,
    .broadcast_bandwidth = 2e9,
    .validate_rate = 4.4e6, /* of one reading thread: measured, README */
    .workers_per_node = 8,
    .depth = 8,
    .end_tickets = 8,
    .end_depth = 2,
    .seed = 1,
    .clients = 8,
};

static const struct flag {
  const char *name, *help;
  size_t offset; /* of a double */
} flags[] = {
#define FLAG(name, member, help) \
  { name, help, offsetof(struct choices, member) }
    FLAG("device-flops", device_flops, "FLOP/s that one device comes to"),
    FLAG("shard-seconds", shard_seconds, "of every shard, whatever its cost"),
    FLAG("jitter", jitter, "shards take up to so much (a share) longer or shorter than predicted"),
    FLAG("shard-utts", shard_utts, "utterances a shard; 0: the engine's choice"),
    FLAG("ticket-latency", ticket_latency, "seconds of a ticket when nobody waits"),
    FLAG("ticket-service", ticket_service, "seconds that it keeps others waiting"),
    FLAG("slow-share", slow_share, "trouble: share of the devices that are slow"),
    FLAG("slow-speed", slow_speed, "trouble: their speed, 1 is nominal"),
    FLAG("mtbf-hours", mtbf_hours, "trouble: mean hours of a worker between failures"),
    FLAG("failures", failures, "trouble: so many, evenly over the run; 0: by --mtbf-hours"),
    FLAG("restart", restart, "seconds until a dead worker, or job, is started again"),
    FLAG("lease", lease, "seconds, as --lease of score"),
    FLAG("launch", launch,
         "seconds from a process's start to its first shard, model reading apart"),
    FLAG("read-bandwidth", read_bandwidth,
         "trouble: bytes/s of the cold storage, all nodes together"),
    FLAG("client-bandwidth", client_bandwidth, "trouble: and of one node"),
    FLAG("model-bytes", model_bytes, "trouble: read by each node, or by one rank and broadcast"),
    FLAG("broadcast-bandwidth", broadcast_bandwidth, "trouble: bytes/s of that"),
    FLAG("workers-per-node", workers_per_node, "which share a file cache"),
    FLAG("validate-rate", validate_rate, "hypotheses/s of the pass that validates"),
    FLAG("depth", depth, "shards in flight of a worker"),
    FLAG("end-tickets", end_tickets,
         "ranks keep fewer in flight while fewer tickets a rank are left"),
    FLAG("end-depth", end_depth, "so many then"),
    FLAG("clients", clients, "threads that measure --directory together"),
    FLAG("seed", seed, "of everything that is drawn"),
#undef FLAG
};
enum { n_flags = sizeof flags / sizeof *flags };

static void print_help(void) {
  printf(
      "usage: scaling --model DIR [OPTION...] LISTS...\n\n"
      "  --model DIR          vocabulary and shape\n"
      "  --shape LxD          layers and width of the model that is simulated (12x768), or "
      "'model'\n"
      "  --hyps N,..          hypotheses of the corpora (1e9); 0: the lists themselves\n"
      "  --workers N,..       (1,8,64,256,1024,4096)\n"
      "  --fit RUN            speed from a run of one process and this model; may come several "
      "times\n"
      "  --directory DIR      measures the calls there instead of assuming a network file system\n"
      "  --json FILE          everything, too\n");
  for (int i = 0; i < n_flags; i++) {
    printf("  --%-18s %s (%g)\n", flags[i].name, flags[i].help,
           *(const double *)((const char *)&defaults + flags[i].offset));
  }
}

/* ---- options ---- */

static enum sp_status parse_number(const char *name, const char *text, double *out,
                                   struct sp_error *err) {
  char *end;
  *out = strtod(text, &end);
  return end != text && *end == '\0' && *out >= 0 && *out <= 1e18
             ? SP_OK
             : sp_fail(err, SP_EUSAGE, "--%s takes a number, not '%s'", name, text);
}

static enum sp_status parse_numbers(const char *name, char *text, struct numbers *out,
                                    struct sp_error *err) {
  out->n = 0;
  for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
    if (out->n == most_values) {
      return sp_fail(err, SP_EUSAGE, "--%s takes at most %d numbers", name, most_values);
    }
    SP_TRY(parse_number(name, word, &out->value[out->n++], err));
  }
  return out->n ? SP_OK : sp_fail(err, SP_EUSAGE, "--%s takes numbers", name);
}

enum {
  opt_help = 'h',
  opt_model = 1000,
  opt_shape,
  opt_hyps,
  opt_workers,
  opt_fit,
  opt_directory,
  opt_json,
  opt_flags
};

static enum sp_status take_option(struct choices *c, int code, char *text, struct sp_error *err) {
  switch (code) {
    case opt_model:
      c->model = text;
      return SP_OK;
    case opt_shape:
      c->shape = strcmp(text, "model") == 0 ? NULL : text;
      return SP_OK;
    case opt_hyps:
      return parse_numbers("hyps", text, &c->hyps, err);
    case opt_workers:
      return parse_numbers("workers", text, &c->workers, err);
    case opt_directory:
      c->directory = text;
      return SP_OK;
    case opt_json:
      c->json = text;
      return SP_OK;
    case opt_fit:
      if (c->n_runs == most_runs) {
        return sp_fail(err, SP_EUSAGE, "--fit came too often");
      }
      c->runs[c->n_runs++] = text;
      return SP_OK;
    default:
      break;
  }
  if (code >= opt_flags && code < opt_flags + n_flags) {
    const struct flag *flag = &flags[code - opt_flags];
    return parse_number(flag->name, text, (double *)((char *)c + flag->offset), err);
  }
  return sp_fail(err, SP_EUSAGE, "an option is unknown or lacks its value; --help tells them");
}

static enum sp_status check(const struct choices *c, int operands, struct sp_error *err) {
  const struct {
    const char *name;
    bool wrong;
  } rules[] = {{"model DIR", !c->model},
               {"device-flops over 0", !(c->device_flops > 0)},
               {"slow-speed over 0", !(c->slow_speed > 0)},
               {"slow-share of at most 1", !(c->slow_share <= 1)},
               {"mtbf-hours over 0", !(c->mtbf_hours > 0)},
               {"failures of at most a million", !(c->failures <= 1e6)},
               {"lease over 0", !(c->lease > 0)},
               {"validate-rate over 0", !(c->validate_rate > 0)},
               {"a bandwidth over 0",
                !(c->read_bandwidth > 0 && c->client_bandwidth > 0 && c->broadcast_bandwidth > 0)},
               {"depth of 1 or more", !(c->depth >= 1 && c->end_depth >= 1)},
               {"workers-per-node of 1 or more", !(c->workers_per_node >= 1)},
               {"clients from 1 to 1024", !(c->clients >= 1 && c->clients <= 1024)}};
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
    if (rules[i].wrong) {
      return sp_fail(err, SP_EUSAGE, "it needs --%s", rules[i].name);
    }
  }
  return operands > 0 ? SP_OK : sp_fail(err, SP_EUSAGE, "it needs LISTS: archives of N-best lists");
}

static enum sp_status parse(int argc, char **argv, struct choices *c, bool *help,
                            struct sp_error *err) {
  struct option options[8 + n_flags + 1] = {{"help", no_argument, NULL, opt_help},
                                            {"model", required_argument, NULL, opt_model},
                                            {"shape", required_argument, NULL, opt_shape},
                                            {"hyps", required_argument, NULL, opt_hyps},
                                            {"workers", required_argument, NULL, opt_workers},
                                            {"fit", required_argument, NULL, opt_fit},
                                            {"directory", required_argument, NULL, opt_directory},
                                            {"json", required_argument, NULL, opt_json}};
  for (int i = 0; i < n_flags; i++) {
    options[8 + i] = (struct option){flags[i].name, required_argument, NULL, opt_flags + i};
  }
  *c = defaults;
  opterr = 0;
  for (int code; (code = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
    *help |= code == opt_help;
    if (code != opt_help) {
      SP_TRY(take_option(c, code, optarg, err));
    }
  }
  return *help ? SP_OK : check(c, argc - optind, err);
}

/* ---- rules of a run ---- */

struct corpus {
  const struct choices *choices;
  const struct sim_lists *lists;
  struct sim_calls calls;
  struct sim_fit fit;
  struct sp_plan_shard *shards;
  size_t n;
  uint64_t hyps;
};

static struct sim_visit bytes_visit(const struct choices *c, double bytes) {
  return (struct sim_visit){.latency = bytes / fmin(c->client_bandwidth, c->read_bandwidth),
                            .service = bytes / c->read_bandwidth};
}

static struct sim_rules rules_of(const struct corpus *corpus, enum sim_way way, size_t workers) {
  const struct choices *c = corpus->choices;
  struct sim_rules rules = {.way = way,
                            .workers = workers,
                            .depth = (size_t)c->depth,
                            .end_tickets = (size_t)c->end_tickets,
                            .end_depth = (size_t)c->end_depth,
                            .shards = corpus->shards,
                            .n_shards = corpus->n,
                            .shard_seconds = corpus->fit.shard_seconds,
                            .rate = corpus->fit.rate,
                            .jitter = corpus->fit.jitter,
                            .restart = c->restart,
                            .lease = c->lease,
                            .launch = c->launch,
                            .ticket = {c->ticket_latency, c->ticket_service}};
  sim_calls_apply(&corpus->calls, corpus->n, &rules);
  return rules;
}

/* A cold cache: with parts each node reads the model, which its workers share. */
static void make_cold(const struct corpus *corpus, struct sim_rules *rules) {
  const struct choices *c = corpus->choices;
  double stored = corpus->lists->bytes / (double)corpus->lists->hyps[corpus->lists->n];
  rules->input = bytes_visit(c, stored * (double)corpus->hyps / (double)corpus->n);
  rules->model = bytes_visit(c, c->model_bytes);
  if (rules->way != SIM_COUNTER) {
    rules->model.service /= fmin(c->workers_per_node, (double)rules->workers);
  } else {
    rules->model.latency += c->model_bytes / c->broadcast_bandwidth;
  }
}

static enum sp_status make_slow(const struct choices *c, struct sim_rules *rules, double **speed,
                                struct sp_error *err) {
  *speed = calloc(rules->workers, sizeof **speed);
  if (!*speed) {
    return sp_fail_memory(err, rules->workers * sizeof **speed);
  }
  size_t n = rules->workers, slow = n > 1 ? (size_t)ceil(c->slow_share * (double)n) : 0;
  for (size_t w = 0; w < n; w++) {
    (*speed)[w] = 1;
  }
  for (size_t k = 0; k < slow; k++) { /* of two workers or more at least one */
    (*speed)[k * n / slow] = c->slow_speed;
  }
  rules->speed = *speed;
  return SP_OK;
}

/* Failures of all workers together are a Poisson process; they go on for ten times the ideal time and an
 * hour, longer than any run that gets anywhere. Or they are as many as was asked for, at even times. */
static enum sp_status make_deaths(const struct choices *c, double ideal, struct sim_rules *rules,
                                  struct sim_death **deaths, struct sp_error *err) {
  const bool counted = c->failures >= 1;
  const double run = c->launch + ideal / (double)rules->workers;
  const double gap =
      counted ? run / (c->failures + 1) : c->mtbf_hours * 3600 / (double)rules->workers;
  const double until = counted ? run - gap / 2 : 10 * run + 3600;
  double at = 0;
  size_t room = (size_t)(2 * until / gap) + 64;
  uint64_t state = (uint64_t)c->seed * 0x9e3779b97f4a7c15u + 7;
  *deaths = calloc(room, sizeof **deaths);
  if (!*deaths) {
    return sp_fail_memory(err, room * sizeof **deaths);
  }
  while (rules->n_deaths < room) {
    double draw = sp_unit64(sp_mix64(state++));
    at += counted ? gap : -gap * log(1 - draw);
    if (at > until) {
      break;
    }
    size_t worker = (size_t)(sp_unit64(sp_mix64(state++)) * (double)rules->workers);
    (*deaths)[rules->n_deaths++] = (struct sim_death){at, worker};
  }
  rules->deaths = *deaths;
  return SP_OK;
}

static double ideal_seconds(const struct corpus *corpus) {
  double sum = 0;
  for (size_t s = 0; s < corpus->n; s++) {
    sum += corpus->fit.shard_seconds + corpus->shards[s].cost / corpus->fit.rate;
  }
  return sum;
}

static enum sp_status simulate(const struct corpus *corpus, enum sim_way way, size_t workers,
                               bool trouble, struct sim_row *row, struct sp_error *err) {
  const struct choices *c = corpus->choices;
  double *speed = NULL;
  struct sim_death *deaths = NULL;
  static const char *const ways[SIM_WAYS] = {"counter", "parts", "parts, own share"};
  *row = (struct sim_row){.way = ways[way],
                          .trouble = trouble ? "all" : "none",
                          .hyps = corpus->hyps,
                          .validating = (double)corpus->hyps / c->validate_rate,
                          .rules = rules_of(corpus, way, workers)};
  enum sp_status status = SP_OK;
  if (trouble) {
    make_cold(corpus, &row->rules);
    SP_TRY_GOTO(make_slow(c, &row->rules, &speed, err), release);
    SP_TRY_GOTO(make_deaths(c, ideal_seconds(corpus), &row->rules, &deaths, err), release);
  }
  status = sim_run(&row->rules, &row->result, err);
release:
  free(speed);
  free(deaths);
  return status;
}

/* ---- what is printed ---- */

static void say_limits(const struct corpus *corpus) {
  const struct sim_rules rules = rules_of(corpus, SIM_COUNTER, 1);
  double mean = ideal_seconds(corpus) / (double)corpus->n;
  double directory = rules.claim.service + rules.publish.service;
  printf(
      "\n%llu hypotheses in %zu shards of %llu utterances: %.3f s of a device each in the mean. "
      "The "
      "counter is the limit from %.3g workers on, the directory from %.3g (%.3g ms of it a "
      "shard).\n\n",
      (unsigned long long)corpus->hyps, corpus->n, (unsigned long long)corpus->shards[0].utts, mean,
      mean / rules.ticket.service, mean / directory, 1e3 * directory);
}

static enum sp_status table_of(struct corpus *corpus, json_t *rows, struct sp_error *err) {
  const struct choices *c = corpus->choices;
  say_limits(corpus);
  sim_report_head(stdout);
  for (int way = 0; way < SIM_WAYS; way++) {
    for (int trouble = 0; trouble < 2; trouble++) {
      for (size_t i = 0; i < c->workers.n; i++) {
        struct sim_row row;
        size_t workers = (size_t)c->workers.value[i];
        SP_TRY(simulate(corpus, (enum sim_way)way, workers, trouble, &row, err));
        sim_report_row(stdout, &row);
        fflush(stdout);
        json_array_append_new(rows, sim_report_json(&row));
      }
    }
  }
  return SP_OK;
}

static enum sp_status all_tables(struct corpus *corpus, json_t *rows, struct sp_error *err) {
  const struct choices *c = corpus->choices;
  for (size_t i = 0; i < c->hyps.n; i++) {
    size_t shard_utts = (size_t)c->shard_utts;
    SP_TRY(sim_shards_make(corpus->lists, (uint64_t)c->hyps.value[i], (uint64_t)c->seed,
                           &shard_utts, &corpus->shards, &corpus->n, err));
    corpus->hyps = 0;
    for (size_t s = 0; s < corpus->n; s++) {
      corpus->hyps += corpus->shards[s].hyps;
    }
    enum sp_status status = table_of(corpus, rows, err);
    free(corpus->shards);
    SP_TRY(status);
  }
  return SP_OK;
}

static json_t *assumptions(const struct corpus *corpus) {
  json_t *object = json_object(), *calls = json_object();
  for (int i = 0; i < n_flags; i++) {
    json_object_set_new(
        object, flags[i].name,
        json_real(*(const double *)((const char *)corpus->choices + flags[i].offset)));
  }
  json_object_set_new(object, "shape",
                      json_string(corpus->choices->shape ? corpus->choices->shape : "model"));
  json_object_set_new(object, "rate", json_real(corpus->fit.rate));
  json_object_set_new(object, "fitted_intervals", json_integer((json_int_t)corpus->fit.n));
  for (int call = 0; call < SIM_CALLS; call++) {
    json_object_set_new(calls, sim_call_names[call],
                        json_pack("{s:f, s:f}", "latency", corpus->calls.latency[call], "service",
                                  corpus->calls.service[call]));
  }
  json_object_set_new(calls, "measured", json_boolean(corpus->choices->directory != NULL));
  json_object_set_new(object, "calls", calls);
  return object;
}

static void say_calls(const struct corpus *corpus) {
  printf("calls to the directory, %s, latency and service in us:",
         corpus->choices->directory ? "measured" : "assumed");
  for (int call = 0; call < SIM_CALLS; call++) {
    printf(" %s %.3g %.3g%s", sim_call_names[call], 1e6 * corpus->calls.latency[call],
           1e6 * corpus->calls.service[call], call + 1 < SIM_CALLS ? "," : "\n");
  }
  printf("a shard: %.3g s + FLOP / %.4g, +- %.2g%s\n", corpus->fit.shard_seconds, corpus->fit.rate,
         corpus->fit.jitter, corpus->fit.n ? " (fitted)" : " (given)");
}

static enum sp_status learn(struct corpus *corpus, struct sp_error *err) {
  const struct choices *c = corpus->choices;
  corpus->calls = sim_calls_assumed();
  corpus->fit = (struct sim_fit){c->shard_seconds, c->device_flops, c->jitter, 0};
  if (c->directory) {
    SP_TRY(sim_calls_measure(c->directory, (size_t)c->clients, &corpus->calls, err));
  }
  return c->n_runs ? sim_fit_runs(c->runs, c->n_runs, &corpus->fit, err) : SP_OK;
}

static enum sp_status write_json(const struct corpus *corpus, json_t *rows, struct sp_error *err) {
  json_t *root = json_object();
  json_object_set_new(root, "assumptions", assumptions(corpus));
  json_object_set(root, "runs", rows);
  int put = json_dump_file(root, corpus->choices->json, JSON_INDENT(1) | JSON_REAL_PRECISION(10));
  json_decref(root);
  return put == 0 ? SP_OK : sp_fail_errno(err, SP_EIO, "cannot write %s", corpus->choices->json);
}

static enum sp_status run(const struct choices *choices, char **lists, size_t n_lists,
                          struct sp_error *err) {
  struct sp_score_options options = {
      .model = choices->model, .archives = (const char *const *)lists, .n_archives = n_lists};
  struct sim_lists read;
  SP_TRY(sim_lists_read(&options, choices->shape, &read, err));
  struct corpus corpus = {.choices = choices, .lists = &read};
  json_t *rows = json_array();
  enum sp_status status = learn(&corpus, err);
  if (status == SP_OK) {
    say_calls(&corpus);
    status = all_tables(&corpus, rows, err);
  }
  if (status == SP_OK && choices->json) {
    status = write_json(&corpus, rows, err);
  }
  json_decref(rows);
  sim_lists_release(&read);
  return status;
}

int main(int argc, char **argv) {
  struct choices choices;
  struct sp_error err = {0};
  bool help = false;
  enum sp_status status = parse(argc, argv, &choices, &help, &err);
  if (status == SP_OK && help) {
    print_help();
    return 0;
  }
  if (status == SP_OK) {
    status = run(&choices, argv + optind, (size_t)(argc - optind), &err);
  }
  if (status != SP_OK) {
    fprintf(stderr, "scaling: %s\n", err.message);
  }
  return sp_status_exit_code(status);
}
