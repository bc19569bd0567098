#include "wer_args.h"

#include <string.h>

#include "wer_block.h"

#define FIELD(member) offsetof(struct sp_wer_args, member)

enum { default_replicates = 1000, default_seed = 1 };

const char sp_unit_choices[] =
#define X(name, option, rate) option ","
    SP_UNIT_MAP(X)
#undef X
    ;

static const struct sp_opt inputs[] = {
    {.name = "ref",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(ref),
     .argument = "FILE",
     .help = "references: trn, Kaldi text, or an archive that has them",
     .fallback = "those of the archive"},
    {.name = "hyp",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(hyp),
     .argument = "FILE",
     .help = "the system's answers, instead of HYP"},
    {.name = "against",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(against),
     .argument = "FILE[,..]",
     .help = "answers of other systems (as HYP), to test the difference with each"},
};
const struct sp_opt_group sp_wer_inputs_group = {"Texts", inputs, sizeof inputs / sizeof *inputs};

static const struct sp_opt count[] = {
    {.name = "unit",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(unit),
     .argument = "UNIT",
     .choices = sp_unit_choices,
     .fallback = "word",
     .help = "what is counted; mixed: CJK characters, and words of the rest"},
    {.name = "normalize",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(normalize),
     .argument = "PROFILE",
     .fallback = "none",
     .help = "what both texts go through: none, librispeech, rules:FILE, glm:FILE, several joined "
             "by commas"},
    {.name = "block-by",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(block_by),
     .argument = "HOW",
     .fallback = "speaker where every id has a -",
     .help = "what is resampled as a whole: speaker, the id up to its first -; prefix:SEP, up to "
             "the first SEP; field:NAME, the value of that member of the utterance; utterance"},
    SP_BOOTSTRAP_OPTION(FIELD(replicates)),
    SP_SEED_OPTION(FIELD(seed)),
};
const struct sp_opt_group sp_wer_count_group = {"Counting", count, sizeof count / sizeof *count};

static const struct sp_opt output[] = {
    {.name = "per-utt",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(per_utt),
     .argument = "FILE",
     .help =
         "write a line an utterance: JSON when the name ends in .jsonl, else tab-separated; - is "
         "standard output"},
    {.name = "align",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(align),
     .argument = "FILE",
     .help = "write the alignment of every utterance with errors; - is standard output"},
    {.name = "json",
     .kind = SP_OPT_FLAG,
     .offset = FIELD(json),
     .help = "print the result as one JSON object"},
};
const struct sp_opt_group sp_wer_output_group = {"Output", output, sizeof output / sizeof *output};

static bool is_standard_output(const char *path) {
  return path && strcmp(path, "-") == 0;
}

enum sp_status sp_wer_args_check(struct sp_wer_args *args, const struct sp_operands *operands,
                                 struct sp_error *err) {
  if (args->hyp && operands->n > 0) {
    return sp_fail(err, SP_EUSAGE, "the answers are given twice: --hyp %s and %s", args->hyp,
                   operands->items[0]);
  }
  if (!args->hyp && operands->n == 0) {
    return sp_fail(err, SP_EUSAGE, "no HYP is given; usage: secondpass wer [OPTIONS] HYP...");
  }
  bool rows = is_standard_output(args->per_utt), alignments = is_standard_output(args->align);
  if ((rows && alignments) || (args->json && (rows || alignments))) {
    return sp_fail(err, SP_EUSAGE,
                   "only one of --per-utt -, --align - and --json can have standard output");
  }
  args->unit = args->unit ? args->unit : "word";
  args->normalize = args->normalize ? args->normalize : "none";
  args->replicates = args->replicates ? args->replicates : default_replicates;
  args->seed = args->seed ? args->seed : default_seed;
  return sp_wer_block_check(args->block_by, err);
}

enum sp_unit sp_wer_args_unit(const struct sp_wer_args *args) {
#define X(name, option, rate)            \
  if (strcmp(args->unit, option) == 0) { \
    return name;                         \
  }
  SP_UNIT_MAP(X)
#undef X
  return SP_UNIT_WORD;
}
