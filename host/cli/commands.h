/* commands.h - the subcommands; each lives in a file of its name. */
#ifndef SP_CLI_COMMANDS_H
#define SP_CLI_COMMANDS_H

#include "options.h"

/* The program itself: no options, its children are the subcommands. */
extern const struct sp_command sp_command_root;

extern const struct sp_command sp_command_score;
extern const struct sp_command sp_command_rescore;
extern const struct sp_command sp_command_tune;
extern const struct sp_command sp_command_report;
extern const struct sp_command sp_command_plan;
extern const struct sp_command sp_command_wer;
extern const struct sp_command sp_command_compare;
extern const struct sp_command sp_command_status;
extern const struct sp_command sp_command_verify;
extern const struct sp_command sp_command_merge;
extern const struct sp_command sp_command_cat;
extern const struct sp_command sp_command_convert;
extern const struct sp_command sp_command_model;
extern const struct sp_command sp_command_masks;
extern const struct sp_command sp_command_vocab;
extern const struct sp_command sp_command_train;
extern const struct sp_command sp_command_env;
extern const struct sp_command sp_command_bench;
extern const struct sp_command sp_command_bench_engine;
extern const struct sp_command sp_command_bench_savings;
extern const struct sp_command sp_command_bench_masks;
extern const struct sp_command sp_command_bench_lists;
extern const struct sp_command sp_command_bench_replay;
extern const struct sp_command sp_command_bench_io;
extern const struct sp_command sp_command_bench_wer;
extern const struct sp_command sp_command_bench_tune;
extern const struct sp_command sp_command_help;
extern const struct sp_command sp_command_man;
extern const struct sp_command sp_command_completion;

/* "io" of "bench io". */
const char *sp_command_word(const struct sp_command *command);

/* The child that `name` calls, NULL when there is none. */
const struct sp_command *sp_command_child(const struct sp_command *parent, const char *name);
/* SP_EUSAGE: no such child, with the nearest one. */
enum sp_status sp_command_unknown(const struct sp_command *parent, const char *name,
                                  struct sp_error *err);
/* The command that the words name one below the other; none: the program itself. */
SP_MUST_CHECK enum sp_status sp_command_find(const struct sp_operands *words,
                                             const struct sp_command **out, struct sp_error *err);

/* Help of a command on standard output. */
void sp_help_print(const struct sp_command *command);
/* Version, compiler and libraries on standard output. */
void sp_version_print(void);

#endif
