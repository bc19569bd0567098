#include "help.h"

#include <stdio.h>
#include <string.h>

#include "commands.h"

enum { help_width = 88, help_column = 26 };

/* Prints `text` wrapped at blanks, continued lines indented; the cursor stands at column `at`. */
static void print_wrapped(const char *text, size_t at, size_t indent) {
  while (*text) {
    size_t word = strcspn(text, " \n");
    if (at > indent && at + 1 + word > help_width) {
      printf("\n%*s", (int)indent, "");
      at = indent;
    } else if (at > indent) {
      putchar(' ');
      at++;
    }
    printf("%.*s", (int)word, text);
    at += word;
    text += word;
    if (*text == '\n') {
      printf("\n%*s", (int)indent, "");
      at = indent;
    }
    text += *text != '\0';
  }
  putchar('\n');
}

/* Each line of `text` indented by two, behind `before`. */
static void print_lines(const char *text, const char *before) {
  while (*text) {
    size_t len = strcspn(text, "\n");
    printf("  %s%.*s\n", before, (int)len, text);
    text += len;
    text += *text == '\n';
  }
}

void sp_option_text(const struct sp_opt *option, char *out, size_t capacity) {
  char choices[SP_CHOICES_TEXT];
  sp_choices_join(option->choices, choices, sizeof choices);
  snprintf(out, capacity, "%s%s%s%s%s%s%s", option->help, *choices ? ": " : "", choices,
           option->kind == SP_OPT_LIST ? " (comma-separated)" : "",
           option->fallback ? " (default: " : "", option->fallback ? option->fallback : "",
           option->fallback ? ")" : "");
}

static void print_option(const struct sp_opt *option) {
  char text[SP_OPTION_TEXT];
  sp_option_text(option, text, sizeof text);
  int wide = printf("  --%s%s%s", option->name, option->argument ? " " : "",
                    option->argument ? option->argument : "");
  if (wide + 2 > help_column) {
    printf("\n%*s", help_column, "");
  } else {
    printf("%*s", help_column - wide, "");
  }
  print_wrapped(text, help_column, help_column);
}

static void print_groups(const struct sp_command *command) {
  for (const struct sp_opt_group *const *group = command->groups; group && *group; group++) {
    printf("\n%s\n", (*group)->title);
    for (size_t i = 0; i < (*group)->n; i++) {
      print_option(&(*group)->options[i]);
    }
  }
}

static void print_children(const struct sp_command *command) {
  int width = 0;
  for (const struct sp_command *const *child = command->children; *child; child++) {
    int name = (int)strlen((*child)->name);
    width = name > width ? name : width;
  }
  printf("\nCommands\n");
  for (const struct sp_command *const *child = command->children; *child; child++) {
    printf("  %-*s  %s\n", width, (*child)->name, (*child)->summary);
  }
  printf("\n`secondpass help %s%sCOMMAND` says more about one of them.\n", command->name,
         *command->name ? " " : "");
}

void sp_exit_codes_each(void (*each)(void *context, int code, const char *meaning), void *context) {
  static const struct {
    int code;
    const char *text;
  } table[] = {
#define X(name, exit_code, text) {exit_code, text},
      SP_STATUS_MAP(X)
#undef X
  };
  const size_t n = sizeof table / sizeof table[0];
  char meaning[256];
  size_t used = 0;
  for (size_t i = 0; i < n; i++) {
    used += (size_t)snprintf(meaning + used, sizeof meaning - used, "%s%s", used ? "; " : "",
                             table[i].text);
    if (i + 1 == n || table[i + 1].code != table[i].code) {
      each(context, table[i].code, meaning);
      used = 0;
    }
  }
}

static void print_exit_code(void *context, int code, const char *meaning) {
  (void)context;
  printf("  %-4d %s\n", code, meaning);
}

void sp_help_print(const struct sp_command *command) {
  printf("Example\n");
  print_lines(command->example, "");
  printf("\nUsage\n  secondpass %s%s%s\n", command->name, *command->name ? " " : "",
         command->usage);
  printf("\n");
  print_wrapped(command->description ? command->description : command->summary, 0, 0);
  print_groups(command);
  if (command->children) {
    print_children(command);
  }
  if (command == &sp_command_root) {
    printf("\nExit codes\n");
    sp_exit_codes_each(print_exit_code, NULL);
  }
}

static enum sp_status run_help(const void *values, const struct sp_operands *operands,
                               struct sp_error *err) {
  (void)values;
  const struct sp_command *command;
  SP_TRY(sp_command_find(operands, &command, err));
  sp_help_print(command);
  return SP_OK;
}

const struct sp_command sp_command_help = {
    .name = "help",
    .summary = "explains a command",
    .example = "secondpass help score",
    .usage = "[COMMAND [SUBCOMMAND]]",
    .description = "Explains a command; without one, lists them all with the exit codes.",
    .max_operands = 2,
    .run = run_help,
};
