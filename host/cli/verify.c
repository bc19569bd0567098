/* verify.c - `secondpass verify`: proves a run directory complete and unharmed. */
#include "commands.h"
#include "output.h"
#include "run_manifest.h"

struct verify_args {
  bool json;
};

static json_t *totals_json(const char *run, const struct sp_run_totals *totals,
                           enum sp_status status, const struct sp_error *err) {
  json_t *object = sp_json_begin("verify", status, err);
  json_object_set_new(object, "run", sp_json_text(run));
  json_object_set_new(object, "complete", json_boolean(status == SP_OK));
  json_object_set_new(object, "shards", json_integer((json_int_t)totals->shards));
  json_object_set_new(object, "utts", json_integer((json_int_t)totals->utts));
  json_object_set_new(object, "hyps", json_integer((json_int_t)totals->hyps));
  json_object_set_new(object, "tokens", json_integer((json_int_t)totals->tokens));
  json_object_set_new(object, "raw_bytes", json_integer((json_int_t)totals->raw_bytes));
  json_object_set_new(object, "zst_bytes", json_integer((json_int_t)totals->zst_bytes));
  return object;
}

static enum sp_status run_verify(const void *values, const struct sp_operands *operands,
                                 struct sp_error *err) {
  const struct verify_args *args = values;
  const char *run = operands->items[0];
  struct sp_run_totals totals = {0};
  enum sp_status status = sp_run_verify(run, &totals, err);
  if (args->json) {
    struct sp_error lost;
    enum sp_status printed = sp_json_print(totals_json(run, &totals, status, err), stdout,
                                           status == SP_OK ? err : &lost);
    return status == SP_OK ? printed : status;
  }
  if (status == SP_OK) {
    printf("%s is complete: %s, %s, %s, %s, %s (%s raw)\n", run,
           sp_count_of(totals.shards, "shard", "shards").text,
           sp_count_of(totals.utts, "utterance", "utterances").text,
           sp_count_of(totals.hyps, "hypothesis", "hypotheses").text,
           sp_count_of(totals.tokens, "token", "tokens").text, sp_bytes(totals.zst_bytes).text,
           sp_bytes(totals.raw_bytes).text);
  }
  return status;
}

static const struct sp_opt options[] = {
    {.name = "json",
     .kind = SP_OPT_FLAG,
     .offset = offsetof(struct verify_args, json),
     .help = "print the result as one JSON object, also of a damaged run"},
};
static const struct sp_opt_group group = {"Options", options, sizeof options / sizeof *options};
static const struct sp_opt_group *const groups[] = {&group, NULL};

const struct sp_command sp_command_verify = {
    .name = "verify",
    .summary = "proves a run directory complete and unharmed",
    .example = "secondpass verify run",
    .usage = "[--json] RUN",
    .description =
        "Reads every shard and checks every checksum, every count, and that each "
        "utterance is there once.\n"
        "Exit code 0: complete and unharmed; 3: damaged, the message says where; 7: "
        "shards are still missing, the command that began the run finishes it.",
    .groups = groups,
    .values_bytes = sizeof(struct verify_args),
    .min_operands = 1,
    .max_operands = 1,
    .run = run_verify,
};
