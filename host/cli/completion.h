/* completion.h - what the scripts for the three shells are made of.
 *
 * Each script is data from the tables inside a fixed frame, complete in itself: nothing but the
 * shell is needed to run it. Names of options, commands and choices are letters, digits, '-', '_'
 * and '.'; texts for people are quoted as the shell wants it. */
#ifndef SP_CLI_COMPLETION_H
#define SP_CLI_COMPLETION_H

#include "options.h"

enum sp_value_kind {
  SP_VALUE_NONE,
  SP_VALUE_OTHER, /* a number, a text: nothing can be offered */
  SP_VALUE_WORDS, /* one of the choices */
  SP_VALUE_LIST,  /* some of them, comma-separated */
  SP_VALUE_DIRECTORY,
  SP_VALUE_FILE,
  SP_VALUE_COMMAND
};

enum sp_value_kind sp_option_value(const struct sp_opt *option);
/* Of the operands; files where the last word of the usage tells nothing else. */
enum sp_value_kind sp_operand_value(const struct sp_command *command);

/* Words with a blank between, on standard output. */
void sp_words_print(const char *choices);
void sp_children_print(const struct sp_command *command);
/* `text` as one line with a backslash before each character of `special`, and each ' as `quote`. */
void sp_quoted_print(const char *text, const char *special, const char *quote);

/* The scripts, on standard output. */
void sp_completion_bash(void);
void sp_completion_zsh(void);
void sp_completion_fish(void);

#endif
