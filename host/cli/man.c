/* man.c - `secondpass man`: the tables as manual pages, in roff with the man macros. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "commands.h"
#include "file.h"
#include "help.h"

struct man_args {
  const char *to;
};

/* One character that stands for itself: roff reads \ and may turn - into a hyphen and quotes into
 * typographic ones, which a reader could not paste. */
static void put_char(FILE *to, char c) {
  static const char *const escapes[128] = {
      ['\\'] = "\\(rs", ['-'] = "\\-",   ['\''] = "\\(aq", ['`'] = "\\(ga",
      ['^'] = "\\(ha",  ['~'] = "\\(ti", ['"'] = "\\(dq",
  };
  unsigned char byte = (unsigned char)c;
  if (byte < 128 && escapes[byte]) {
    fputs(escapes[byte], to);
  } else {
    fputc(c, to);
  }
}

static void put_literal(FILE *to, const char *text, size_t len) {
  for (size_t i = 0; i < len; i++) {
    put_char(to, text[i]);
  }
}

/* A page's name: "secondpass-bench-io", in capitals for its title. */
static void put_name(FILE *to, const struct sp_command *command, bool capitals) {
  char name[128];
  snprintf(name, sizeof name, "secondpass%s%s", *command->name ? " " : "", command->name);
  for (const char *c = name; *c; c++) {
    put_char(to, *c == ' ' ? '-' : capitals ? (char)toupper((unsigned char)*c) : *c);
  }
}

/* Lines of `text` as paragraphs that `request` begins; what is between backquotes is bold. */
static void put_prose(FILE *to, const char *text, const char *request) {
  bool bold = false, begins = true;
  for (; *text; text++) {
    if (begins && *text == '.') {
      fputs("\\&", to); /* else a request */
    }
    begins = *text == '\n';
    if (begins) {
      fprintf(to, "\n%s\n", request);
    } else if (*text == '`') {
      bold = !bold;
      fputs(bold ? "\\fB" : "\\fR", to);
    } else {
      put_char(to, *text);
    }
  }
  fputs(bold ? "\\fR\n" : "\n", to);
}

static char font_of(char c) {
  return isupper((unsigned char)c) ? 'I' : islower((unsigned char)c) || c == '-' ? 'B' : 'R';
}

/* Usage and arguments: what is typed as it stands is bold, what stands for a value italic. */
static void put_usage(FILE *to, const char *text) {
  char font = 'R';
  for (; *text; text++) {
    char wanted = font_of(*text);
    if (wanted != font) {
      fprintf(to, "\\f%c", font = wanted);
    }
    put_char(to, *text);
  }
  fputs(font == 'R' ? "" : "\\fR", to);
}

static void put_option(FILE *to, const struct sp_opt *option) {
  char text[SP_OPTION_TEXT];
  sp_option_text(option, text, sizeof text);
  fprintf(to, ".TP\n\\fB%s\\-\\-", option == &sp_opt_help ? "\\-h\\fR, \\fB" : "");
  put_literal(to, option->name, strlen(option->name));
  fputs("\\fR", to);
  if (option->argument) {
    fputc(' ', to);
    put_usage(to, option->argument);
  }
  fputc('\n', to);
  put_prose(to, text, ".IP");
}

static void put_options(FILE *to, const struct sp_command *command) {
  fputs(".SH OPTIONS\n", to);
  put_option(to, &sp_opt_help);
  bool several = command->groups && command->groups[0] && command->groups[1];
  for (const struct sp_opt_group *const *group = command->groups; group && *group; group++) {
    if (several) {
      fputs(".SS ", to);
      put_literal(to, (*group)->title, strlen((*group)->title));
      fputc('\n', to);
    }
    for (size_t i = 0; i < (*group)->n; i++) {
      put_option(to, &(*group)->options[i]);
    }
  }
}

static void put_children(FILE *to, const struct sp_command *command) {
  fputs(".SH COMMANDS\n", to);
  for (const struct sp_command *const *child = command->children; *child; child++) {
    fputs(".TP\n\\fB", to);
    put_name(to, *child, false);
    fputs("\\fR(1)\n", to);
    put_prose(to, (*child)->summary, ".IP");
  }
}

static void put_examples(FILE *to, const char *lines) {
  fputs(".SH EXAMPLES\n.RS 4\n.nf\n", to);
  while (*lines) {
    size_t len = strcspn(lines, "\n");
    fputs("\\&", to);
    put_literal(to, lines, len);
    fputc('\n', to);
    lines += len;
    lines += *lines == '\n';
  }
  fputs(".fi\n.RE\n", to);
}

static void put_exit_code(void *context, int code, const char *meaning) {
  fprintf(context, ".TP\n\\fB%d\\fR\n", code);
  put_prose(context, meaning, ".IP");
}

/* Every command of `of` but `but`. */
static void put_pages(FILE *to, const struct sp_command *of, const struct sp_command *but) {
  for (const struct sp_command *const *child = of->children; child && *child; child++) {
    if (*child != but) {
      fputs(",\n\\fB", to);
      put_name(to, *child, false);
      fputs("\\fR(1)", to);
    }
  }
}

static void put_see_also(FILE *to, const struct sp_command *parent,
                         const struct sp_command *command) {
  fputs(".SH SEE ALSO\n\\fB", to);
  put_name(to, parent ? parent : command, false);
  fputs("\\fR(1)", to);
  if (parent) {
    put_pages(to, parent, command);
  }
  put_pages(to, command, NULL);
  fputc('\n', to);
}

static void put_page(FILE *to, const struct sp_command *parent, const struct sp_command *command) {
  const char *space = *command->name ? " " : "";
  fprintf(to, ".\\\" printed by `secondpass man%s%s`\n.TH ", space, command->name);
  put_name(to, command, true);
  fputs(" 1 \"\" \"secondpass " SP_VERSION "\" \"secondpass\"\n.SH NAME\n", to);
  put_name(to, command, false);
  fputs(" \\- ", to);
  put_prose(to, command->summary, ".PP");
  fprintf(to, ".SH SYNOPSIS\n\\fBsecondpass%s%s\\fR ", space, command->name);
  put_usage(to, command->usage);
  fputs("\n.SH DESCRIPTION\n", to);
  if (command->description) {
    put_prose(to, command->description, ".PP");
  } else {
    fprintf(to, "\\fBsecondpass%s%s\\fR ", space, command->name);
    put_prose(to, command->summary, ".PP");
  }
  if (command->children) {
    put_children(to, command);
  }
  put_options(to, command);
  put_examples(to, command->example);
  fputs(".SH EXIT STATUS\n", to);
  sp_exit_codes_each(put_exit_code, to);
  put_see_also(to, parent, command);
}

static enum sp_status page_path(const char *directory, const struct sp_command *command,
                                struct sp_buf *path, struct sp_error *err) {
  SP_TRY(sp_buf_printf(path, err, "%s/secondpass%s%s.1", directory, *command->name ? "-" : "",
                       command->name));
  for (size_t i = strlen(directory); i < path->len; i++) {
    path->data[i] = path->data[i] == ' ' ? '-' : path->data[i];
  }
  return sp_buf_cstr(path) ? SP_OK : sp_fail_memory(err, path->len);
}

static enum sp_status write_page(const char *directory, const struct sp_command *parent,
                                 const struct sp_command *command, struct sp_error *err) {
  char *page = NULL;
  size_t len = 0;
  FILE *to = open_memstream(&page, &len);
  if (!to) {
    return sp_fail_memory(err, 0);
  }
  put_page(to, parent, command);
  bool lost = ferror(to);
  lost = fclose(to) != 0 || lost;
  struct sp_buf path = {0};
  enum sp_status status =
      lost ? sp_fail_memory(err, len) : page_path(directory, command, &path, err);
  if (status == SP_OK) {
    status = sp_file_replace(path.data, page, len, err);
  }
  sp_buf_release(&path);
  free(page);
  return status;
}

static enum sp_status write_pages(const char *directory, const struct sp_command *parent,
                                  const struct sp_command *command, struct sp_error *err) {
  SP_TRY(write_page(directory, parent, command, err));
  for (const struct sp_command *const *child = command->children; child && *child; child++) {
    SP_TRY(write_pages(directory, command, *child, err));
  }
  return SP_OK;
}

static enum sp_status run_man(const void *values, const struct sp_operands *operands,
                              struct sp_error *err) {
  const struct man_args *args = values;
  if (args->to && operands->n) {
    return sp_fail(err, SP_EUSAGE, "--to writes every page; leave out '%s'", operands->items[0]);
  }
  if (args->to) {
    SP_TRY(sp_file_make_directory(args->to, err));
    return write_pages(args->to, NULL, &sp_command_root, err);
  }
  const struct sp_command *command, *parent;
  SP_TRY(sp_command_find(operands, &command, err));
  struct sp_operands before = {operands->items, operands->n ? operands->n - 1 : 0};
  SP_TRY(sp_command_find(&before, &parent, err));
  put_page(stdout, operands->n ? parent : NULL, command);
  return SP_OK;
}

static const struct sp_opt options[] = {
    {.name = "to",
     .kind = SP_OPT_TEXT,
     .offset = offsetof(struct man_args, to),
     .argument = "DIR",
     .help = "write the pages of all commands into DIR, a file each, instead of printing one"},
};
static const struct sp_opt_group group = {"Options", options, sizeof options / sizeof *options};
static const struct sp_opt_group *const groups[] = {&group, NULL};

const struct sp_command sp_command_man = {
    .name = "man",
    .summary = "prints the manual page of a command",
    .example =
        "secondpass man score | man -l -\n"
        "secondpass man --to ~/.local/share/man/man1",
    .usage = "[--to DIR] [COMMAND [SUBCOMMAND]]",
    .description =
        "Prints a manual page in roff; without a command, that of the program. The pages come from "
        "the tables that the options are read by, as `help` does. `cmake --install` installs them.",
    .groups = groups,
    .values_bytes = sizeof(struct man_args),
    .max_operands = 2,
    .run = run_man,
};
