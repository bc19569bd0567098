#include "bench_args.h"

#include "clock.h"
#include "score_args.h"

#define FIELD(member) offsetof(struct sp_bench_args, member)

static const struct sp_opt options[] = {
    {.name = "model",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(options.model),
     .argument = "DIR",
     .help = "model directory"},
    {.name = "method",
     .kind = SP_OPT_LIST,
     .offset = FIELD(options.methods),
     .argument = "NAME[,..]",
     .choices = sp_method_choices,
     .fallback = "pll",
     .help = "as for score"},
    {.name = "device",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(options.device),
     .argument = "NAME",
     .fallback = "cpu",
     .help = "as for score"},
    {.name = "dtype",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(options.dtype),
     .argument = "NAME",
     .choices = "auto,f32,bf16",
     .fallback = "auto",
     .help = "as for score"},
    {.name = "threads",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(options.threads),
     .argument = "N",
     .min = 1,
     .max = 1024,
     .fallback = "all processors",
     .help = "threads that score; a GPU has one"},
    {.name = "batch-tokens",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(options.batch_tokens),
     .argument = "N",
     .min = 1,
     .max = 1 << 24,
     .fallback = "chosen from the model",
     .help = "tokens of a batch"},
    {.name = "length",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(length),
     .argument = "L",
     .min = 3,
     .max = 1 << 20,
     .fallback = "an archive's own lengths",
     .help = "random hypotheses of L tokens each, [CLS] and [SEP] included, and no archive"},
    {.name = "hyps",
     .kind = SP_OPT_SIZE,
     .offset = FIELD(hyps),
     .argument = "N",
     .min = 1,
     .max = 1 << 20,
     .fallback = "100",
     .help = "how many of them"},
    SP_LIMIT_OPTION(FIELD(options.limit), "the first N utterances of the archive only"),
    {.name = "seconds",
     .kind = SP_OPT_U64,
     .offset = FIELD(seconds),
     .argument = "S",
     .min = 1,
     .max = 86400,
     .fallback = "10",
     .help = "go on with rounds for S seconds, three rounds at least"},
    {.name = "json", .kind = SP_OPT_FLAG, .offset = FIELD(json), .help = "print one JSON object"},
};
const struct sp_opt_group sp_bench_group = {"Options", options, sizeof options / sizeof *options};

static const struct sp_opt mask_options[] = {
    {.name = "mask",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(options.mask),
     .argument = "MASK",
     .choices = "model,full,causal,dynamic",
     .fallback = "model, what its config says",
     .help = "as for score: layerwise:R[,R..], chunked:C, or one of"},
    {.name = "force-mask",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(options.force_mask),
     .help = "as for score"},
};
const struct sp_opt_group sp_bench_mask_group = {"Lookahead", mask_options,
                                                 sizeof mask_options / sizeof *mask_options};

enum sp_status sp_bench_open(const struct sp_bench_args *args, const struct sp_operands *operands,
                             struct sp_workload *out, struct sp_error *err) {
  struct sp_score_options *mutable_options = (struct sp_score_options *)&args->options;
  if ((args->length == 0) == (operands->n == 0)) {
    return sp_fail(err, SP_EUSAGE, "give either --length L or an archive");
  }
  if (args->hyps && !args->length) {
    return sp_fail(err, SP_EUSAGE, "--hyps goes with --length, not with an archive");
  }
  if (args->options.limit && args->length) {
    return sp_fail(err, SP_EUSAGE, "--limit goes with an archive, not with --length");
  }
  static const char *const none[] = {"none"};
  mutable_options->archives = operands->n ? operands->items : none;
  mutable_options->n_archives = operands->n ? operands->n : 1;
  return sp_workload_open(&args->options, args->length, args->hyps ? args->hyps : 100, out, err);
}

bool sp_bench_goes_on(const struct sp_bench_args *args, size_t rounds, double since) {
  double seconds = args->seconds ? (double)args->seconds : 10;
  return rounds < 3 || (rounds < sp_bench_max_rounds && sp_clock_seconds() - since < seconds);
}
