#include "commands.h"

#include <string.h>

#include "suggest.h"

static const struct sp_command *const children[] = {
    &sp_command_score,
    &sp_command_rescore,
    &sp_command_tune,
    &sp_command_wer,
    &sp_command_compare,
    &sp_command_report,
    &sp_command_plan,
    &sp_command_status,
    &sp_command_verify,
    &sp_command_merge,
    &sp_command_cat,
    &sp_command_convert,
    &sp_command_model,
    &sp_command_masks,
    &sp_command_vocab,
    &sp_command_train,
    &sp_command_env,
    &sp_command_bench,
    &sp_command_help,
    &sp_command_man,
    &sp_command_completion,
    NULL,
};

/* read by main.c, which looks for them before the command's name */
static const struct sp_opt options[] = {
    {.name = "version", .kind = SP_OPT_FLAG, .help = "print version, compiler and libraries"}};
static const struct sp_opt_group group = {"Options", options, sizeof options / sizeof *options};
static const struct sp_opt_group *const groups[] = {&group, NULL};

const struct sp_command sp_command_root = {
    .name = "",
    .summary = "rescores N-best lists with BERT-type encoders",
    .example =
        "secondpass score --model bert-base-uncased --out run dev.jsonl.zst\n"
        "secondpass verify run\n"
        "secondpass cat run | head",
    .usage = "COMMAND [OPTIONS] [ARGUMENTS]",
    .groups = groups,
    .children = children,
};

const char *sp_command_word(const struct sp_command *command) {
  const char *space = strrchr(command->name, ' ');
  return space ? space + 1 : command->name;
}

const struct sp_command *sp_command_child(const struct sp_command *parent, const char *name) {
  for (const struct sp_command *const *child = parent->children; child && *child; child++) {
    if (strcmp(sp_command_word(*child), name) == 0) {
      return *child;
    }
  }
  return NULL;
}

enum sp_status sp_command_unknown(const struct sp_command *parent, const char *name,
                                  struct sp_error *err) {
  struct sp_suggestion suggestion = {.word = sp_word(name)};
  for (const struct sp_command *const *child = parent->children; child && *child; child++) {
    sp_suggestion_offer(&suggestion, sp_word(sp_command_word(*child)));
  }
  const char *space = *parent->name ? " " : "";
  struct sp_text best = suggestion.best;
  return best.len
             ? sp_fail(err, SP_EUSAGE, "unknown command '%s%s%s'; did you mean '%s%s%.*s'?",
                       parent->name, space, name, parent->name, space, (int)best.len, best.data)
             : sp_fail(err, SP_EUSAGE, "unknown command '%s%s%s'", parent->name, space, name);
}

enum sp_status sp_command_find(const struct sp_operands *words, const struct sp_command **out,
                               struct sp_error *err) {
  *out = &sp_command_root;
  for (size_t i = 0; i < words->n; i++) {
    const struct sp_command *child = sp_command_child(*out, words->items[i]);
    if (!child) {
      return sp_command_unknown(*out, words->items[i], err);
    }
    *out = child;
  }
  return SP_OK;
}
