#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_fast.h"
#include "suggest.h"

struct parser {
  const struct sp_command *command;
  int argc, next;
  char **argv;
  void *values;
};

void sp_operands_release(struct sp_operands *operands) {
  free(operands->items);
  *operands = (struct sp_operands){0};
}

const struct sp_opt sp_opt_help = {
    .name = "help", .kind = SP_OPT_FLAG, .help = "explain the command and do nothing else"};

const struct sp_opt *sp_command_option(const struct sp_command *command, size_t i) {
  for (const struct sp_opt_group *const *group = command->groups; group && *group; group++) {
    if (i < (*group)->n) {
      return &(*group)->options[i];
    }
    i -= (*group)->n;
  }
  return i == 0 ? &sp_opt_help : NULL;
}

static const struct sp_opt *find_option(const struct sp_command *command, struct sp_text name) {
  const struct sp_opt *option;
  for (size_t i = 0; (option = sp_command_option(command, i)); i++) {
    if (sp_text_equal(sp_word(option->name), name)) {
      return option;
    }
  }
  return NULL;
}

enum sp_status sp_option_unknown(const struct sp_command *command, const char *argument,
                                 struct sp_error *err) {
  int shown = (int)strcspn(argument, "=");
  const char *word = argument + strspn(argument, "-");
  struct sp_suggestion suggestion = {.word = {word, strcspn(word, "=")}};
  if (word == argument + 2 && find_option(command, suggestion.word)) {
    return sp_fail(err, SP_EUSAGE, "%.*s takes no value", shown, argument); /* --help=x */
  }
  const struct sp_opt *option;
  for (size_t i = 0; (option = sp_command_option(command, i)); i++) {
    sp_suggestion_offer(&suggestion, sp_word(option->name));
  }
  struct sp_text best = suggestion.best;
  return best.len ? sp_fail(err, SP_EUSAGE, "unknown option %.*s; did you mean --%.*s?", shown,
                            argument, (int)best.len, best.data)
                  : sp_fail(err, SP_EUSAGE, "unknown option %.*s%s", shown, argument,
                            command->children ? "; options follow the command's name" : "");
}

/* Cuts the first member off a comma-separated list. */
static struct sp_text cut_member(const char **rest) {
  struct sp_text member = {*rest, strcspn(*rest, ",")};
  *rest += member.len;
  if (**rest == ',') {
    ++*rest;
  }
  return member;
}

struct sp_text sp_choice_next(const char **rest) {
  struct sp_text choice = {0};
  while (*rest && **rest && choice.len == 0) {
    choice = cut_member(rest);
  }
  return choice;
}

void sp_choices_join(const char *choices, char *out, size_t capacity) {
  size_t used = 0;
  out[0] = '\0';
  struct sp_text choice;
  while ((choice = sp_choice_next(&choices)).len > 0 && used + choice.len + 3 < capacity) {
    used += (size_t)snprintf(out + used, capacity - used, "%s%.*s", used ? ", " : "",
                             (int)choice.len, choice.data);
  }
}

static bool is_choice(const char *choices, struct sp_text word) {
  struct sp_text choice;
  while ((choice = sp_choice_next(&choices)).len > 0) {
    if (sp_text_equal(choice, word)) {
      return true;
    }
  }
  return false;
}

/* `name`: of the option; NULL: of an operand. */
static enum sp_status fail_choice(const char *name, const char *choices, struct sp_text word,
                                  struct sp_error *err) {
  char list[SP_CHOICES_TEXT];
  sp_choices_join(choices, list, sizeof list);
  struct sp_suggestion suggestion = {.word = word};
  struct sp_text choice;
  for (const char *rest = choices; (choice = sp_choice_next(&rest)).len > 0;) {
    sp_suggestion_offer(&suggestion, choice);
  }
  struct sp_text best = suggestion.best;
  return sp_fail(err, SP_EUSAGE, "%s%s%s'%.*s' is none of %s%s%.*s%s", name ? "--" : "",
                 name ? name : "", name ? ": " : "", (int)word.len, word.data, list,
                 best.len ? "; did you mean '" : "", (int)best.len, best.data,
                 best.len ? "'?" : "");
}

static enum sp_status check_choices(const struct sp_opt *option, const char *value,
                                    struct sp_error *err) {
  if (option->kind == SP_OPT_CHOICE) {
    struct sp_text word = {value, strlen(value)};
    return is_choice(option->choices, word) ? SP_OK
                                            : fail_choice(option->name, option->choices, word, err);
  }
  const char *rest = value;
  do {
    bool last = !strchr(rest, ',');
    struct sp_text word = cut_member(&rest);
    if (!is_choice(option->choices, word)) {
      return fail_choice(option->name, option->choices, word, err);
    }
    if (last) {
      return SP_OK;
    }
  } while (true);
}

/* Decimal digits and nothing else: no sign, no blank, no fraction. */
static enum sp_status parse_number(const struct sp_opt *option, const char *value, uint64_t *out,
                                   struct sp_error *err) {
  uint64_t number = 0;
  bool good = *value != '\0';
  for (const char *c = value; *c && good; c++) {
    good = *c >= '0' && *c <= '9' && !__builtin_mul_overflow(number, 10u, &number) &&
           !__builtin_add_overflow(number, (uint64_t)(*c - '0'), &number);
  }
  if (!good || number < option->min || number > option->max) {
    return sp_fail(err, SP_EUSAGE, "--%s: '%s' is not a whole number from %llu to %llu",
                   option->name, value, (unsigned long long)option->min,
                   (unsigned long long)option->max);
  }
  *out = number;
  return SP_OK;
}

static enum sp_status parse_real(const struct sp_opt *option, const char *value, double *out,
                                 struct sp_error *err) {
  struct sp_text text = {value, strlen(value)};
  bool good = sp_number_parse(text, out) && (*out > 0 || (option->zero && *out == 0));
  if (!good || *out < (double)option->min || *out > (double)option->max) {
    bool from = option->zero || option->min > 0;
    return from ? sp_fail(err, SP_EUSAGE, "--%s: '%s' is not a number from %llu to %llu",
                          option->name, value, (unsigned long long)option->min,
                          (unsigned long long)option->max)
                : sp_fail(err, SP_EUSAGE, "--%s: '%s' is not a number over 0 and up to %llu",
                          option->name, value, (unsigned long long)option->max);
  }
  *out += 0.0; /* -0 is 0 */
  return SP_OK;
}

static enum sp_status store(const struct sp_opt *option, const char *value, void *values,
                            struct sp_error *err) {
  char *field = (char *)values + option->offset;
  uint64_t number = 0;
  if (option->kind != SP_OPT_FLAG && *value == '\0') {
    return sp_fail(err, SP_EUSAGE, "--%s needs a value (%s)", option->name, option->argument);
  }
  switch (option->kind) {
    case SP_OPT_FLAG:
      *(bool *)field = true;
      return SP_OK;
    case SP_OPT_CHOICE:
    case SP_OPT_LIST:
      SP_TRY(check_choices(option, value, err));
      break;
    case SP_OPT_SIZE:
      SP_TRY(parse_number(option, value, &number, err));
      *(size_t *)field = (size_t)number;
      return SP_OK;
    case SP_OPT_U64:
      SP_TRY(parse_number(option, value, &number, err));
      *(uint64_t *)field = number;
      return SP_OK;
    case SP_OPT_REAL:
      return parse_real(option, value, (double *)field, err);
    case SP_OPT_TEXT:
      break;
  }
  *(const char **)field = value;
  return SP_OK;
}

/* The value that follows as an argument of its own. One that looks like an option is more likely a
 * forgotten value; --name=value takes anything. */
static enum sp_status next_value(struct parser *parser, const struct sp_opt *option,
                                 const char **value, struct sp_error *err) {
  if (parser->next == parser->argc) {
    return sp_fail(err, SP_EUSAGE, "--%s needs a value (%s)", option->name, option->argument);
  }
  *value = parser->argv[parser->next];
  if (strncmp(*value, "--", 2) == 0) {
    return sp_fail(err, SP_EUSAGE,
                   "--%s needs a value (%s), but %s follows; write --%s=%s to mean it",
                   option->name, option->argument, *value, option->name, *value);
  }
  parser->next++;
  return SP_OK;
}

static enum sp_status parse_option(struct parser *parser, const char *argument,
                                   struct sp_error *err) {
  bool is_long = strncmp(argument, "--", 2) == 0;
  const char *name = argument + 2;
  size_t len = is_long ? strcspn(name, "=") : 0;
  const struct sp_opt *option =
      is_long ? find_option(parser->command, (struct sp_text){name, len}) : NULL;
  if (!option) {
    return sp_option_unknown(parser->command, argument, err);
  }
  const char *value = name[len] == '=' ? name + len + 1 : NULL;
  if (option->kind == SP_OPT_FLAG && value) {
    return sp_fail(err, SP_EUSAGE, "--%s takes no value", option->name);
  }
  if (option->kind != SP_OPT_FLAG && !value) {
    SP_TRY(next_value(parser, option, &value, err));
  }
  return store(option, value ? value : "", parser->values, err);
}

static bool wants_help(int argc, char **argv) {
  for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
    if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
      return true;
    }
  }
  return false;
}

static enum sp_status check_operands(const struct sp_command *command,
                                     const struct sp_operands *operands, struct sp_error *err) {
  size_t n = operands->n;
  if (n < command->min_operands) {
    return sp_fail(err, SP_EUSAGE, "an argument is missing; usage: secondpass %s %s", command->name,
                   command->usage);
  }
  if (n > command->max_operands) {
    return sp_fail(err, SP_EUSAGE, "too many arguments ('%s'); usage: secondpass %s %s",
                   operands->items[command->max_operands], command->name, command->usage);
  }
  for (size_t i = 0; command->operand_choices && i < n; i++) {
    struct sp_text word = sp_word(operands->items[i]);
    if (!is_choice(command->operand_choices, word)) {
      return fail_choice(NULL, command->operand_choices, word, err);
    }
  }
  return SP_OK;
}

/* Marks what tells not given from 0. */
static void mark_unset(const struct sp_command *command, void *values) {
  const struct sp_opt *option;
  for (size_t i = 0; (option = sp_command_option(command, i)); i++) {
    char *field = (char *)values + option->offset;
    if (option->unset && option->kind == SP_OPT_REAL) {
      *(double *)field = -1;
    } else if (option->unset) {
      *(uint64_t *)field = UINT64_MAX;
    }
  }
}

enum sp_status sp_options_parse(const struct sp_command *command, int argc, char **argv,
                                void *values, struct sp_operands *operands, bool *help,
                                struct sp_error *err) {
  *operands = (struct sp_operands){0};
  *help = wants_help(argc, argv);
  if (*help) {
    return SP_OK;
  }
  operands->items = calloc((size_t)argc + 1, sizeof *operands->items);
  if (!operands->items) {
    return sp_fail_memory(err, ((size_t)argc + 1) * sizeof *operands->items);
  }
  struct parser parser = {.command = command, .argc = argc, .argv = argv, .values = values};
  bool ended = false;
  mark_unset(command, values);
  while (parser.next < argc) {
    const char *argument = argv[parser.next++];
    if (!ended && strcmp(argument, "--") == 0) {
      ended = true;
    } else if (!ended && argument[0] == '-' && argument[1] != '\0') {
      SP_TRY(parse_option(&parser, argument, err));
    } else {
      operands->items[operands->n++] = argument;
    }
  }
  return check_operands(command, operands, err);
}
