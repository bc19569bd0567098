#include "score_args.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "output.h"
#include "progress.h"
#include "score_line.h"
#include "tsv_columns.h"

#define FIELD(member) offsetof(struct sp_score_args, member)
#define COST_CEILING 1000000000000 /* SP_COST_CEILING of the engine */

const char sp_method_choices[] =
#define X(name, key, token_key) key ","
    SP_METHOD_MAP(X)
#undef X
    ;

static const struct sp_opt what[] = {
    {.name = "model",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(options.model),
     .argument = "DIR",
     .help = "Hugging Face model directory, read offline"},
    {.name = "method",
     .kind = SP_OPT_LIST,
     .offset = FIELD(options.methods),
     .argument = "NAME[,..]",
     .choices = sp_method_choices,
     .fallback = "pll",
     .help = "what is computed of each hypothesis"},
    SP_FORMAT_OPTION(FIELD(options.format)),
    {.name = "tsv",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(options.tsv),
     .argument = "COLUMNS",
     .fallback = SP_TSV_DEFAULT,
     .help = "columns of tsv archives, from 1"},
    SP_BEAM_SIZE_OPTION(FIELD(options.beam_size)),
    SP_LIMIT_OPTION(FIELD(options.limit), "the first N utterances only"),
    {.name = "case",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(options.letter_case),
     .argument = "HOW",
     .choices = "auto,keep,lower",
     .fallback = "auto",
     .help = "lower the text before the model's tokenizer sees it; auto does so for a cased model "
             "on an archive that is all upper case"},
    {.name = "on-long",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(options.on_long),
     .argument = "HOW",
     .choices = "null,error,truncate",
     .fallback = "null",
     .help = "hypotheses longer than the model allows"},
    {.name = "eos",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(options.eos),
     .argument = "TEXT",
     .help = "text appended to every hypothesis, such as \".\"",
     .fallback = "none"},
    {.name = "mask",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(options.mask),
     .argument = "MASK",
     .choices = "model,full,causal,dynamic",
     .fallback = "model, what its config says",
     .help =
         "how far attention looks ahead: layerwise:R[,R..], R positions in every layer or one R "
         "a layer; chunked:C, to the end of a chunk of C positions; or one of"},
    {.name = "force-mask",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(options.force_mask),
     .help = "use a --mask that the model was not trained with"},
    {.name = "cls-sign",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(options.cls_sign),
     .argument = "SIGN",
     .choices = "auto,logprob,cost",
     .fallback = "auto, the config decides",
     .help = "what a cls head was trained as; a cost is negated, so that higher is better"},
};
const struct sp_opt_group sp_score_what = {"What is scored", what, sizeof what / sizeof *what};

static const struct sp_opt work[] = {
    {.name = "device",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(options.device),
     .argument = "NAME",
     .fallback = "cpu",
     .help = "where it is computed: cpu; cuda, every GPU; cuda:0,2, some; auto, the GPUs if there "
             "are any, else cpu. `secondpass env` lists the devices"},
    SP_DTYPE_OPTION(FIELD(options.dtype), "type of the matrix products"),
    {.name = "threads",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(options.threads),
     .argument = "N",
     .min = 1,
     .max = 1024,
     .fallback = "one a processor this process may use",
     .help = "threads that compute; beside GPUs those that read, prepare and write"},
    {.name = "batch-tokens",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(options.batch_tokens),
     .argument = "N",
     .min = 1,
     .max = (uint64_t)1 << 24,
     .fallback = "chosen from the model and the device",
     .help = "tokens of a batch; never changes a score"},
    {.name = "shard-utts",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(options.shard_utts),
     .argument = "N",
     .min = 1,
     .max = UINT32_MAX,
     .fallback = "about 100,000 tokens a shard, in archives of over 6.5 billion up to 1.6 million",
     .help = "utterances of a shard, the unit that a resumed run keeps"},
    {.name = "without",
     .kind = SP_OPT_LIST,
     .offset = FIELD(options.without),
     .argument = "NAME[,..]",
     .choices = "head,trim,pack,dedupe,nodes",
     .help = "savings to switch off for measurement; never changes a score"},
};
const struct sp_opt_group sp_score_work = {"How it is computed", work, sizeof work / sizeof *work};

static const struct sp_opt output[] = {
    {.name = "out",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(options.out),
     .argument = "RUN|-",
     .help = "run directory, made or resumed; - streams score lines to standard output"},
    {.name = "per-token",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(options.per_token),
     .help = "write tokens and their log-probabilities"},
    {.name = "with-text",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(options.with_text),
     .help = "write the text of each hypothesis, for distillation data"},
    {.name = "latency",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(options.latency),
     .help =
         "measure how long outputs wait under the mask, in tokens: the input that they depend on "
         "and, from the costs below, the work; in score lines and in the summary"},
    {.name = "capacity",
     .kind = SP_OPT_REAL,
     .offset = FIELD(options.capacity),
     .argument = "COST",
     .max = COST_CEILING,
     .fallback = "layers times --node-cost, so that a causal model keeps up",
     .help = "latency: work that is done in a token period"},
    {.name = "node-cost",
     .kind = SP_OPT_REAL,
     .offset = FIELD(options.node_cost),
     .argument = "COST",
     .max = COST_CEILING,
     .fallback = "1",
     .help = "latency: projections and feed-forward of one position of one layer"},
    {.name = "key-cost",
     .kind = SP_OPT_REAL,
     .offset = FIELD(options.key_cost),
     .argument = "COST",
     .max = COST_CEILING,
     .zero = true,
     .fallback = "0",
     .help = "latency: each position that attention sees from there"},
    {.name = "scheduler-cost",
     .kind = SP_OPT_REAL,
     .offset = FIELD(options.scheduler_cost),
     .argument = "COST",
     .max = COST_CEILING,
     .zero = true,
     .fallback = "0",
     .help = "latency: a dynamic model's scheduler at one position of one layer"},
    {.name = "allow-mixed",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(options.allow_mixed),
     .help = "resume a run that was begun on another type of device"},
    SP_PROGRESS_OPTION(FIELD(progress)),
    {.name = "json",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(json),
     .help = "print the summary as one JSON object on standard output (on standard error with "
             "--out -)"},
};
const struct sp_opt_group sp_score_output = {"Output", output, sizeof output / sizeof *output};

static const struct sp_opt plan_output[] = {
    {.name = "list",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(list),
     .help = "name every hypothesis that is empty, too long or a duplicate: a line of what, id and "
             "rank, parted by tabs, after the table"},
    {.name = "describe",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(describe.path),
     .argument = "FILE",
     .help = "plan the archive that this JSON file describes, and read none: also its storage, and the "
             "memory and time of the worker that validates it"},
    {.name = "devices",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(describe.devices),
     .argument = "N",
     .min = 1,
     .max = 1000000,
     .fallback = "those of --device",
     .help = "with --describe: how many devices are to score"},
    {.name = "device-flops",
     .kind = SP_OPT_REAL,
     .offset = FIELD(describe.device_flops),
     .argument = "F",
     .max = (uint64_t)1 << 60,
     .fallback = "measured here, on --device",
     .help = "with --describe: FLOP/s that one device comes to; no device is opened then"},
};
const struct sp_opt_group sp_plan_output = {"Plan", plan_output,
                                            sizeof plan_output / sizeof *plan_output};

#define COUNT(member, label) \
  { #member, label, offsetof(struct sp_counts, member) }
const struct sp_count_name sp_count_names[] = {
    COUNT(utts, "utterances"),
    COUNT(hyps, "hypotheses"),
    COUNT(duplicate_hyps, "equal hypotheses"),
    COUNT(tokens, "tokens"),
    COUNT(copies, "masked copies"),
    COUNT(sequences, "sequences computed"),
    COUNT(sequence_tokens, "tokens computed"),
    COUNT(scored_rows, "rows computed by a head"),
    COUNT(nodes, "nodes computed"),
    COUNT(plain_nodes, "nodes without sharing"),
    COUNT(empty_lists, "empty lists"),
    COUNT(empty, "empty hypotheses"),
    COUNT(too_long, "too long"),
    COUNT(truncated, "truncated"),
    COUNT(no_vocab, "outside the vocabulary"),
    COUNT(not_finite, "not finite"),
    COUNT(unknown_tokens, "unknown tokens"),
    COUNT(special_in_text, "special tokens in text"),
    COUNT(without_ref, "without a reference"),
    COUNT(without_score, "without a first-pass score"),
};
#undef COUNT
const size_t sp_n_count_names = sizeof sp_count_names / sizeof *sp_count_names;

uint64_t sp_count_get(const struct sp_counts *counts, const struct sp_count_name *name) {
  return *(const uint64_t *)((const char *)counts + name->offset);
}

json_t *sp_counts_json(const struct sp_counts *counts) {
  json_t *object = json_object();
  for (size_t i = 0; i < sp_n_count_names; i++) {
    json_object_set_new(object, sp_count_names[i].key,
                        json_integer((json_int_t)sp_count_get(counts, &sp_count_names[i])));
  }
  json_object_set_new(object, "flops", sp_json_real(counts->flops));
  return object;
}

static void say_count(uint64_t count, const char *one, const char *many, const char *fact) {
  if (count > 0) {
    sp_say("%s %s", sp_count_of(count, one, many).text, fact);
  }
}

static void say_hyps(uint64_t count, const char *fact) {
  say_count(count, "hypothesis", "hypotheses", fact);
}

void sp_counts_say(const struct sp_counts *counts) {
  say_count(counts->empty_lists, "utterance", "utterances", "without hypotheses");
  say_hyps(counts->empty, "without a token: score null");
  say_hyps(counts->too_long, "longer than the model allows: score null");
  say_hyps(counts->truncated, "scored up to the model's limit");
  say_hyps(counts->no_vocab, "outside the vocabulary: score null");
  say_hyps(counts->not_finite, "with NaN or infinity from the model: score null");
  say_count(counts->special_in_text, "special token", "special tokens", "in the text itself");
}

/* A handler can only reach file scope. */
static volatile sig_atomic_t stop_requested, stop_last = 1;
static volatile time_t stop_time;

/* timeout(1) and shells signal the process and then its group: two signals at once are one wish. */
static void on_stop(int number) {
  enum { patience = 2 };
  struct timespec now = {0};
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (stop_requested && now.tv_sec - stop_time < patience) {
    return;
  }
  if (stop_requested < stop_last) {
    stop_time = now.tv_sec;
    stop_requested = stop_requested + 1;
  } else {
    signal(number, SIG_DFL);
    raise(number);
  }
}

const volatile int *sp_stop_on_signals(void) {
  struct sigaction action = {.sa_handler = on_stop}; /* no SA_RESTART: a read of a pipe ends */
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGUSR1, &action, NULL);
  return &stop_requested;
}

void sp_stop_has_grace(void) {
  stop_last = 2;
}
