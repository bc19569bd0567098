#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "output.h"

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

static void print_choices(const struct sp_opt *option, char *out, size_t capacity) {
  size_t used = 0;
  out[0] = '\0';
  for (const char *rest = option->choices; rest && *rest;) {
    size_t len = strcspn(rest, ",");
    if (len > 0 && used + len + 3 < capacity) {
      used +=
          (size_t)snprintf(out + used, capacity - used, "%s%.*s", used ? ", " : "", (int)len, rest);
    }
    rest += len;
    rest += *rest == ',';
  }
}

static void print_option(const struct sp_opt *option) {
  char choices[256], text[1024];
  print_choices(option, choices, sizeof choices);
  snprintf(text, sizeof text, "%s%s%s%s%s%s%s", option->help, *choices ? ": " : "", choices,
           option->kind == SP_OPT_LIST ? " (comma-separated)" : "",
           option->fallback ? " (default: " : "", option->fallback ? option->fallback : "",
           option->fallback ? ")" : "");
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
  printf("\nCommands\n");
  for (const struct sp_command *const *child = command->children; *child; child++) {
    printf("  %-12s %s\n", (*child)->name, (*child)->summary);
  }
  printf("\n`secondpass help %s%sCOMMAND` says more about one of them.\n", command->name,
         *command->name ? " " : "");
}

static void print_exit_codes(void) {
  static const struct {
    int code;
    const char *text;
  } table[] = {
#define X(name, exit_code, text) {exit_code, text},
      SP_STATUS_MAP(X)
#undef X
  };
  printf("\nExit codes\n");
  int last = -1;
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
    if (table[i].code == last) {
      printf("; %s", table[i].text);
    } else {
      printf("%s  %-4d %s", last < 0 ? "" : "\n", table[i].code, table[i].text);
    }
    last = table[i].code;
  }
  putchar('\n');
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
    print_exit_codes();
  }
}

static enum sp_status run_help(const void *values, const struct sp_operands *operands,
                               struct sp_error *err) {
  (void)values;
  const struct sp_command *command = &sp_command_root;
  for (size_t i = 0; i < operands->n; i++) {
    const struct sp_command *child = sp_command_child(command, operands->items[i]);
    if (!child) {
      return sp_command_unknown(command, operands->items[i], err);
    }
    command = child;
  }
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
