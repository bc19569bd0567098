#include "commands.h"

#include <string.h>

#include "suggest.h"

static const struct sp_command *const children[] = {
    &sp_command_score,
    &sp_command_rescore,
    &sp_command_tune,
    &sp_command_plan,
    &sp_command_wer,
    &sp_command_report,
    &sp_command_verify,
    &sp_command_cat,
    &sp_command_model,
    &sp_command_env,
    &sp_command_bench,
    &sp_command_help,
    NULL,
};

const struct sp_command sp_command_root = {
    .name = "",
    .summary = "rescores N-best lists with BERT-type encoders",
    .example =
        "secondpass score --model bert-base-uncased --out run dev.jsonl.zst\n"
        "secondpass verify run\n"
        "secondpass cat run | head",
    .usage = "COMMAND [OPTIONS] [ARGUMENTS]",
    .children = children,
};

/* "io" of "bench io". */
static const char *last_word(const char *name) {
  const char *space = strrchr(name, ' ');
  return space ? space + 1 : name;
}

const struct sp_command *sp_command_child(const struct sp_command *parent, const char *name) {
  for (const struct sp_command *const *child = parent->children; child && *child; child++) {
    if (strcmp(last_word((*child)->name), name) == 0) {
      return *child;
    }
  }
  return NULL;
}

enum sp_status sp_command_unknown(const struct sp_command *parent, const char *name,
                                  struct sp_error *err) {
  struct sp_suggestion suggestion = {.word = name};
  for (const struct sp_command *const *child = parent->children; child && *child; child++) {
    sp_suggestion_offer(&suggestion, last_word((*child)->name));
  }
  const char *space = *parent->name ? " " : "";
  return suggestion.best
             ? sp_fail(err, SP_EUSAGE, "unknown command '%s%s%s'; did you mean '%s%s%s'?",
                       parent->name, space, name, parent->name, space, suggestion.best)
             : sp_fail(err, SP_EUSAGE, "unknown command '%s%s%s'", parent->name, space, name);
}
