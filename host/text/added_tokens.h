/* added_tokens.h - tokens that are looked for in the text itself, before words are.
 *
 * The oracle looks twice: for tokens with normalized = false in the raw text, then, in what is
 * left, for the others in the normalised text, by the normal form of their content. */
#ifndef SP_TEXT_ADDED_TOKENS_H
#define SP_TEXT_ADDED_TOKENS_H

#include "buf.h"
#include "unicode_bert.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SP_MAX_ADDED_TOKENS 10000

struct sp_added_token {
  char *content;
  size_t len;
  int32_t id;
  bool lstrip, rstrip; /* the match takes the white space beside it */
  bool normalized, special;
};

/* Tokens of one of the two looks. */
struct sp_added_set {
  struct sp_added_token *tokens; /* (n) longest first */
  size_t n, capacity;
  bool starts[256]; /* some token starts with this byte */
  int only_start;   /* the one byte that all start with, or -1 */
};

void sp_added_set_release(struct sp_added_set *set);
/* Copies `token` and its content; a token of the same content is replaced. */
SP_MUST_CHECK enum sp_status sp_added_set_put(struct sp_added_set *set,
                                              const struct sp_added_token *token,
                                              struct sp_error *err);
/* The token of this content, or NULL. */
const struct sp_added_token *sp_added_set_find(const struct sp_added_set *set,
                                               struct sp_text content);
/* Once, after the last sp_added_set_put. */
void sp_added_set_finish(struct sp_added_set *set);

struct sp_added_cursor {
  const struct sp_added_set *set;
  const struct sp_unicode *unicode;
  struct sp_text text;
  size_t search; /* where the next match may start */
  size_t done;   /* the text before it has been handed out */
};

/* One step through a text, left to right, longest match first. */
struct sp_added_match {
  struct sp_text before;              /* text since the last match, may be empty */
  const struct sp_added_token *token; /* NULL: `before` is the rest of the text */
};
struct sp_added_match sp_added_next(struct sp_added_cursor *cursor);

#ifdef __cplusplus
}
#endif
#endif
