/* merge.c - `secondpass merge`: joins runs of disjoint archives. */
#include "commands.h"
#include "output.h"
#include "run_merge.h"

struct merge_args {
  const char *out;
  bool json;
};

static void say_verified(void *context, size_t run, const struct sp_run_totals *totals) {
  const struct sp_operands *runs = context;
  sp_say("%s is whole: %s, %s", runs->items[run],
         sp_count_of(totals->shards, "shard", "shards").text,
         sp_count_of(totals->utts, "utterance", "utterances").text);
}

static json_t *summary_json(const char *out, size_t runs, const struct sp_merge_summary *summary) {
  json_t *object = sp_json_begin("merge", SP_OK, NULL);
  json_object_set_new(object, "run", sp_json_text(out));
  sp_json_set_count(object, "runs", runs);
  sp_json_set_count(object, "shards", summary->totals.shards);
  sp_json_set_count(object, "utts", summary->totals.utts);
  sp_json_set_count(object, "hyps", summary->totals.hyps);
  sp_json_set_count(object, "tokens", summary->totals.tokens);
  sp_json_set_count(object, "raw_bytes", summary->totals.raw_bytes);
  sp_json_set_count(object, "zst_bytes", summary->totals.zst_bytes);
  sp_json_set_count(object, "shards_linked", summary->linked);
  sp_json_set_count(object, "shards_copied", summary->copied);
  sp_json_set_count(object, "shards_found", summary->found);
  json_object_set_new(object, "plan", json_boolean(summary->has_plan));
  return object;
}

static enum sp_status merge(const struct merge_args *args, const struct sp_operands *operands,
                            struct sp_error *err) {
  if (!args->out) {
    return sp_fail(err, SP_EUSAGE, "--out RUN is missing; usage: secondpass merge %s",
                   sp_command_merge.usage);
  }
  struct sp_merge_rules rules = {.runs = operands->items,
                                 .n_runs = operands->n,
                                 .out = args->out,
                                 .verified = args->json ? NULL : say_verified,
                                 .context = (void *)(uintptr_t)operands};
  struct sp_merge_summary summary;
  SP_TRY(sp_run_merge(&rules, &summary, err));
  if (args->json) {
    return sp_json_print(summary_json(args->out, operands->n, &summary), stdout, err);
  }
  printf("%s is complete: %s, %s, %s (%s linked, %s copied, %s found)\n", args->out,
         sp_count_of(summary.totals.shards, "shard", "shards").text,
         sp_count_of(summary.totals.utts, "utterance", "utterances").text,
         sp_count_of(summary.totals.hyps, "hypothesis", "hypotheses").text,
         sp_number(summary.linked).text, sp_number(summary.copied).text,
         sp_number(summary.found).text);
  return SP_OK;
}

static enum sp_status run_merge(const void *values, const struct sp_operands *operands,
                                struct sp_error *err) {
  const struct merge_args *args = values;
  return sp_json_failure(args->json, "merge", merge(args, operands, err), err);
}

static const struct sp_opt options[] = {
    {.name = "out",
     .kind = SP_OPT_TEXT,
     .offset = offsetof(struct merge_args, out),
     .argument = "RUN",
     .help = "where the joined run goes: a new directory, or one that an interrupted merge of the "
             "same runs left"},
    {.name = "json",
     .kind = SP_OPT_FLAG,
     .offset = offsetof(struct merge_args, json),
     .help = "print the result as one JSON object"},
};
static const struct sp_opt_group group = {"Options", options, sizeof options / sizeof *options};
static const struct sp_opt_group *const groups[] = {&group, NULL};

const struct sp_command sp_command_merge = {
    .name = "merge",
    .summary = "joins complete runs of disjoint archives",
    .example = "secondpass merge monday tuesday wednesday --out week",
    .usage = "--out RUN [--json] RUN RUN...",
    .description =
        "The runs must have been scored alike (model, method, dtype, mask: everything that decides "
        "scores) and have no utterance in common. Each is verified first. The joined run has their "
        "shards in the order of the command line, as hard links where the file system has them, "
        "else "
        "as copies, and is a run as any other for every command but score, which cannot go on with "
        "it.\n"
        "An interrupted merge is finished by the same command.\n"
        "Exit code 2: the runs were not scored alike, the message names what differs; 3: a run is "
        "damaged, or an utterance occurs in two; 7: a run is not complete.",
    .groups = groups,
    .values_bytes = sizeof(struct merge_args),
    .min_operands = 2,
    .max_operands = SIZE_MAX,
    .run = run_merge,
};
