/* options.h - command lines described by tables.
 *
 * A subcommand says in static tables what it takes: sp_options_parse reads arguments by them and
 * help.c prints them, so that help and behaviour cannot drift apart.
 * --name value, --name=value, flags as --name; operands may stand anywhere; "--" ends
 * the options; "-" is an operand.  An option that is given twice has its last value.  Values are
 * written at `offset` of the caller's zeroed struct; what is not given stays zero or NULL, which
 * stands for the default. Strings point into argv.
 *
 * Shells complete by what `argument` and the last word of `usage` call a value: DIR and RUN are
 * directories, FILE, OUT and ARCHIVE files, COMMAND and SUBCOMMAND commands. */
#ifndef SP_CLI_OPTIONS_H
#define SP_CLI_OPTIONS_H

#include "buf.h"

enum sp_opt_kind {
  SP_OPT_FLAG,   /* bool */
  SP_OPT_TEXT,   /* const char *; not empty; `choices` are some of its words */
  SP_OPT_CHOICE, /* const char *; one of `choices` */
  SP_OPT_LIST,   /* const char *; some of `choices`, comma-separated */
  SP_OPT_SIZE,   /* size_t in [min, max] */
  SP_OPT_U64,    /* uint64_t in [min, max] */
  SP_OPT_REAL    /* double, over 0, at least min and at most max */
};

struct sp_opt {
  const char *name; /* without the dashes */
  enum sp_opt_kind kind;
  bool zero;  /* SP_OPT_REAL: takes 0 too */
  bool unset; /* where it is not given, SP_OPT_REAL is -1 and SP_OPT_U64 is UINT64_MAX */
  size_t offset;
  const char *argument; /* "DIR"; NULL for a flag */
  const char *help;
  const char *fallback; /* the default in words, shown by help; NULL: none */
  const char *choices;  /* "auto,f32,bf16,": a comma at the end is fine */
  uint64_t min, max;
};

/* The row of --limit in a table of options. */
#define SP_LIMIT_OPTION(at, what)                                                   \
  {                                                                                 \
    .name = "limit", .kind = SP_OPT_U64, .offset = (at), .argument = "N", .min = 1, \
    .max = UINT64_MAX, .fallback = "all", .help = what                              \
  }

struct sp_opt_group {
  const char *title;
  const struct sp_opt *options;
  size_t n;
};

/* --help, which every command has and the parser handles by itself. */
extern const struct sp_opt sp_opt_help;

struct sp_operands {
  const char **items; /* (n) owned; the strings are argv's */
  size_t n;
};

struct sp_command {
  const char *name;                         /* "score", or "bench io" for a child */
  const char *summary;                      /* one line for the list of commands */
  const char *example;                      /* whole command lines, "\n" between */
  const char *usage;                        /* what follows the name */
  const char *description;                  /* paragraphs, "\n" between */
  const struct sp_opt_group *const *groups; /* ends with NULL */
  const struct sp_command *const *children; /* ends with NULL; NULL: the command runs itself */
  size_t values_bytes;                      /* of the struct that the options fill */
  size_t min_operands, max_operands;
  const char *operand_choices; /* as an option's; NULL: any operand */
  enum sp_status (*run)(const void *values, const struct sp_operands *operands,
                        struct sp_error *err);
  /* Optional: gets the error of options that could not be read, which is said afterwards unless it was
   * emptied. */
  void (*misused)(struct sp_error *err);
};

/* The options of all groups in order, then sp_opt_help, then NULL. */
const struct sp_opt *sp_command_option(const struct sp_command *command, size_t i);

/* SP_EUSAGE: the command has no such option, with the nearest one. */
enum sp_status sp_option_unknown(const struct sp_command *command, const char *argument,
                                 struct sp_error *err);

/* Cuts the next of comma-separated words off *rest; len 0: none is left. */
struct sp_text sp_choice_next(const char **rest);
#define SP_CHOICES_TEXT 512
/* "auto, f32, bf16"; *out is "" when `choices` is NULL. */
void sp_choices_join(const char *choices, char *out, size_t capacity);

/* Arguments argv[0 .. argc-1] that follow the command's name. *help: --help or -h was there, and
 * nothing else was checked.  SP_EUSAGE names the argument.  Release the operands also on
 * failure. */
SP_MUST_CHECK enum sp_status sp_options_parse(const struct sp_command *command, int argc,
                                              char **argv, void *values,
                                              struct sp_operands *operands, bool *help,
                                              struct sp_error *err);
void sp_operands_release(struct sp_operands *operands);

#endif
