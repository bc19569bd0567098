/* bench_io.c - `secondpass bench io`: how fast one thread feeds a device and stores its scores.
 *
 * Three stages over the same archive, each with all that the one before does: reading; reading and
 * tokenizing; reading, tokenizing, formatting and compressing score lines into published shards.
 * A stage runs --repeat times; medians are reported, in time of the processor ("a core", what other
 * processes take does not count) and by the wall clock. Scores are made up, of realistic digits. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive.h"
#include "bench_dir.h"
#include "bench_stats.h"
#include "clock.h"
#include "commands.h"
#include "output.h"
#include "score_args.h"
#include "score_line.h"
#include "shard.h"
#include "tokenizer.h"

enum { default_repeat = 5, max_repeat = 101, shard_hyps = 10000 };

enum stage { STAGE_READ, STAGE_TOKENIZE, STAGE_ALL, STAGE_COUNT };
static const char *const stage_keys[] = {"read", "read_tokenize", "all"};
static const char *const stage_labels[] = {"read", "read, tokenize", "read, tokenize, write"};

struct io_args {
  const char *model, *format;
  size_t repeat;
  uint64_t limit;
  bool json;
};

/* One pass over the archive. */
struct pass {
  const struct io_args *args;
  const struct sp_operands *archives;
  enum stage stage;
  struct sp_encoder *encoder;
  const char *run;                /* STAGE_ALL writes shards here */
  struct sp_shard_writer *writer; /* of shard `shard` */
  size_t shard, shards;
  uint64_t utts, hyps, tokens;
  uint64_t writer_hyps;
  uint64_t noise; /* state of the generator of scores */
  struct sp_buf line;
  struct sp_hyp_score *scores;
  size_t scores_capacity;
};

struct measured {
  uint64_t utts, hyps, tokens, zst_bytes;
  double cpu_seconds[STAGE_COUNT], wall_seconds[STAGE_COUNT]; /* medians */
};

static enum sp_status reserve_scores(struct pass *pass, size_t n, struct sp_error *err) {
  if (n <= pass->scores_capacity) {
    return SP_OK;
  }
  struct sp_hyp_score *grown = realloc(pass->scores, n * sizeof *grown);
  if (!grown) {
    return sp_fail_memory(err, n * sizeof *grown);
  }
  pass->scores = grown;
  pass->scores_capacity = n;
  return SP_OK;
}

/* Digits as hard to format and to compress as real ones: about -2 a token, with noise. */
static float made_up_score(struct pass *pass, size_t n_tokens) {
  pass->noise = pass->noise * 6364136223846793005u + 1442695040888963407u;
  float noise = (float)(pass->noise >> 40) * 0x1p-24f;
  return -(1.5f + noise) * (float)n_tokens;
}

static enum sp_status tokenize_utt(struct pass *pass, const struct sp_utt *utt, uint64_t *tokens,
                                   struct sp_error *err) {
  SP_TRY(reserve_scores(pass, utt->n_hyps, err));
  for (size_t i = 0; i < utt->n_hyps; i++) {
    struct sp_tokens ids;
    SP_TRY(sp_encode(pass->encoder, utt->hyps[i].text, &ids, err));
    *tokens += ids.n;
    pass->scores[i] = (struct sp_hyp_score){.rank = (uint32_t)i,
                                            .n_tokens = (uint32_t)ids.n,
                                            .score = {[SP_PLL] = made_up_score(pass, ids.n)}};
  }
  return SP_OK;
}

static enum sp_status next_shard(struct pass *pass, struct sp_error *err) {
  struct sp_shard_writer *full = pass->writer;
  pass->writer = NULL;
  pass->writer_hyps = 0;
  if (full) {
    SP_TRY(sp_shard_writer_publish(full, err));
  }
  return SP_OK;
}

static enum sp_status write_utt(struct pass *pass, const struct sp_utt *utt, uint64_t tokens,
                                struct sp_error *err) {
  sp_buf_clear(&pass->line);
  SP_TRY(sp_score_line_write(&pass->line, utt->id, pass->scores, utt->n_hyps, 1u << SP_PLL, err));
  if (!pass->writer) {
    SP_TRY(sp_shard_writer_create(pass->run, pass->shard++, pass->shards, &pass->writer, err));
  }
  SP_TRY(sp_shard_writer_append(pass->writer, (struct sp_text){pass->line.data, pass->line.len},
                                utt->id, utt->n_hyps, tokens, err));
  pass->writer_hyps += utt->n_hyps;
  return pass->writer_hyps >= shard_hyps ? next_shard(pass, err) : SP_OK;
}

static enum sp_status take_utt(struct pass *pass, const struct sp_utt *utt, struct sp_error *err) {
  uint64_t tokens = 0;
  if (pass->stage >= STAGE_TOKENIZE) {
    SP_TRY(tokenize_utt(pass, utt, &tokens, err));
  }
  if (pass->stage == STAGE_ALL) {
    SP_TRY(write_utt(pass, utt, tokens, err));
  }
  pass->utts++;
  pass->hyps += utt->n_hyps;
  pass->tokens += tokens;
  return SP_OK;
}

static enum sp_status read_all(struct pass *pass, struct sp_error *err) {
  enum sp_archive_format format = SP_FORMAT_AUTO;
  if (pass->args->format) {
    SP_TRY(sp_archive_format_parse(pass->args->format, &format, err));
  }
  struct sp_archive *archive;
  SP_TRY(sp_archive_open(pass->archives->items, pass->archives->n, format, &archive, err));
  enum sp_status status = SP_OK;
  bool found = true;
  while (status == SP_OK && found && (!pass->args->limit || pass->utts < pass->args->limit)) {
    struct sp_utt utt;
    status = sp_archive_next(archive, &utt, &found, err);
    if (status == SP_OK && found) {
      status = take_utt(pass, &utt, err);
    }
  }
  sp_archive_close(archive);
  return status == SP_OK ? next_shard(pass, err) : status;
}

static void release_pass(struct pass *pass) {
  sp_shard_writer_abandon(pass->writer);
  sp_buf_release(&pass->line);
  free(pass->scores);
}

static enum sp_status time_pass(struct pass *pass, double *cpu, double *wall,
                                struct sp_error *err) {
  double wall_start = sp_clock_seconds(), cpu_start = sp_clock_cpu_seconds();
  enum sp_status status = read_all(pass, err);
  *cpu = sp_clock_cpu_seconds() - cpu_start;
  *wall = sp_clock_seconds() - wall_start;
  release_pass(pass);
  return status;
}

static enum sp_status run_pass(const struct pass *template, double *cpu, double *wall,
                               struct measured *out, struct sp_error *err) {
  struct pass pass = *template;
  struct sp_bench_dir directory;
  SP_TRY(sp_bench_dir_create(&directory, err));
  pass.run = directory.path;
  enum sp_status status = time_pass(&pass, cpu, wall, err);
  uint64_t bytes = sp_bench_dir_remove(&directory, ".jsonl.zst");
  out->utts = pass.utts;
  out->hyps = pass.hyps;
  out->tokens = pass.stage >= STAGE_TOKENIZE ? pass.tokens : out->tokens;
  out->zst_bytes = pass.stage == STAGE_ALL ? bytes : out->zst_bytes;
  return status;
}

static enum sp_status measure(struct pass *pass, size_t repeat, struct measured *out,
                              struct sp_error *err) {
  double cpu[max_repeat], wall[max_repeat];
  for (int stage = 0; stage < STAGE_COUNT; stage++) {
    pass->stage = (enum stage)stage;
    for (size_t i = 0; i < repeat; i++) {
      SP_TRY(run_pass(pass, &cpu[i], &wall[i], out, err));
      /* enough names for every shard: each but the last has shard_hyps hypotheses or more */
      pass->shards = (size_t)(out->hyps / shard_hyps) + 1;
    }
    out->cpu_seconds[stage] = sp_median(cpu, repeat);
    out->wall_seconds[stage] = sp_median(wall, repeat);
  }
  return SP_OK;
}

static void print_table(const struct measured *measured) {
  printf("%-26s %16s %16s\n", "one thread", "hyps/s a core", "hyps/s by clock");
  for (int stage = 0; stage < STAGE_COUNT; stage++) {
    printf("%-26s %16.0f %16.0f\n", stage_labels[stage],
           (double)measured->hyps / measured->cpu_seconds[stage],
           (double)measured->hyps / measured->wall_seconds[stage]);
  }
  printf("%s hypotheses of %s utterances, %s tokens, %s written\n", sp_number(measured->hyps).text,
         sp_number(measured->utts).text, sp_number(measured->tokens).text,
         sp_bytes(measured->zst_bytes).text);
}

static json_t *measured_json(const struct measured *measured, size_t repeat) {
  json_t *object = sp_json_begin("bench io", SP_OK, NULL);
  json_object_set_new(object, "repeat", json_integer((json_int_t)repeat));
  json_object_set_new(object, "utts", json_integer((json_int_t)measured->utts));
  json_object_set_new(object, "hyps", json_integer((json_int_t)measured->hyps));
  json_object_set_new(object, "tokens", json_integer((json_int_t)measured->tokens));
  json_object_set_new(object, "zst_bytes", json_integer((json_int_t)measured->zst_bytes));
  for (int stage = 0; stage < STAGE_COUNT; stage++) {
    double cpu = measured->cpu_seconds[stage], wall = measured->wall_seconds[stage];
    json_t *entry = json_object();
    json_object_set_new(entry, "cpu_seconds", sp_json_real(cpu));
    json_object_set_new(entry, "wall_seconds", sp_json_real(wall));
    json_object_set_new(entry, "hyps_per_core_second", sp_json_real((double)measured->hyps / cpu));
    json_object_set_new(entry, "hyps_per_second", sp_json_real((double)measured->hyps / wall));
    json_object_set_new(object, stage_keys[stage], entry);
  }
  return object;
}

static enum sp_status run_stages(struct pass *pass, struct sp_error *err) {
  struct measured measured = {0};
  size_t repeat = pass->args->repeat ? pass->args->repeat : default_repeat;
  SP_TRY(measure(pass, repeat, &measured, err));
  if (measured.hyps == 0) {
    return sp_fail(err, SP_EINPUT, "%s: no hypotheses to measure with", pass->archives->items[0]);
  }
  if (pass->args->json) {
    return sp_json_print(measured_json(&measured, repeat), stdout, err);
  }
  print_table(&measured);
  return SP_OK;
}

static enum sp_status check_args(const struct io_args *args, const struct sp_operands *operands,
                                 struct sp_error *err) {
  if (!args->model) {
    return sp_fail(err, SP_EUSAGE, "--model DIR is missing; usage: secondpass bench io %s",
                   sp_command_bench_io.usage);
  }
  for (size_t i = 0; i < operands->n; i++) {
    if (strcmp(operands->items[i], "-") == 0) {
      return sp_fail(err, SP_EUSAGE, "standard input cannot be read several times; give files");
    }
  }
  return SP_OK;
}

static enum sp_status bench_io(const struct io_args *args, const struct sp_operands *operands,
                               struct sp_error *err) {
  SP_TRY(check_args(args, operands, err));
  struct sp_tokenizer *tokenizer;
  SP_TRY(sp_tokenizer_open(args->model, &tokenizer, err));
  struct pass pass = {.args = args, .archives = operands};
  enum sp_status status = sp_encoder_create(tokenizer, false, &pass.encoder, err);
  if (status == SP_OK) {
    status = run_stages(&pass, err);
    sp_encoder_destroy(pass.encoder);
  }
  sp_tokenizer_close(tokenizer);
  return status;
}

static enum sp_status run_bench_io(const void *values, const struct sp_operands *operands,
                                   struct sp_error *err) {
  const struct io_args *args = values;
  return sp_json_failure(args->json, "bench io", bench_io(args, operands, err), err);
}

static const struct sp_opt options[] = {
    {.name = "model",
     .kind = SP_OPT_TEXT,
     .offset = offsetof(struct io_args, model),
     .argument = "DIR",
     .help = "model directory, for its tokenizer"},
    {.name = "format",
     .kind = SP_OPT_CHOICE,
     .offset = offsetof(struct io_args, format),
     .argument = "NAME",
     .choices = sp_format_choices,
     .help = "format of the archives, as for score",
     .fallback = "auto"},
    {.name = "repeat",
     .kind = SP_OPT_SIZE,
     .offset = offsetof(struct io_args, repeat),
     .argument = "N",
     .min = 1,
     .max = max_repeat,
     .help = "runs of a stage, median reported",
     .fallback = "5"},
    SP_LIMIT_OPTION(offsetof(struct io_args, limit), "the first N utterances only"),
    {.name = "json",
     .kind = SP_OPT_FLAG,
     .offset = offsetof(struct io_args, json),
     .help = "print one JSON object"},
};
static const struct sp_opt_group group = {"Options", options, sizeof options / sizeof *options};
static const struct sp_opt_group *const groups[] = {&group, NULL};

const struct sp_command sp_command_bench_io = {
    .name = "bench io",
    .summary = "reading, tokenizing and writing without a model's work",
    .example = "secondpass bench io --model bert-base-uncased dev.jsonl.zst",
    .usage = "--model DIR [OPTIONS] ARCHIVE...",
    .description =
        "Measures on one thread how many hypotheses a second are read; read and "
        "tokenized; read, tokenized and written as score shards (into a temporary "
        "directory under $TMPDIR).",
    .groups = groups,
    .values_bytes = sizeof(struct io_args),
    .min_operands = 1,
    .max_operands = SIZE_MAX,
    .run = run_bench_io,
};
