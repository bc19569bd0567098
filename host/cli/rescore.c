/* rescore.c - `secondpass rescore`: combines first-pass and second-pass scores and reranks. */
#include <string.h>

#include "archive_writer.h"
#include "checked.h"
#include "commands.h"
#include "join_args.h"
#include "output.h"
#include "rerank.h"
#include "signature.h"
#include "weights_args.h"

struct rescore_args {
  struct sp_join_args join;
  const char *weight, *weights;
  const char *to, *out;
  size_t nbest;
};

struct rescore {
  const struct rescore_args *args;
  struct sp_combination combination;
  struct sp_join *join;
  struct sp_reranker *reranker;
  struct sp_archive_writer *writer;
  struct sp_buf signature;
};

/* `path` is NULL without a file of weights. */
static void compare_origins(const struct sp_weights_file *file, const struct sp_scores *scores,
                            const char *path) {
  for (size_t k = 0; path && k < file->combination.second.n; k++) {
    const char *name = file->combination.second.items[k].name;
    const struct sp_score_column *column = sp_scores_find(scores, name);
    if (column) {
      char mask[SP_SIGNATURE_MASK];
      sp_signature_mask(column->signature, mask);
      struct sp_weights_origin origin = {column->path, column->model_hash, mask};
      sp_weights_args_say(file, k, &origin, path);
    }
  }
}

static enum sp_status open_rescore(struct rescore *rescore, const struct sp_operands *operands,
                                   struct sp_error *err) {
  struct sp_weights_file file = {0};
  enum sp_archive_format to;
  const struct rescore_args *args = rescore->args;
  if (!args->out) {
    return sp_fail(err, SP_EUSAGE, "--out FILE is missing; - is standard output");
  }
  SP_TRY(sp_archive_output_parse(args->to ? args->to : "jsonl", &to, err));
  SP_TRY(sp_weights_args_read(&args->join, args->weight, args->weights, &file, err));
  rescore->combination = file.combination;
  SP_TRY(sp_join_args_open(&args->join, operands, "rescore", &rescore->join, err));
  struct sp_scores *scores = sp_join_scores(rescore->join);
  SP_TRY(sp_scores_select(scores, &rescore->combination.second, err));
  compare_origins(&file, scores, args->weights);
  SP_TRY(sp_rescore_signature(&rescore->combination, scores, &rescore->signature, err));
  SP_TRY(sp_reranker_create(&rescore->combination, &rescore->reranker, err));
  return sp_archive_writer_open(args->out, to, &rescore->writer, err);
}

static enum sp_status rerank_all(struct rescore *rescore, struct sp_error *err) {
  for (;;) {
    struct sp_utt utt, reranked;
    const struct sp_second *second;
    bool found;
    SP_TRY(sp_join_next(rescore->join, &utt, &second, &found, err));
    if (!found) {
      break;
    }
    SP_TRY(sp_rerank(rescore->reranker, &utt, second, &reranked, err));
    if (rescore->args->nbest) {
      reranked.n_hyps = sp_min_size(reranked.n_hyps, rescore->args->nbest);
    }
    SP_TRY(sp_archive_writer_put(rescore->writer, &reranked, err));
  }
  struct sp_join_counts counts = sp_join_get_counts(rescore->join);
  if (rescore->combination.first.n > 0 && counts.hyps > 0 && counts.without_score == counts.hyps &&
      sp_named_weight_find(&rescore->combination.first, "score")) {
    return sp_fail(err, SP_EINPUT,
                   "the archive has no first-pass scores; --first none ranks by the second pass "
                   "alone");
  }
  struct sp_archive_writer *writer = rescore->writer;
  rescore->writer = NULL;
  return sp_archive_writer_close(writer, err);
}

static json_t *summary_json(const struct rescore *rescore, enum sp_status status,
                            const struct sp_error *err) {
  json_t *object = sp_json_begin("rescore", status, err);
  struct sp_reranker_counts counts = {0};
  if (rescore->reranker) {
    counts = sp_reranker_get_counts(rescore->reranker);
  }
  json_object_set_new(object, "out", sp_json_text(rescore->args->out ? rescore->args->out : ""));
  json_object_set_new(object, "utts", json_integer((json_int_t)counts.utts));
  json_object_set_new(object, "hyps", json_integer((json_int_t)counts.hyps));
  json_object_set_new(object, "nulls", json_integer((json_int_t)counts.nulls));
  json_object_set_new(object, "changed_best", json_integer((json_int_t)counts.changed));
  const char *signature = rescore->signature.len ? rescore->signature.data : "";
  json_object_set_new(object, "signature", sp_json_text(signature));
  if (rescore->join) {
    json_object_set_new(object, "scores",
                        sp_join_scores_json(rescore->join, &rescore->combination));
  }
  return object;
}

/* Data has standard output to itself. */
static FILE *summary_stream(const struct rescore_args *args) {
  return args->out && strcmp(args->out, "-") == 0 ? stderr : stdout;
}

static void print_summary(const struct rescore *rescore) {
  struct sp_reranker_counts counts = sp_reranker_get_counts(rescore->reranker);
  FILE *to = summary_stream(rescore->args);
  fprintf(to, "%s, %s; another best hypothesis in %s; %s without a total\n%s\n",
          sp_count_of(counts.utts, "utterance", "utterances").text,
          sp_count_of(counts.hyps, "hypothesis", "hypotheses").text, sp_number(counts.changed).text,
          sp_number(counts.nulls).text, rescore->signature.data);
}

static enum sp_status report(const struct rescore *rescore, enum sp_status status,
                             struct sp_error *err) {
  if (status == SP_OK) {
    sp_join_say(rescore->join, &rescore->combination);
  }
  if (rescore->args->join.json) {
    struct sp_error lost;
    enum sp_status printed =
        sp_json_print(summary_json(rescore, status, err), summary_stream(rescore->args),
                      status == SP_OK ? err : &lost);
    return status == SP_OK ? printed : status;
  }
  if (status == SP_OK) {
    print_summary(rescore);
  }
  return status;
}

static enum sp_status run_rescore(const void *values, const struct sp_operands *operands,
                                  struct sp_error *err) {
  struct rescore rescore = {.args = values};
  enum sp_status status = open_rescore(&rescore, operands, err);
  if (status == SP_OK) {
    status = rerank_all(&rescore, err);
  }
  sp_archive_writer_discard(rescore.writer);
  status = report(&rescore, status, err);
  sp_reranker_destroy(rescore.reranker);
  sp_join_close(rescore.join);
  sp_buf_release(&rescore.signature);
  return status;
}

static const struct sp_opt options[] = {
    {.name = "weight",
     .kind = SP_OPT_TEXT,
     .offset = offsetof(struct rescore_args, weight),
     .argument = "NAME=W[,..]",
     .help = "second-pass scores to use, and their weights"},
    {.name = "weights",
     .kind = SP_OPT_TEXT,
     .offset = offsetof(struct rescore_args, weights),
     .argument = "FILE",
     .help = "the combination that `secondpass tune` found, in place of the options above"},
};
static const struct sp_opt output[] = {
    {.name = "out",
     .kind = SP_OPT_TEXT,
     .offset = offsetof(struct rescore_args, out),
     .argument = "FILE|-",
     .help = "where the result goes; compressed when the name ends in .zst"},
    {.name = "to",
     .kind = SP_OPT_CHOICE,
     .offset = offsetof(struct rescore_args, to),
     .argument = "FORMAT",
     .choices = sp_archive_outputs,
     .help = "whole lists, best first; trn, kaldi-text, text: the best hypothesis",
     .fallback = "jsonl"},
    {.name = "nbest",
     .kind = SP_OPT_SIZE,
     .offset = offsetof(struct rescore_args, nbest),
     .argument = "N",
     .min = 1,
     .max = SIZE_MAX,
     .help = "the N best of each list only",
     .fallback = "all"},
    {.name = "json",
     .kind = SP_OPT_FLAG,
     .offset = offsetof(struct rescore_args, join.json),
     .help = "print the summary as one JSON object"},
};
static const struct sp_opt_group weights_group = {"Weights", options,
                                                  sizeof options / sizeof *options};
static const struct sp_opt_group output_group = {"Output", output, sizeof output / sizeof *output};
static const struct sp_opt_group *const groups[] = {&sp_archive_input, &sp_join_scores_group,
                                                    &sp_join_combine,  &weights_group,
                                                    &output_group,     NULL};

const struct sp_command sp_command_rescore = {
    .name = "rescore",
    .summary = "combines first-pass and second-pass scores and reranks",
    .example =
        "secondpass rescore dev.jsonl.zst --scores run --weight pll=0.35 --out best.jsonl.zst\n"
        "secondpass rescore test.jsonl.zst --scores run --weights weights.json --to trn --out -",
    .usage = "--scores RUN[,..] --weight NAME=W[,..] --out FILE [OPTIONS] ARCHIVE...",
    .description =
        "Ranks the hypotheses of each list by total = first + sum w second + bonus * words, higher "
        "is better, and writes the lists in that order, each hypothesis with its original rank "
        "(i) and total. Equal totals keep the original order. A hypothesis that lacks a score in "
        "use ranks after all others.\n"
        "Archive and scores are read in step and must belong together. The output appears under "
        "its name when it is complete.",
    .groups = groups,
    .values_bytes = sizeof(struct rescore_args),
    .min_operands = 1,
    .max_operands = SIZE_MAX,
    .run = run_rescore,
};
