/* score.c - `secondpass score`: archives and a model in, a run directory or score lines out. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "output.h"
#include "progress.h"
#include "score_args.h"
#include "score_ranks.h"

struct score_io {
  struct sp_score_ranks job;
  struct sp_progress_view view;
  struct sp_stream_out out;
};

static void on_progress(void *context, const struct sp_progress *progress) {
  struct score_io *io = context;
  sp_progress_show(&io->view, progress);
}

static void on_warn(void *context, const char *message) {
  struct score_io *io = context;
  sp_progress_clear(&io->view);
  sp_score_ranks_warn(&io->job, message);
}

static enum sp_status on_lines(void *context, const char *data, size_t len, struct sp_error *err) {
  struct score_io *io = context;
  return sp_stream_write(&io->out, data, len, err);
}

/* Of this process's own work; NaN when it scored nothing. */
static double hyps_per_second(const struct sp_score_summary *summary) {
  return (double)summary->hyps_scored / summary->score_seconds;
}

/* "2/8" */
static struct sp_phrase part_of(const struct sp_score_options *options) {
  struct sp_phrase part;
  snprintf(part.text, sizeof part.text, "%zu/%zu", options->part, options->parts);
  return part;
}

static json_t *seconds_json(const struct sp_score_summary *summary) {
  json_t *seconds = json_object();
  json_object_set_new(seconds, "read", sp_json_real(summary->read_seconds));
  json_object_set_new(seconds, "score", sp_json_real(summary->score_seconds));
  json_object_set_new(seconds, "total", sp_json_real(summary->total_seconds));
  return seconds;
}

static json_t *latency_json(const struct sp_latency_summary *latency) {
  json_t *object = json_object();
  const struct {
    const char *key;
    double value;
  } reals[] = {{"mean", latency->mean},
               {"p50", latency->p50},
               {"p90", latency->p90},
               {"p99", latency->p99},
               {"max", latency->max},
               {"emission_mean", latency->emission_mean},
               {"clipped_mean", latency->clipped_mean},
               {"upl_mean", latency->upl_mean},
               {"upl_max", latency->upl_max},
               {"capacity", latency->capacity},
               {"node_cost", latency->node_cost},
               {"key_cost", latency->key_cost},
               {"scheduler_cost", latency->scheduler_cost}};
  json_object_set_new(object, "outputs", json_integer((json_int_t)latency->outputs));
  json_object_set_new(object, "clipped", json_integer((json_int_t)latency->clipped));
  for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
    json_object_set_new(object, reals[i].key, sp_json_real(reals[i].value));
  }
  return object;
}

/* Null for who had the run alone. */
static json_t *part_json(const struct sp_score_options *options) {
  struct sp_phrase part = part_of(options);
  return options->parts ? json_string(part.text) : json_null();
}

/* Null for what only a device tells. */
static json_t *known(const char *text) {
  return *text ? sp_json_text(text) : json_null();
}

static json_t *summary_json(const struct sp_score_summary *summary,
                            const struct sp_score_options *options, enum sp_status status,
                            const struct sp_error *err) {
  json_t *object = sp_json_begin("score", status, err);
  json_object_set_new(object, "out", sp_json_text(options->out));
  json_object_set_new(object, "signature", known(summary->signature));
  json_object_set_new(object, "format", sp_json_text(summary->format));
  json_object_set_new(object, "dtype", known(summary->dtype));
  json_object_set_new(object, "device_type", known(summary->device_type));
  json_object_set_new(object, "case", sp_json_text(summary->letter_case));
  json_object_set_new(object, "mask", sp_json_text(summary->mask));
  json_object_set_new(object, "mask_forced", json_boolean(summary->mask_forced));
  json_object_set_new(object, "model_hash", sp_json_text(summary->model_hash));
  json_object_set_new(object, "threads", json_integer((json_int_t)summary->threads));
  json_object_set_new(object, "devices", json_integer((json_int_t)summary->devices));
  json_object_set_new(object, "devices_lost", json_integer((json_int_t)summary->devices_lost));
  json_object_set_new(object, "shards", json_integer((json_int_t)summary->shards));
  json_object_set_new(object, "shard_utts", json_integer((json_int_t)summary->shard_utts));
  json_object_set_new(object, "shards_resumed", json_integer((json_int_t)summary->shards_resumed));
  json_object_set_new(object, "hyps_resumed", json_integer((json_int_t)summary->hyps_resumed));
  json_object_set_new(object, "hyps_scored", json_integer((json_int_t)summary->hyps_scored));
  json_object_set_new(object, "prepared", json_boolean(options->prepare));
  json_object_set_new(object, "already_complete", json_boolean(summary->already_complete));
  json_object_set_new(object, "part", part_json(options));
  json_object_set_new(object, "shards_open", json_integer((json_int_t)summary->shards_open));
  json_object_set_new(object, "shards_taken_over",
                      json_integer((json_int_t)summary->shards_taken_over));
  json_object_set_new(object, "shards_helped", json_integer((json_int_t)summary->shards_helped));
  json_object_set_new(object, "shards_late", json_integer((json_int_t)summary->shards_late));
  json_object_set_new(object, "raw_bytes", json_integer((json_int_t)summary->raw_bytes));
  json_object_set_new(object, "zst_bytes", json_integer((json_int_t)summary->zst_bytes));
  json_object_set_new(object, "seconds", seconds_json(summary));
  json_object_set_new(object, "hyps_per_second",
                      status == SP_OK ? sp_json_real(hyps_per_second(summary)) : json_null());
  json_object_set_new(object, "counts", sp_counts_json(&summary->counts));
  json_object_set_new(object, "latency", summary->latency.measured ? latency_json(&summary->latency)
                                                                   : json_null());
  return object;
}

static struct sp_phrase hyps_of(uint64_t hyps) {
  return sp_count_of(hyps, "hypothesis", "hypotheses");
}

/* What computed: threads, or devices. */
static struct sp_phrase computers(const struct sp_score_summary *summary) {
  return summary->on_host ? sp_count_of(summary->threads, "thread", "threads")
                          : sp_count_of(summary->devices, "device", "devices");
}

static void say_latency(const struct sp_latency_summary *latency) {
  uint64_t whole = latency->outputs - latency->clipped;
  if (!latency->measured) {
    return;
  }
  if (latency->outputs == 0) {
    sp_say("latency: no outputs, since no hypothesis has a token");
    return;
  }
  if (whole > 0) {
    sp_say("latency: mean %.4g tokens, p50 %.0f, p90 %.0f, p99 %.0f, max %.0f; in order %.4g (%s)",
           latency->mean, latency->p50, latency->p90, latency->p99, latency->max,
           latency->emission_mean, sp_count_of(whole, "output", "outputs").text);
  }
  if (latency->clipped > 0) {
    sp_say("latency where the sentence's end cuts it: mean %.4g tokens (%s)", latency->clipped_mean,
           sp_count_of(latency->clipped, "output", "outputs").text);
  }
  sp_say("user-perceived latency: mean %.4g token periods, max %.4g, at a capacity of %.6g a period",
         latency->upl_mean, latency->upl_max, latency->capacity);
}

/* What a part leaves to others, and what it did for them. */
static void say_parts(const struct sp_score_summary *summary,
                      const struct sp_score_options *options) {
  if (summary->shards_taken_over > 0) {
    sp_say("%s taken over from workers that were gone",
           sp_count_of(summary->shards_taken_over, "shard", "shards").text);
  }
  if (summary->shards_helped > 0) {
    sp_say("%s of other parts done to help them",
           sp_count_of(summary->shards_helped, "shard", "shards").text);
  }
  if (summary->shards_late > 0) {
    sp_say("%s had been done by others meanwhile, with the same bytes",
           sp_count_of(summary->shards_late, "shard", "shards").text);
  }
  struct sp_phrase open = sp_count_of(summary->shards_open, "shard", "shards");
  if (summary->shards_open > 0 && options->parts > 0) {
    sp_say("part %s of %s is done; left to other parts: %s%s of %zu", part_of(options).text,
           options->out, summary->open_is_most ? "at most " : "", open.text, summary->shards);
  } else if (summary->shards_open > 0) {
    sp_say("%s is not complete: other workers have %s%s of %zu", options->out,
           summary->open_is_most ? "at most " : "", open.text, summary->shards);
  }
}

/* What a prepared run is, and how it goes on. */
static void say_prepared(const struct sp_score_summary *summary, const char *out) {
  struct sp_phrase utts = sp_count_of(summary->counts.utts, "utterance", "utterances");
  struct sp_phrase shards = sp_count_of(summary->shards, "shard", "shards");
  sp_counts_say(&summary->counts);
  sp_say("%s is prepared: %s of %s in %s of %s, checked in %s", out,
         hyps_of(summary->counts.hyps).text, utts.text, shards.text,
         sp_count_of(summary->shard_utts, "utterance", "utterances").text,
         sp_duration(summary->read_seconds).text);
  sp_say("to be scored: %s; the same command with --part I/N in the place of --prepare, for every I "
         "from 0 to N-1, on any hosts and at any time",
         sp_count_of(summary->shards_open, "shard", "shards").text);
}

static void say_summary(const struct sp_score_summary *summary,
                        const struct sp_score_options *options) {
  const char *out = options->out;
  struct sp_phrase utts = sp_count_of(summary->counts.utts, "utterance", "utterances");
  struct sp_phrase shards = sp_count_of(summary->shards, "shard", "shards");
  if (summary->already_complete) {
    sp_say("%s is complete already: %s of %s", out, hyps_of(summary->counts.hyps).text, utts.text);
    say_latency(&summary->latency);
    return;
  }
  if (options->prepare) {
    say_prepared(summary, out);
    return;
  }
  sp_counts_say(&summary->counts);
  if (summary->shards_resumed > 0) {
    sp_say("%s of %s (%s) were done already", sp_number(summary->shards_resumed).text, shards.text,
           hyps_of(summary->hyps_resumed).text);
  }
  sp_say("scored %s of %s in %s, %.0f hyps/s on %s (%s, %s)", hyps_of(summary->hyps_scored).text,
         utts.text, sp_duration(summary->score_seconds).text,
         summary->score_seconds > 0 ? hyps_per_second(summary) : 0.0,
         computers(summary).text, summary->dtype, summary->device_type);
  if (summary->devices_lost > 0) {
    sp_say("%s failed on the way",
           sp_count_of(summary->devices_lost, "device", "devices").text);
  }
  say_parts(summary, options);
  if (strcmp(out, "-") != 0 && summary->shards_open == 0) {
    sp_say("%s is complete: %s, %s", out, shards.text, sp_bytes(summary->zst_bytes).text);
  }
  say_latency(&summary->latency);
  sp_say("signature: %s", summary->signature);
}

static enum sp_status check_needed(const struct sp_score_options *options, struct sp_error *err) {
  const char *missing = !options->model        ? "--model DIR"
                        : !options->out        ? "--out RUN|-"
                        : !options->n_archives ? "an ARCHIVE"
                                               : NULL;
  return missing ? sp_fail(err, SP_EUSAGE, "%s is missing; usage: secondpass score %s", missing,
                           sp_command_score.usage)
                 : SP_OK;
}

/* What a user does next is added to the library's message. */
static void add_advice(enum sp_status status, const struct score_io *io, const char *out,
                       struct sp_error *err) {
  char fact[sizeof err->message];
  memcpy(fact, err->message, sizeof fact);
  if (status == SP_EINTERRUPTED && strcmp(out, "-") != 0) {
    sp_fail(err, status, "%s; the same command resumes it", fact);
  } else if (io->out.closed) {
    sp_fail(err, status, "the reader of standard output went away before all lines were written");
  }
}

static enum sp_status report(const struct sp_score_args *args,
                             const struct sp_score_options *options,
                             const struct sp_score_summary *summary, enum sp_status status,
                             struct sp_error *err) {
  if (args->json) {
    json_t *object = summary_json(summary, options, status, err);
    struct sp_error lost;
    struct sp_error *to = status == SP_OK ? err : &lost;
    enum sp_status printed =
        sp_json_print(object, strcmp(options->out, "-") == 0 ? stderr : stdout, to);
    return status == SP_OK ? printed : status;
  }
  if (status == SP_OK) {
    say_summary(summary, options);
  }
  return status;
}

/* A stop that is wanted while the ranks find each other. */
static enum sp_status check_stop(const struct sp_score_options *options, struct sp_error *err) {
  return options->ranks && *options->stop
             ? sp_fail(err, SP_EINTERRUPTED, "interrupted before it began")
             : SP_OK;
}

static enum sp_status score_as_rank(const struct sp_score_args *args, struct score_io *io,
                                    struct sp_score_options *options, struct sp_error *err) {
  struct sp_score_summary summary = {0};
  bool speaks = sp_score_ranks_speaks(&io->job);
  sp_progress_init(&io->view, speaks ? args->progress : "none");
  enum sp_status status = check_stop(options, err);
  if (status == SP_OK) {
    status = sp_score_run(options, &summary, err);
  }
  sp_progress_clear(&io->view);
  status = sp_score_ranks_agree(&io->job, status, err);
  if (status != SP_OK) {
    add_advice(status, io, options->out, err);
  }
  return speaks ? report(args, options, &summary, status, err) : status;
}

static enum sp_status prepare(const struct sp_score_args *args, struct sp_score_options *options,
                              struct sp_error *err) {
  SP_TRY(check_needed(options, err));
  return sp_part_args_resolve(&args->part, options, err);
}

static enum sp_status run_score(const void *values, const struct sp_operands *operands,
                                struct sp_error *err) {
  const struct sp_score_args *args = values;
  struct score_io io = {.out = {.fd = STDOUT_FILENO}};
  struct sp_score_options options = args->options;
  options.archives = operands->items;
  options.n_archives = operands->n;
  options.progress = on_progress;
  options.warn = on_warn;
  options.sink = on_lines;
  options.context = &io;
  options.stop = sp_stop_on_signals();
  enum sp_status status = prepare(args, &options, err);
  if (options.grace > 0) {
    sp_stop_has_grace();
  }
  status = sp_score_ranks_open(&io.job, &options, status, err);
  if (status == SP_OK) {
    status = score_as_rank(args, &io, &options, err);
  }
  sp_score_ranks_close(&io.job, status, err);
  return status;
}

/* Options that every rank has alike are refused once; those of one rank, for all. */
static void misused(struct sp_error *err) {
  struct sp_score_ranks job;
  struct sp_score_options none = {0};
  enum sp_status status = sp_score_ranks_open(&job, &none, SP_EUSAGE, err);
  sp_score_ranks_close(&job, status, err);
}

static const struct sp_opt_group *const groups[] = {&sp_score_what, &sp_score_work,
                                                    &sp_score_part, &sp_score_output, NULL};

const struct sp_command sp_command_score = {
    .name = "score",
    .summary = "scores every hypothesis of N-best archives",
    .example =
        "secondpass score --model bert-base-uncased --out run dev.jsonl.zst\n"
        "secondpass score --model bert-base-uncased --method pll_l2r --out - nbest.json\n"
        "secondpass score --model bert-base-uncased --part 0/4 --out /shared/run dev.jsonl.zst\n"
        "secondpass score --model bert-base-uncased --prepare --out /shared/run dev.jsonl.zst",
    .usage = "--model DIR --out RUN|- [OPTIONS] ARCHIVE...",
    .description =
        "Scores are natural logs, higher is better. A hypothesis that cannot be scored has null "
        "and a flag, is counted and never ends the run.\n"
        "The whole input is checked before anything is written (with --out -, lines are written as "
        "the "
        "input is read). A run that was stopped or killed "
        "is resumed by the same command; threads, batches and --without may differ. A run of other "
        "options, input or model is refused with the difference named.\n"
        "Options may be given in any order; of one that is given twice the last counts. ARCHIVE is "
        "a file (plain, .zst or .gz), an ESPnet2 directory, or - for standard input.\n"
        "With --part, many processes on any hosts that share the file system score one run directory: the "
        "first reads and checks the archives, the others read only what they score. A part that ends "
        "while others are at work, or have not begun, is exit code 0; the last one completes the run. "
        "Shards of a process that died are done by the next that comes to them. All parts take the same "
        "options and archives.\n"
        "With --prepare, the archives are checked and the run directory is made, on a machine that need not "
        "have the device: a cluster job that costs little, before those that score are given their nodes. "
        "Prepared once more it is only compared.\n"
        "Exit code 130: SIGINT, SIGTERM or SIGUSR1 stopped it and it can be resumed; another signal, two "
        "seconds later or more, ends it at once, or with --grace ends the grace, and the next one ends it "
        "at once. With --out -, a reader that goes away early is "
        "exit code 6, since scores are "
        "lost.",
    .groups = groups,
    .values_bytes = sizeof(struct sp_score_args),
    .max_operands = SIZE_MAX,
    .run = run_score,
    .misused = misused,
};
