/* completion_fish.c - the script for fish: a `complete` for each option and command. */
#include <stdio.h>

#include "commands.h"
#include "completion.h"

static const char head[] =
    "\n"
    "# the words before the cursor are these\n"
    "function __secondpass_is\n"
    "    set -l words (commandline -opc)\n"
    "    test \"$words[2..-1]\" = \"$argv\"\n"
    "end\n"
    "# they begin with these\n"
    "function __secondpass_at\n"
    "    set -l words (commandline -opc)\n"
    "    string match -q -- \"$argv *\" \"$words[2..-1] \"\n"
    "end\n"
    "complete -c secondpass -f\n";

static void put_text(const char *text) {
  printf(" -d '");
  sp_quoted_print(text, "\\", "\\'");
  printf("'\n");
}

static void put_value(enum sp_value_kind kind, const char *choices) {
  switch (kind) {
    case SP_VALUE_NONE:
    case SP_VALUE_COMMAND:
      break;
    case SP_VALUE_OTHER:
      printf(" -x");
      break;
    case SP_VALUE_WORDS:
      printf(" -x -a '");
      sp_words_print(choices);
      printf("'");
      break;
    case SP_VALUE_LIST:
      printf(" -x -a '(__fish_append , ");
      sp_words_print(choices);
      printf(")'");
      break;
    case SP_VALUE_DIRECTORY:
      printf(" -x -a '(__fish_complete_directories)'");
      break;
    case SP_VALUE_FILE:
      printf(" -r -F");
      break;
  }
}

/* Commands with children have options only where a child may stand. */
static void put_condition(const struct sp_command *command) {
  const char *space = *command->name ? " " : "";
  printf("complete -c secondpass -n '__secondpass_%s%s%s'", command->children ? "is" : "at", space,
         command->name);
}

static void put_children(const char *behind, const struct sp_command *command) {
  for (const struct sp_command *const *child = command->children; child && *child; child++) {
    printf("complete -c secondpass -n '__secondpass_is%s%s' -a %s", *behind ? " " : "", behind,
           sp_command_word(*child));
    put_text((*child)->summary);
  }
}

/* Commands as operands, as `help` takes them. */
static void put_command_operands(const struct sp_command *command) {
  put_children(command->name, &sp_command_root);
  for (const struct sp_command *const *child = sp_command_root.children; *child; child++) {
    char behind[128];
    snprintf(behind, sizeof behind, "%s %s", command->name, (*child)->name);
    put_children(behind, *child);
  }
}

static void put_operands(const struct sp_command *command) {
  enum sp_value_kind kind = sp_operand_value(command);
  if (kind == SP_VALUE_COMMAND) {
    put_command_operands(command);
  } else if (kind == SP_VALUE_FILE) {
    put_condition(command);
    printf(" -F\n");
  } else if (kind != SP_VALUE_NONE) {
    put_condition(command);
    put_value(kind, command->operand_choices);
    printf("\n");
  }
}

static void put_command(const struct sp_command *command) {
  const struct sp_opt *option;
  printf("\n");
  for (size_t i = 0; (option = sp_command_option(command, i)); i++) {
    put_condition(command);
    printf("%s -l %s", option == &sp_opt_help ? " -s h" : "", option->name);
    put_value(sp_option_value(option), option->choices);
    put_text(option->help);
  }
  put_children(command->name, command);
  put_operands(command);
  for (const struct sp_command *const *child = command->children; child && *child; child++) {
    put_command(*child);
  }
}

void sp_completion_fish(void) {
  fputs(head, stdout);
  put_command(&sp_command_root);
}
