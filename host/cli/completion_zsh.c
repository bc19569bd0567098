/* completion_zsh.c - the script for zsh: a function for each command, made of _arguments. */
#include <stdio.h>

#include "commands.h"
#include "completion.h"

/* Inside '..', where _arguments and _describe split at colons and brackets. */
static void put_text(const char *text) {
  sp_quoted_print(text, "\\[]:", "'\\''");
}

/* "_secondpass_bench_io" */
static void put_function(const struct sp_command *command) {
  printf("_secondpass%s", *command->name ? "_" : "");
  for (const char *c = command->name; *c; c++) {
    putchar(*c == ' ' ? '_' : *c);
  }
}

/* ":ARCHIVE:_files" */
static void put_value(enum sp_value_kind kind, const char *label, const char *choices) {
  printf(":");
  put_text(label);
  printf(":");
  switch (kind) {
    case SP_VALUE_WORDS:
      printf("(");
      sp_words_print(choices);
      printf(")");
      break;
    case SP_VALUE_LIST:
      printf("_values -s , value ");
      sp_words_print(choices);
      break;
    case SP_VALUE_DIRECTORY:
      printf("_files -/");
      break;
    case SP_VALUE_FILE:
      printf("_files");
      break;
    case SP_VALUE_COMMAND:
    case SP_VALUE_NONE:
    case SP_VALUE_OTHER:
      break;
  }
}

static void put_options(const struct sp_command *command) {
  const struct sp_opt *option;
  for (size_t i = 0; (option = sp_command_option(command, i)); i++) {
    enum sp_value_kind kind = sp_option_value(option);
    if (option == &sp_opt_help) {
      printf(" \\\n    '(- *)'{-h,--help}'[");
    } else {
      printf(" \\\n    '--%s%s[", option->name, kind == SP_VALUE_NONE ? "" : "=");
    }
    put_text(option->help);
    printf("]");
    if (kind != SP_VALUE_NONE) {
      put_value(kind, option->argument, option->choices);
    }
    printf("'");
  }
}

/* Commands as operands, as `help` takes them. */
static void put_command_operands(void) {
  printf(" \\\n    '1:command:(");
  sp_children_print(&sp_command_root);
  printf(")' \\\n    '2:command:(");
  for (const struct sp_command *const *child = sp_command_root.children; *child; child++) {
    printf("%s", (*child)->children ? " " : "");
    sp_children_print(*child);
  }
  printf(" )'");
}

static void put_operands(const struct sp_command *command) {
  enum sp_value_kind kind = sp_operand_value(command);
  if (kind == SP_VALUE_COMMAND) {
    put_command_operands();
  } else if (kind != SP_VALUE_NONE) {
    printf(" \\\n    '%s", command->max_operands == 1 ? "1" : "*");
    put_value(kind, "argument", command->operand_choices);
    printf("'");
  }
}

/* In the state `rest`, $words begins with the child's word. */
static void put_dispatch(const struct sp_command *command) {
  printf(" \\\n    '1: :->command' '*:: :->rest' && return\n  case $state in\n    command)\n");
  printf("      commands=(\n");
  for (const struct sp_command *const *child = command->children; *child; child++) {
    printf("        '%s:", sp_command_word(*child));
    put_text((*child)->summary);
    printf("'\n");
  }
  printf("      )\n      _describe command commands ;;\n    rest)\n      case $words[1] in\n");
  for (const struct sp_command *const *child = command->children; *child; child++) {
    printf("        %s) ", sp_command_word(*child));
    put_function(*child);
    printf(" ;;\n");
  }
  printf("      esac ;;\n  esac\n");
}

static void put_command(const struct sp_command *command) {
  printf("\n");
  put_function(command);
  printf("() {\n");
  if (command->children) {
    printf("  local curcontext=$curcontext state line\n  local -A opt_args\n  local -a commands\n");
  }
  printf("  _arguments %s", command->children ? "-C" : "-S");
  put_options(command);
  if (command->children) {
    put_dispatch(command);
  } else {
    put_operands(command);
    printf("\n");
  }
  printf("}\n");
  for (const struct sp_command *const *child = command->children; child && *child; child++) {
    put_command(*child);
  }
}

/* The file is a function of its own when compinit loads it, and sets one up when it is read. */
void sp_completion_zsh(void) {
  put_command(&sp_command_root);
  printf(
      "\nif [[ $funcstack[1] == _secondpass ]]; then\n  _secondpass \"$@\"\nelse\n"
      "  compdef _secondpass secondpass\nfi\n");
}
