/* score_args.h - what `score` and `plan` take on the command line, and what they share. */
#ifndef SP_CLI_SCORE_ARGS_H
#define SP_CLI_SCORE_ARGS_H

#include <jansson.h>

#include "archive_args.h"
#include "part_args.h"

struct sp_score_args {
  struct sp_score_options options; /* strings point into argv */
  const char *progress;            /* NULL: auto */
  bool json;
  bool list;                   /* plan */
  struct sp_describe describe; /* plan */
  struct sp_part_args part;    /* score */
};

extern const char sp_method_choices[]; /* of --method */

/* The row of --dtype in a table of options. */
#define SP_DTYPE_OPTION(at, what)                                                          \
  {                                                                                        \
    .name = "dtype", .kind = SP_OPT_CHOICE, .offset = (at), .argument = "TYPE",            \
    .choices = "auto,f32,bf16", .fallback = "auto, bf16 where the hardware multiplies it", \
    .help = what                                                                           \
  }

extern const struct sp_opt_group sp_score_what;   /* model, methods, how text is read */
extern const struct sp_opt_group sp_score_work;   /* device, dtype, threads, sizes */
extern const struct sp_opt_group sp_score_output; /* --out and what is written */
extern const struct sp_opt_group sp_plan_output;  /* what plan alone takes */

/* Where a count stands: its JSON key, its name in tables, its place in struct sp_counts. */
struct sp_count_name {
  const char *key, *label;
  size_t offset;
};
extern const struct sp_count_name sp_count_names[];
extern const size_t sp_n_count_names;
uint64_t sp_count_get(const struct sp_counts *counts, const struct sp_count_name *name);
/* All counts under their keys, with "flops". */
json_t *sp_counts_json(const struct sp_counts *counts);

/* A line on standard error for each kind of hypothesis that has no score, or an impaired one, and
 * for what else looks odd. */
void sp_counts_say(const struct sp_counts *counts);

/* SIGINT, SIGTERM and SIGUSR1 set the int behind the result to 1; another one, two seconds later or more,
 * ends the process at once. System calls that they interrupt are not restarted. */
const volatile int *sp_stop_on_signals(void);
/* From now on the second sets it to 2, and the third ends the process: for work with a grace. */
void sp_stop_has_grace(void);

#endif
