/* text_steps.h - the single steps that profiles consist of; their files' readers add them. */
#ifndef SP_RESCORE_TEXT_STEPS_H
#define SP_RESCORE_TEXT_STEPS_H

#include "arena.h"
#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_RULES_CEILING ((size_t)16 << 20) /* bytes of a rules file or GLM */

enum sp_text_step_kind {
  SP_STEP_LOWER,
  SP_STEP_UPPER,
  SP_STEP_LIBRISPEECH,
  SP_STEP_PUNCTUATION, /* to `to`, but for the characters in `from` */
  SP_STEP_REPLACE,     /* every `from`, left to right, to `to` */
  SP_STEP_WORDS        /* sequences of whole words, by `words` */
};

struct sp_word_rule {
  struct sp_text from, to; /* words parted by one space; `from` has at least one */
  uint32_t order;          /* an earlier rule goes before a later one of equal `from` */
};

struct sp_text_step {
  enum sp_text_step_kind kind;
  struct sp_text from, to;
  struct sp_word_rule *words; /* (n_words) sorted by `from` once the step is complete; owned */
  size_t n_words, capacity;
  size_t longest; /* words of the longest `from` */
};

struct sp_text_steps {
  struct sp_text_step *items; /* (n) owned */
  size_t n;
  struct sp_arena arena; /* texts of the rules */
};

void sp_text_steps_release(struct sp_text_steps *steps);
SP_MUST_CHECK enum sp_status sp_text_steps_add(struct sp_text_steps *steps,
                                               struct sp_text_step step, struct sp_error *err);
/* Adds a word rule to the last step if that is one of words, else to a new one. The texts are copied,
 * with one space between words. */
SP_MUST_CHECK enum sp_status sp_text_steps_add_word(struct sp_text_steps *steps,
                                                    struct sp_text from, struct sp_text to,
                                                    bool lower, struct sp_error *err);
/* Sorts the rules of words. After the last step. */
void sp_text_steps_finish(struct sp_text_steps *steps);
/* Applies one step to `in`, appending to `out`. */
SP_MUST_CHECK enum sp_status sp_text_step_apply(const struct sp_text_step *step, struct sp_text in,
                                                struct sp_buf *out, struct sp_error *err);

/* Steps of a file's bytes; *name is from the arena. `path` is for messages and the GLM's name.
 * SP_EINPUT with "path:line: reason". */
SP_MUST_CHECK enum sp_status sp_rules_parse(struct sp_text bytes, const char *path,
                                            struct sp_text_steps *steps, const char **name,
                                            struct sp_error *err);
SP_MUST_CHECK enum sp_status sp_glm_parse(struct sp_text bytes, const char *path,
                                          struct sp_text_steps *steps, const char **name,
                                          struct sp_error *err);

/* One line of `rest` without its line end, cut off; false at the end. */
bool sp_rules_line(struct sp_text *rest, struct sp_text *line);
struct sp_text sp_rules_trim(struct sp_text text);

#ifdef __cplusplus
}
#endif
#endif
