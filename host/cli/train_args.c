#include "train_args.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"
#include "score_args.h"

#define FIELD(member) offsetof(struct sp_train_args, member)
#define UNSET UINT64_MAX

static const struct sp_opt what[] = {
    {.name = "objective",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(objective),
     .argument = "NAME",
     .choices = "mlm,distill,mwer,mwed",
     .help = "mlm, masked tokens of a text; distill, a cls head learns a teacher's scores; mwer "
             "and mwed, word errors of N-best lists"},
    {.name = "model",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(model),
     .argument = "DIR",
     .help = "model directory to begin from"},
    {.name = "config",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(config),
     .argument = "FILE",
     .help = "config.json of a model to make from scratch; with --vocab"},
    {.name = "vocab",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(vocab),
     .argument = "DIR",
     .fallback = "the model's own",
     .help = "directory with the tokenizer"},
    {.name = "init-layers",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(init_layers),
     .argument = "LIST",
     .fallback = "all",
     .help = "layers of --model that are taken, from 0, such as 0,3"},
    {.name = "lookahead",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(lookahead),
     .argument = "RULE",
     .fallback = "the model's own",
     .help =
         "how far attention looks ahead, in the place of the model's own rule: full, causal, "
         "layerwise:R[,R..], chunked:C, or dynamic:R[,R..], which makes schedulers that learn it"},
    {.name = "lookahead-cells",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(cells),
     .argument = "KIND",
     .choices = "independent,span",
     .fallback = "the model's own, else independent",
     .help = "what a scheduler decides: each position apart, or how far a span reaches"},
    {.name = "cls",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(cls),
     .argument = "ROW",
     .choices = "first,last",
     .fallback = "the model's own, else first",
     .help = "the position that a cls head scores: under a bounded lookahead only the last one has "
             "seen "
             "the text"},
    {.name = "device",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(device),
     .argument = "NAME",
     .fallback = "cpu",
     .help = "where it is computed, as `score` takes it"},
    {.name = "dtype",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(dtype),
     .argument = "TYPE",
     .choices = "auto,f32,bf16",
     .fallback = "auto, bf16 where the hardware multiplies it",
     .help = "type of the matrix products; weights are kept in f32"},
    {.name = "threads",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(threads),
     .argument = "N",
     .min = 1,
     .max = 1024,
     .fallback = "one a processor this process may use",
     .help = "threads that compute on the CPU; never changes a result"},
};
const struct sp_opt_group sp_train_what = {"What is trained", what, sizeof what / sizeof *what};

static const struct sp_opt data[] = {
    {.name = "data",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(data),
     .argument = "FILE[,..]",
     .help = "text (mlm), archives, or text that the teacher scored; more may follow as arguments"},
    {.name = "holdout",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(holdout),
     .argument = "FILE[,..]",
     .help = "what the model is judged on, never trained on"},
    {.name = "holdout-every",
     .kind = SP_OPT_U64,
     .offset = FIELD(holdout_every),
     .argument = "N",
     .min = 2,
     .max = UINT64_MAX,
     .fallback = "none",
     .help = "hold every N-th sentence or utterance of the data out"},
    {.name = "teacher",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(teacher),
     .argument = "RUN[,..]",
     .help = "runs of `score` over the very files of --data: what distill learns, and the "
             "auxiliary term of mwer and mwed"},
    {.name = "holdout-teacher",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(holdout_teacher),
     .argument = "RUN[,..]",
     .help = "the same for --holdout"},
    {.name = "teacher-method",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(teacher_method),
     .argument = "NAME",
     .choices = sp_method_choices,
     .fallback = "the only one",
     .help = "which of the runs' scores"},
    {.name = "format",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(format),
     .argument = "NAME",
     .choices = sp_format_choices,
     .fallback = "auto, told from the content",
     .help = "format of the archives"},
    {.name = "only-ids",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(only_ids),
     .argument = "FILE",
     .fallback = "all",
     .help = "utterances that are read, an id a line"},
    {.name = "max-hyps",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(max_hyps),
     .argument = "N",
     .min = 2,
     .max = 1000000,
     .fallback = "all",
     .help = "hypotheses of a list, the first ones"},
    {.name = "max-tokens",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(max_tokens),
     .argument = "N",
     .min = 3,
     .max = 1 << 20,
     .fallback = "the model's",
     .help = "positions of a sequence, [CLS] and [SEP] included"},
    {.name = "error-rates",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(error_rates),
     .help = "errors of a hypothesis divided by the reference's words, in the place of counts"},
    {.name = "join-share",
     .kind = SP_OPT_REAL,
     .zero = true,
     .unset = true,
     .offset = FIELD(join_share),
     .argument = "SHARE",
     .max = 1,
     .fallback = "0.5",
     .help = "mlm: samples to which following sentences are joined, up to a length drawn anew"},
    {.name = "mask-rate",
     .kind = SP_OPT_REAL,
     .unset = true,
     .offset = FIELD(mask_rate),
     .argument = "SHARE",
     .max = 1,
     .fallback = "0.15",
     .help = "mlm: tokens that are to be told"},
    {.name = "mask-split",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(mask_split),
     .argument = "A,B,C",
     .fallback = "80,10,10",
     .help = "mlm: of these, percent shown as [MASK], as a random token, as they are"},
};
const struct sp_opt_group sp_train_data = {"What it learns from", data, sizeof data / sizeof *data};

static const struct sp_opt update[] = {
    {.name = "steps",
     .kind = SP_OPT_U64,
     .offset = FIELD(steps),
     .argument = "N",
     .min = 1,
     .max = INT64_MAX,
     .fallback = "from --epochs",
     .help = "updates"},
    {.name = "epochs",
     .kind = SP_OPT_REAL,
     .unset = true,
     .offset = FIELD(epochs),
     .argument = "N",
     .max = 1000000,
     .fallback = "1",
     .help = "rounds over the data, as tokens"},
    {.name = "step-tokens",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(step_tokens),
     .argument = "N",
     .min = 1,
     .max = (uint64_t)1 << 32,
     .fallback = "4096",
     .help = "tokens of an update, over all batches and devices"},
    {.name = "batch-tokens",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(batch_tokens),
     .argument = "N",
     .min = 1,
     .max = 1 << 24,
     .fallback = "4096",
     .help = "tokens that are worked on together; an update of more accumulates"},
    {.name = "rate",
     .kind = SP_OPT_REAL,
     .unset = true,
     .offset = FIELD(rate),
     .argument = "RATE",
     .max = 1000,
     .fallback = "5e-4 for mlm, 1e-4 for distill, 1e-5 for mwer and mwed",
     .help = "learning rate at its peak"},
    {.name = "end-rate",
     .kind = SP_OPT_REAL,
     .zero = true,
     .unset = true,
     .offset = FIELD(end_rate),
     .argument = "RATE",
     .max = 1000,
     .fallback = "0",
     .help = "learning rate at the end"},
    {.name = "warmup",
     .kind = SP_OPT_U64,
     .unset = true,
     .offset = FIELD(warmup),
     .argument = "N",
     .min = 0,
     .max = INT64_MAX,
     .fallback = "100",
     .help = "updates in which the rate rises"},
    {.name = "decay",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(decay),
     .argument = "HOW",
     .choices = "linear,cosine,constant",
     .fallback = "linear",
     .help = "how the rate falls after that"},
    {.name = "weight-decay",
     .kind = SP_OPT_REAL,
     .zero = true,
     .unset = true,
     .offset = FIELD(weight_decay),
     .argument = "X",
     .max = 1000,
     .fallback = "0.01",
     .help = "of AdamW, on matrices"},
    {.name = "clip",
     .kind = SP_OPT_REAL,
     .zero = true,
     .unset = true,
     .offset = FIELD(clip),
     .argument = "NORM",
     .max = 1000000000,
     .fallback = "1",
     .help = "longest gradient; 0: as it is"},
    {.name = "beta1",
     .kind = SP_OPT_REAL,
     .zero = true,
     .unset = true,
     .offset = FIELD(beta1),
     .argument = "X",
     .max = 1,
     .fallback = "0.9",
     .help = "of AdamW"},
    {.name = "beta2",
     .kind = SP_OPT_REAL,
     .zero = true,
     .unset = true,
     .offset = FIELD(beta2),
     .argument = "X",
     .max = 1,
     .fallback = "0.999",
     .help = "of AdamW"},
    {.name = "adam-eps",
     .kind = SP_OPT_REAL,
     .unset = true,
     .offset = FIELD(adam_eps),
     .argument = "X",
     .max = 1,
     .fallback = "1e-8",
     .help = "of AdamW"},
    {.name = "seed",
     .kind = SP_OPT_U64,
     .unset = true,
     .offset = FIELD(seed),
     .argument = "N",
     .min = 0,
     .max = INT64_MAX,
     .fallback = "1",
     .help = "of first values, order, joins and masks"},
};
const struct sp_opt_group sp_train_update = {"Updates", update, sizeof update / sizeof *update};

static const struct sp_opt loss[] = {
    {.name = "beta",
     .kind = SP_OPT_REAL,
     .zero = true,
     .unset = true,
     .offset = FIELD(beta),
     .argument = "X",
     .max = 1000000,
     .fallback = "1",
     .help = "mwer, mwed: weight of the model's score beside the first pass's"},
    {.name = "distill-weight",
     .kind = SP_OPT_REAL,
     .zero = true,
     .unset = true,
     .offset = FIELD(distill_weight),
     .argument = "X",
     .max = 1000000,
     .fallback = "1e-4",
     .help = "mwer, mwed: weight of the distillation term, with --teacher"},
    {.name = "distill-sum",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(distill_sum),
     .help = "squared errors of a list are summed, in the place of their mean"},
    {.name = "detach",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(detach),
     .help = "mwed: its temperature is a constant to the gradient"},
};
const struct sp_opt_group sp_train_loss = {"Losses on lists", loss, sizeof loss / sizeof *loss};

static const struct sp_opt masks[] = {
    {.name = "tau-start",
     .kind = SP_OPT_REAL,
     .unset = true,
     .offset = FIELD(tau_start),
     .argument = "X",
     .max = 1000000,
     .fallback = "1",
     .help = "schedulers: what their logits are multiplied by at the first update"},
    {.name = "tau-end",
     .kind = SP_OPT_REAL,
     .unset = true,
     .offset = FIELD(tau_end),
     .argument = "X",
     .max = 1000000,
     .fallback = "30",
     .help = "and at the last: masks are pushed to 0 and 1"},
    {.name = "penalty",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(penalty),
     .argument = "KIND",
     .choices = "none,naive,relative-ema,relative-hinge,computational",
     .fallback = "none",
     .help = "what looking ahead costs: the masks' mean, mean latency over its moving average, "
             "latency beyond it, or expected backlog"},
    {.name = "penalty-weight",
     .kind = SP_OPT_REAL,
     .zero = true,
     .unset = true,
     .offset = FIELD(penalty_weight),
     .argument = "X",
     .max = 1000000,
     .fallback = "1",
     .help = "how much"},
    {.name = "capacity",
     .kind = SP_OPT_REAL,
     .offset = FIELD(capacity),
     .argument = "COST",
     .max = 1000000000000,
     .fallback = "layers times --node-cost",
     .help = "computational: work that is done in a token period"},
    {.name = "node-cost",
     .kind = SP_OPT_REAL,
     .offset = FIELD(node_cost),
     .argument = "COST",
     .max = 1000000000000,
     .fallback = "1",
     .help = "computational: one position of one layer"},
    {.name = "key-cost",
     .kind = SP_OPT_REAL,
     .zero = true,
     .offset = FIELD(key_cost),
     .argument = "COST",
     .max = 1000000000000,
     .fallback = "0",
     .help = "computational: each position that attention sees from there"},
};
const struct sp_opt_group sp_train_masks = {"Learned lookahead", masks,
                                            sizeof masks / sizeof *masks};

static const struct sp_opt output[] = {
    {.name = "out",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(out),
     .argument = "DIR",
     .help = "directory of the run, made or resumed: model/ in it is the result"},
    {.name = "eval-every",
     .kind = SP_OPT_U64,
     .offset = FIELD(eval_every),
     .argument = "N",
     .min = 1,
     .max = INT64_MAX,
     .fallback = "at the end of an epoch, and at the end",
     .help = "updates between looks at the held-out part"},
    {.name = "patience",
     .kind = SP_OPT_U64,
     .offset = FIELD(patience),
     .argument = "N",
     .min = 1,
     .max = INT64_MAX,
     .fallback = "never",
     .help = "stop after N looks without a better loss"},
    {.name = "save-every",
     .kind = SP_OPT_U64,
     .unset = true,
     .offset = FIELD(save_every),
     .argument = "N",
     .min = 0,
     .max = INT64_MAX,
     .fallback = "200",
     .help = "updates between checkpoints; 0: at the end only"},
    {.name = "keep",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(keep),
     .argument = "N",
     .min = 1,
     .max = 1000000,
     .fallback = "2",
     .help = "checkpoints that are kept"},
    {.name = "save-dtype",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(save_dtype),
     .argument = "TYPE",
     .choices = "f32,bf16",
     .fallback = "f32",
     .help = "type of the model that is written"},
    {.name = "plot",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(plot),
     .argument = "FILE",
     .help = "draw the losses as an SVG picture at the end"},
    SP_PROGRESS_OPTION(FIELD(progress)),
    {.name = "json",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(json),
     .help = "print the summary as one JSON object on standard output"},
};
const struct sp_opt_group sp_train_output = {"Output", output, sizeof output / sizeof *output};

/* ---- lists of paths ---- */

static size_t count_commas(const char *text) {
  size_t n = 0;
  for (; text && *text; text++) {
    n += *text == ',';
  }
  return n;
}

/* The paths of `text`, then `more`. */
static enum sp_status split_paths(const char *option, const char *text, const char **more,
                                  size_t n_more, struct sp_train_paths *out, struct sp_error *err) {
  size_t room = (text ? count_commas(text) + 1 : 0) + n_more;
  out->items = calloc(room + 1, sizeof *out->items);
  out->text = strdup(text ? text : "");
  if (!out->items || !out->text) {
    return sp_fail_memory(err, (room + 1) * sizeof *out->items);
  }
  for (char *at = out->text; text && at;) {
    char *comma = strchr(at, ',');
    if (comma) {
      *comma++ = '\0';
    }
    if (*at == '\0') {
      return sp_fail(err, SP_EUSAGE, "--%s '%s' has an empty name", option, text);
    }
    out->items[out->n++] = at;
    at = comma;
  }
  for (size_t i = 0; i < n_more; i++) {
    out->items[out->n++] = more[i];
  }
  return SP_OK;
}

static void release_paths(struct sp_train_paths *paths) {
  free(paths->items);
  free(paths->text);
}

void sp_train_lists_release(struct sp_train_lists *lists) {
  release_paths(&lists->data);
  release_paths(&lists->holdout);
  release_paths(&lists->teacher);
  release_paths(&lists->holdout_teacher);
}

static enum sp_status split_lists(const struct sp_train_args *a, const struct sp_operands *operands,
                                  struct sp_train_lists *l, struct sp_error *err) {
  SP_TRY(split_paths("data", a->data, operands->items, operands->n, &l->data, err));
  SP_TRY(split_paths("holdout", a->holdout, NULL, 0, &l->holdout, err));
  SP_TRY(split_paths("teacher", a->teacher, NULL, 0, &l->teacher, err));
  return split_paths("holdout-teacher", a->holdout_teacher, NULL, 0, &l->holdout_teacher, err);
}

/* ---- settings ---- */

static size_t index_of(const char *word, const char *const *words, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (strcmp(word, words[i]) == 0) {
      return i;
    }
  }
  return 0;
}

static void take_real(double given, double *to) {
  if (given >= 0) {
    *to = given;
  }
}
static void take_u64(uint64_t given, uint64_t *to) {
  if (given != UNSET) {
    *to = given;
  }
}
static void take_size(size_t given, size_t *to) {
  if (given != 0) {
    *to = given;
  }
}

static enum sp_status parse_split(const char *text, struct sp_train_data_settings *out,
                                  struct sp_error *err) {
  double part[3];
  char end;
  if (sscanf(text, "%lf,%lf,%lf%c", &part[0], &part[1], &part[2], &end) != 3 ||
      !(part[0] >= 0 && part[1] >= 0 && part[2] >= 0) ||
      !(fabs(part[0] + part[1] + part[2] - 100) < 1e-6)) {
    return sp_fail(err, SP_EUSAGE,
                   "--mask-split '%s': it takes three percentages that are 100 together", text);
  }
  out->mask_as_mask = part[0] / 100;
  out->mask_as_random = part[1] / 100;
  return SP_OK;
}

static void take_what(const struct sp_train_args *a, struct sp_train_settings *s) {
  s->model = a->model;
  s->config = a->config;
  s->vocab = a->vocab;
  s->init_layers = a->init_layers;
  s->lookahead = a->lookahead;
  s->lookahead_cells = a->cells;
  s->cls_row = a->cls;
  s->out = a->out;
  s->device = a->device ? a->device : s->device;
  s->threads = a->threads;
}

static enum sp_status take_data(const struct sp_train_args *a, const struct sp_train_lists *l,
                                struct sp_train_data_settings *d, struct sp_error *err) {
  d->files = l->data.items;
  d->n_files = l->data.n;
  d->holdout = l->holdout.items;
  d->n_holdout = l->holdout.n;
  d->teacher = l->teacher.items;
  d->n_teacher = l->teacher.n;
  d->holdout_teacher = l->holdout_teacher.items;
  d->n_holdout_teacher = l->holdout_teacher.n;
  d->holdout_every = a->holdout_every;
  d->teacher_method = a->teacher_method;
  d->format = a->format;
  d->only_ids = a->only_ids;
  d->max_hyps = a->max_hyps;
  d->max_tokens = a->max_tokens;
  d->error_rates = a->error_rates;
  take_real(a->join_share, &d->join_share);
  take_real(a->mask_rate, &d->mask_rate);
  take_u64(a->seed, &d->seed);
  return a->mask_split ? parse_split(a->mask_split, d, err) : SP_OK;
}

static void take_update(const struct sp_train_args *a, struct sp_train_settings *s) {
  static const char *const decays[] = {"linear", "cosine", "constant"};
  s->steps = a->steps;
  take_real(a->epochs, &s->epochs);
  take_size(a->step_tokens, &s->step_tokens);
  take_size(a->batch_tokens, &s->batch_tokens);
  take_real(a->rate, &s->rate);
  take_real(a->end_rate, &s->end_rate);
  take_u64(a->warmup, &s->warmup);
  take_real(a->weight_decay, &s->weight_decay);
  take_real(a->clip, &s->clip);
  take_real(a->beta1, &s->beta1);
  take_real(a->beta2, &s->beta2);
  take_real(a->adam_eps, &s->eps);
  take_u64(a->seed, &s->seed);
  if (a->decay) {
    s->decay = (enum sp_decay)index_of(a->decay, decays, 3);
  }
}

static void take_losses(const struct sp_train_args *a, struct sp_train_settings *s) {
  take_real(a->beta, &s->beta);
  take_real(a->distill_weight, &s->distill_weight);
  s->distill_sum = a->distill_sum;
  s->detach = a->detach;
  take_real(a->tau_start, &s->tau_start);
  take_real(a->tau_end, &s->tau_end);
  s->penalty.lambda = 1;
  take_real(a->penalty_weight, &s->penalty.lambda);
  if (a->penalty) {
    sp_penalty_parse(a->penalty, &s->penalty.kind);
  }
  s->penalty.backlog.capacity = a->capacity;
  s->penalty.backlog.node = a->node_cost > 0 ? a->node_cost : 1;
  s->penalty.backlog.key = a->key_cost;
}

static void take_output(const struct sp_train_args *a, struct sp_train_settings *s) {
  s->eval_every = a->eval_every;
  s->patience = a->patience;
  take_u64(a->save_every, &s->save_every);
  take_size(a->keep, &s->keep);
  s->save_dtype = a->save_dtype && strcmp(a->save_dtype, "bf16") == 0 ? SP_BF16 : SP_F32;
}

/* auto: where the hardware multiplies it; on a GPU always. */
static bool wants_bf16(const struct sp_train_args *a, const struct sp_train_settings *s) {
  if (a->dtype && strcmp(a->dtype, "auto") != 0) {
    return strcmp(a->dtype, "bf16") == 0;
  }
  struct sp_cpu_facts facts;
  sp_cpu_get_facts(&facts);
  return strncmp(s->device, "cpu", 3) != 0 || facts.amx || facts.avx512_bf16;
}

/* The parser let no other word through. */
static enum sp_objective objective_of(const char *word) {
  enum sp_objective objective = SP_OBJECTIVE_MLM;
  while (strcmp(sp_objective_name(objective), word) != 0 && objective + 1 < SP_N_OBJECTIVES) {
    objective++;
  }
  return objective;
}

enum sp_status sp_train_args_resolve(const struct sp_train_args *args,
                                     const struct sp_operands *operands,
                                     struct sp_train_lists *lists, struct sp_train_settings *out,
                                     struct sp_error *err) {
  if (!args->objective || !args->out) {
    return sp_fail(err, SP_EUSAGE, "train needs --objective NAME and --out DIR");
  }
  sp_train_settings_init(out, objective_of(args->objective));
  SP_TRY(split_lists(args, operands, lists, err));
  if (lists->data.n == 0) {
    return sp_fail(err, SP_EUSAGE, "train needs --data FILE");
  }
  take_what(args, out);
  SP_TRY(take_data(args, lists, &out->data, err));
  take_update(args, out);
  take_losses(args, out);
  take_output(args, out);
  out->bf16 = wants_bf16(args, out);
  return SP_OK;
}
