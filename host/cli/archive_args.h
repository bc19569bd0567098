/* archive_args.h - how archives are read, for every subcommand that takes some. */
#ifndef SP_CLI_ARCHIVE_ARGS_H
#define SP_CLI_ARCHIVE_ARGS_H

#include "archive.h"
#include "options.h"

/* The first member of the struct that a command's options fill, so that the group below fits all. */
struct sp_archive_args {
  const char *format, *tsv, *tables, *sign; /* NULL: the default */
  size_t beam_size;
};

extern const char sp_format_choices[]; /* of --format */

/* Rows for the tables of commands that take some of the group's options. */
#define SP_FORMAT_OPTION(at)                                                     \
  {                                                                              \
    .name = "format", .kind = SP_OPT_CHOICE, .offset = (at), .argument = "NAME", \
    .choices = sp_format_choices, .fallback = "auto, told from the content",     \
    .help = "format of the archives"                                             \
  }
#define SP_BEAM_SIZE_OPTION(at)                                                             \
  {                                                                                         \
    .name = "beam-size", .kind = SP_OPT_SIZE, .offset = (at), .argument = "N", .min = 1,    \
    .max = 1000000, .help = "lines of an utterance in nemo-tsv archives, which do not tell" \
  }

extern const struct sp_opt_group sp_archive_input;
extern const char sp_archive_outputs[]; /* choices of --to */

SP_MUST_CHECK enum sp_status sp_archive_args_resolve(const struct sp_archive_args *args,
                                                     struct sp_archive_options *out,
                                                     struct sp_error *err);

#endif
