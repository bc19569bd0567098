/* join_args.h - what `rescore` and `tune` take alike: an archive, its scores, how they combine. */
#ifndef SP_CLI_JOIN_ARGS_H
#define SP_CLI_JOIN_ARGS_H

#include <jansson.h>

#include "archive_args.h"
#include "join.h"

/* The first member of the struct that a command's options fill. */
struct sp_join_args {
  struct sp_archive_args archive; /* first: see archive_args.h */
  const char *scores, *score_sign, *missing;
  const char *first, *combine, *length_norm, *bonus;
  uint64_t limit;
  bool json;
};

/* Rows of that group for another's table. */
#define SP_SCORE_SIGN_OPTION(at)                                                             \
  {                                                                                          \
    .name = "score-sign", .kind = SP_OPT_TEXT, .offset = (at), .argument = "NAME=SIGN[,..]", \
    .help = "what the values of a file are: cost (lower is better) or logprob",              \
    .fallback = "logprob"                                                                    \
  }
#define SP_MISSING_OPTION(at)                                                             \
  {                                                                                       \
    .name = "missing", .kind = SP_OPT_CHOICE, .offset = (at), .argument = "HOW",          \
    .choices = "error,null", .help = "what a hypothesis is that a file has no score for", \
    .fallback = "error"                                                                   \
  }

extern const struct sp_opt_group sp_join_scores_group; /* second-pass scores */
extern const struct sp_opt_group sp_join_combine;      /* the combination, but for the weights */

/* SP_EUSAGE without --scores; `command` is for the message. */
SP_MUST_CHECK enum sp_status sp_join_args_open(const struct sp_join_args *args,
                                               const struct sp_operands *operands,
                                               const char *command, struct sp_join **out,
                                               struct sp_error *err);
/* The combination that the options name, without second-pass weights and bonus. */
SP_MUST_CHECK enum sp_status sp_join_args_combination(const struct sp_join_args *args,
                                                      struct sp_combination *out,
                                                      struct sp_error *err);
/* Reads a number of --option; SP_EUSAGE when it is none. */
SP_MUST_CHECK enum sp_status sp_parse_weight(struct sp_text text, const char *option, double *out,
                                             struct sp_error *err);
/* A message for all that is odd in the scores of that combination, once they were read. */
void sp_join_say(struct sp_join *join, const struct sp_combination *combination);
/* [{"name":..,"path":..,"signature":..,"nulls":..,"missing":..,"surplus":..},..] */
json_t *sp_join_scores_json(struct sp_join *join, const struct sp_combination *combination);

#endif
