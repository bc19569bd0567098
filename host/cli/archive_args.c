#include "archive_args.h"

#include <string.h>

#include "tsv_columns.h"

#define FIELD(member) offsetof(struct sp_archive_args, member)

const char sp_format_choices[] =
#define X(name, option, text) option ","
    SP_ARCHIVE_FORMAT_MAP(X)
#undef X
    ;

const char sp_archive_outputs[] =
#define X(name, option, text) option ","
    SP_ARCHIVE_OUTPUT_MAP(X)
#undef X
    ;

static const struct sp_opt input[] = {
    SP_FORMAT_OPTION(FIELD(format)),
    {.name = "sign",
     .kind = SP_OPT_CHOICE,
     .offset = FIELD(sign),
     .argument = "SIGN",
     .choices = "logprob,cost",
     .fallback = "logprob",
     .help = "what the archives' scores are; costs are negated, so that higher is better"},
    {.name = "tsv",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(tsv),
     .argument = "COLUMNS",
     .fallback = SP_TSV_DEFAULT,
     .help = "columns of tsv archives, from 1; other names are components (ctc=5), the word "
             "header says that the first line is one"},
    SP_BEAM_SIZE_OPTION(FIELD(beam_size)),
    {.name = "kaldi-scores",
     .kind = SP_OPT_TEXT,
     .offset = FIELD(tables),
     .argument = "NAME=FILE,..",
     .help = "score tables of a kaldi archive, line by line with it; NAME is score or a component"},
};
const struct sp_opt_group sp_archive_input = {"Input", input, sizeof input / sizeof *input};

enum sp_status sp_archive_args_resolve(const struct sp_archive_args *args,
                                       struct sp_archive_options *out, struct sp_error *err) {
  *out = (struct sp_archive_options){.tsv = args->tsv,
                                     .tables = args->tables,
                                     .beam_size = args->beam_size,
                                     .costs = args->sign && strcmp(args->sign, "cost") == 0};
  return sp_archive_format_parse(args->format ? args->format : "auto", &out->format, err);
}
