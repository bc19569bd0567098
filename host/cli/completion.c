/* completion.c - `secondpass completion`: scripts that make shells complete the command line. */
#include "completion.h"

#include <stdio.h>
#include <string.h>

#include "commands.h"

/* What a word of a usage or an option's `argument` stands for. */
static enum sp_value_kind kind_of(const char *word, enum sp_value_kind otherwise) {
  static const struct {
    const char *name;
    enum sp_value_kind kind;
  } table[] = {
      {"DIR", SP_VALUE_DIRECTORY}, {"RUN", SP_VALUE_DIRECTORY}, {"FILE", SP_VALUE_FILE},
      {"OUT", SP_VALUE_FILE},      {"ARCHIVE", SP_VALUE_FILE},  {"COMMAND", SP_VALUE_COMMAND},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    if (strstr(word, table[i].name)) {
      return table[i].kind;
    }
  }
  return otherwise;
}

enum sp_value_kind sp_option_value(const struct sp_opt *option) {
  switch (option->kind) {
    case SP_OPT_FLAG:
      return SP_VALUE_NONE;
    case SP_OPT_CHOICE:
      return SP_VALUE_WORDS;
    case SP_OPT_LIST:
      return SP_VALUE_LIST;
    case SP_OPT_TEXT:
      return option->choices ? SP_VALUE_WORDS : kind_of(option->argument, SP_VALUE_OTHER);
    case SP_OPT_SIZE:
    case SP_OPT_U64:
    case SP_OPT_REAL:
      break;
  }
  return SP_VALUE_OTHER;
}

enum sp_value_kind sp_operand_value(const struct sp_command *command) {
  const char *last = strrchr(command->usage, ' ');
  return command->max_operands == 0 ? SP_VALUE_NONE
         : command->operand_choices ? SP_VALUE_WORDS
                                    : kind_of(last ? last : command->usage, SP_VALUE_FILE);
}

void sp_words_print(const char *choices) {
  struct sp_text word;
  for (const char *space = ""; (word = sp_choice_next(&choices)).len > 0; space = " ") {
    printf("%s%.*s", space, (int)word.len, word.data);
  }
}

void sp_children_print(const struct sp_command *command) {
  for (const struct sp_command *const *child = command->children; child && *child; child++) {
    printf("%s%s", child == command->children ? "" : " ", sp_command_word(*child));
  }
}

void sp_quoted_print(const char *text, const char *special, const char *quote) {
  for (; *text; text++) {
    if (*text == '\'') {
      fputs(quote, stdout);
    } else {
      printf("%s%c", strchr(special, *text) ? "\\" : "", *text == '\n' ? ' ' : *text);
    }
  }
}

#define SHELLS(X) X(bash) X(zsh) X(fish)

static enum sp_status run_completion(const void *values, const struct sp_operands *operands,
                                     struct sp_error *err) {
  static const struct {
    const char *name;
    void (*print)(void);
  } shells[] = {
#define X(name) {#name, sp_completion_##name},
      SHELLS(X)
#undef X
  };
  (void)values;
  (void)err;
  for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
    if (strcmp(operands->items[0], shells[i].name) == 0) {
      printf("%s# %s completion for secondpass " SP_VERSION "\n",
             shells[i].print == sp_completion_zsh ? "#compdef secondpass\n" : "", shells[i].name);
      shells[i].print();
    }
  }
  return SP_OK;
}

const struct sp_command sp_command_completion = {
    .name = "completion",
    .summary = "prints a script for bash, zsh or fish that completes commands",
    .example =
        "secondpass completion bash > ~/.local/share/bash-completion/completions/secondpass\n"
        "secondpass completion zsh > ~/.zfunc/_secondpass\n"
        "secondpass completion fish > ~/.config/fish/completions/secondpass.fish",
    .usage = "bash|zsh|fish",
    .description =
        "The scripts complete commands, options and values, from the tables that the options are "
        "read by. `cmake --install` puts them where the shells look. bash without the package "
        "bash-completion takes `eval \"$(secondpass completion bash)\"` in ~/.bashrc; for zsh, the "
        "folder must be in $fpath before compinit runs.",
    .min_operands = 1,
    .max_operands = 1,
#define X(name) #name ","
    .operand_choices = SHELLS(X),
#undef X
    .run = run_completion,
};
