/* completion_bash.c - the script for bash 4 and later; it does not need the package
 * bash-completion. */
#include <stdio.h>

#include "commands.h"
#include "completion.h"

/* $command is " bench io" behind `secondpass bench io`, $operands "kind:words". */
static const char head[] =
    "_secondpass() {\n"
    "  local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
    "  local command= kind= words= options= operands= i\n"
    "  COMPREPLY=()\n"
    "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "    case \"$command ${COMP_WORDS[i]}\" in\n";

static const char middle[] =
    "      *) break ;;\n"
    "    esac\n"
    "  done\n"
    "  # bash splits --option=value into three words\n"
    "  if [[ $cur == = ]]; then\n"
    "    cur=\n"
    "  elif [[ $before == = ]]; then\n"
    "    before=${COMP_WORDS[COMP_CWORD-2]}\n"
    "  fi\n"
    "  case $command in\n";

static const char tail[] =
    "  esac\n"
    "  for ((; i < COMP_CWORD; i++)); do\n"
    "    [[ ${COMP_WORDS[i]} == -- ]] && options= kind=\n"
    "  done\n"
    "  if [[ ! $kind && $cur == -* && $options ]]; then\n"
    "    kind=words words=$options\n"
    "  elif [[ ! $kind ]]; then\n"
    "    kind=${operands%%:*} words=${operands#*:}\n"
    "  fi\n"
    "  case $kind in\n"
    "    words) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
    "    list)\n"
    "      COMPREPLY=($(compgen -P \"${cur%\"${cur##*,}\"}\" -W \"$words\" -- \"${cur##*,}\")) ;;\n"
    "    directory) compopt -o dirnames 2>/dev/null ;;\n"
    "    file) compopt -o default 2>/dev/null ;;\n"
    "  esac\n"
    "}\n"
    "complete -F _secondpass secondpass\n";

static const char *const kinds[] = {
    [SP_VALUE_NONE] = "",         [SP_VALUE_OTHER] = "other", [SP_VALUE_WORDS] = "words",
    [SP_VALUE_LIST] = "list",     [SP_VALUE_FILE] = "file",   [SP_VALUE_DIRECTORY] = "directory",
    [SP_VALUE_COMMAND] = "words",
};

/* Names of all commands below `command` as patterns: " score"|" bench io". */
static void put_patterns(const struct sp_command *command) {
  for (const struct sp_command *const *child = command->children; child && *child; child++) {
    printf("%s\" %s\"", *child == sp_command_root.children[0] ? "      " : "|", (*child)->name);
    put_patterns(*child);
  }
}

static void put_operands(const struct sp_command *command) {
  enum sp_value_kind kind = command->children ? SP_VALUE_COMMAND : sp_operand_value(command);
  printf("operands='%s:", kinds[kind]);
  if (kind == SP_VALUE_COMMAND) {
    sp_children_print(command->children ? command : &sp_command_root);
  } else {
    sp_words_print(command->operand_choices);
  }
  printf("'");
}

/* By the word before: an option's values; behind `help bench` the commands of bench. */
static void put_values(const struct sp_command *command) {
  const struct sp_opt *option;
  printf("      case $before in\n");
  for (size_t i = 0; (option = sp_command_option(command, i)); i++) {
    enum sp_value_kind kind = sp_option_value(option);
    if (kind != SP_VALUE_NONE) {
      printf("        --%s) kind=%s words='", option->name, kinds[kind]);
      sp_words_print(option->choices);
      printf("' ;;\n");
    }
  }
  bool asks = sp_operand_value(command) == SP_VALUE_COMMAND;
  const struct sp_command *const *child = sp_command_root.children;
  for (; asks && *child; child++) {
    if ((*child)->children) {
      printf("        %s) operands='words:", (*child)->name);
      sp_children_print(*child);
      printf("' ;;\n");
    }
  }
  printf("      esac ;;\n");
}

static void put_command(const struct sp_command *command) {
  const struct sp_opt *option;
  printf("    '%s%s')\n      options='", *command->name ? " " : "", command->name);
  for (size_t i = 0; (option = sp_command_option(command, i)); i++) {
    printf("%s--%s", i ? " " : "", option->name);
  }
  printf("'\n      ");
  put_operands(command);
  printf("\n");
  put_values(command);
  for (const struct sp_command *const *child = command->children; child && *child; child++) {
    put_command(*child);
  }
}

void sp_completion_bash(void) {
  fputs(head, stdout);
  put_patterns(&sp_command_root);
  printf(") command+=\" ${COMP_WORDS[i]}\" ;;\n");
  fputs(middle, stdout);
  put_command(&sp_command_root);
  fputs(tail, stdout);
}
